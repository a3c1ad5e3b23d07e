"""No value that a client can write, in any field of any operation, is answered by a fault of ours.

Each field of a good body and each parameter of a query is given each of these in turn.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote_from_bytes

import pytest

from gateway.marketplace import SERVICE
from gateway.operations.openapi import document
from gateway.operations.operation import Operation
from tests.integration.http.authority import AUTHORITY
from tests.integration.http.stage import Stage
from tests.system import Answer

OPERATIONS: Final = SERVICE.api.operations
DOCUMENT: Final = document(OPERATIONS)
IN_BODIES: Final = (
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\u202e\\ufeff"',
    '"' + "x" * 100_000 + '"',
    "1" + "0" * 400,
    "-1e400",
    "NaN",
    "9223372036854775808",
    "[" * 100 + "]" * 100,
    '{"$ne": null}',
    "[null]",
)
IN_QUERIES: Final = (
    b"\0",
    b"a\0b",
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b"9" * 400,
    b"NaN",
    b"' OR 1=1 --",
    b"",
    b"%",
    b"x" * 2000,
)


def example_of(operation: Operation) -> Mapping[str, Any]:
    """The good body that the API document shows."""
    call = DOCUMENT["paths"][operation.path][operation.method.lower()]
    found: Mapping[str, Any] = call["requestBody"]["content"]["application/json"]["example"]
    return found


def bodies(operation: Operation) -> Iterator[bytes]:
    """The good body, with each field in turn replaced by each hostile value."""
    assert operation.body is not None
    good = example_of(operation)
    for name in operation.body[1].model_fields:
        for value in IN_BODIES:
            rest = json.dumps({**good, name: 0}).encode()
            yield rest.replace(json.dumps(name).encode() + b": 0", json.dumps(name).encode() + b": " + value.encode())


def queries(operation: Operation) -> Iterator[str]:
    """Each parameter in turn, with each hostile value; and one twice."""
    call = DOCUMENT["paths"][operation.path]["get"]
    names = [p["name"] for p in call["parameters"] if p.get("in") == "query"]
    for name in names:
        for value in IN_QUERIES:
            yield f"?{name}={quote_from_bytes(value)}"
        yield f"?{name}=1&{name}=2&{name}="


async def sent(stage: Stage, operation: Operation, id: str, *, query: str = "", body: bytes | None = None) -> Answer:
    """One call by somebody who may."""
    rule = AUTHORITY[operation.name]
    path = operation.path
    if operation.path_parameters:
        path = path.replace("{" + operation.path_parameters[0].name + "}", id)
    return await stage.client.call(
        operation.method,
        path + query,
        user=None if rule.public else stage.who(rule.may[0]),
        data=body,
        headers={"Content-Type": "application/json"} if body is not None else None,
    )


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.body is not None], ids=lambda o: o.name)
async def test_a_hostile_body_is_answered_in_words(stage: Stage, operation: Operation) -> None:
    rule = AUTHORITY[operation.name]
    id = await stage.thing(rule.thing) if rule.thing else ""
    for body in bodies(operation):
        answer = await sent(stage, operation, id, body=body)
        assert answer.status < 500, (body[:200], answer)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.query or o.page], ids=lambda o: o.name)
async def test_a_hostile_query_is_answered_in_words(stage: Stage, operation: Operation) -> None:
    rule = AUTHORITY[operation.name]
    id = await stage.thing(rule.thing) if rule.thing else ""
    for query in queries(operation):
        answer = await sent(stage, operation, id, query=query)
        assert answer.status < 500, (query[:200], answer)
