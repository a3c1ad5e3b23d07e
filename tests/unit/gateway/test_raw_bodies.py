"""A body as it came: for what is signed as a whole, a declaration takes the bytes and the headers."""

import pytest

from gateway.operations import WRITE, Api, Call, Input, RawBody
from gateway.operations.openapi import document


class Note(Input):
    text: str


async def hook(call: Call, body: RawBody) -> None:
    """Somebody tells something."""


def test_a_raw_body_is_declared_by_its_type_and_documented_as_any_object() -> None:
    api = Api("/api/v1", tag="hooks")
    api.post("/hooks", intent=WRITE, public=True)(hook)
    [operation] = api.operations
    assert (operation.raw, operation.body, operation.upload) == ("body", None, None)
    described = document(api.operations)["paths"]["/api/v1/hooks"]["post"]
    assert described["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    assert {"400", "413", "415"} <= described["responses"].keys()


def test_a_request_has_one_body() -> None:
    async def both(call: Call, note: Note, body: RawBody) -> None: ...

    async def twice(call: Call, one: RawBody, other: RawBody) -> None: ...

    api = Api()
    for handler in (both, twice):
        with pytest.raises(TypeError):
            api.post("/hooks", intent=WRITE)(handler)


def test_neither_the_bytes_nor_the_headers_are_shown() -> None:
    assert "secret" not in repr(RawBody(b"secret", {"Signature": "secret"}))
