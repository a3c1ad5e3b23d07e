"""Putting the OpenAPI document together from operations, health, headers, problems and schemas."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway import __version__
from gateway.operations.openapi import headers, health, problems, reference
from gateway.operations.openapi.calls import call_object
from gateway.operations.openapi.examples import FIELD_EXAMPLES
from gateway.operations.openapi.introduction import INTRODUCTION
from gateway.operations.openapi.schemas import REF_PREFIX, Schemas
from gateway.operations.operation import Operation
from gateway.who import SESSION_COOKIE

Json = dict[str, Any]

_SECURITY_SCHEMES: Final[Json] = {
    "bearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `access_token` of register, login or refresh; it lives 15 minutes.",
    },
    "sessionCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "Set by a login with `cookie: true`. A request that changes something with it must come "
        "from the same site or an origin that the operators list, or (no browser) carry `X-Requested-With`.",
    },
}


def document(operations: Sequence[Operation], *, examples: Mapping[str, object] = FIELD_EXAMPLES) -> Json:
    """The whole OpenAPI 3.1 document of these operations and of health; the same operations give the same document.

    `examples` maps a field's name to what it looks like, for fields whose model gives no example of its own.
    """
    schemas = Schemas(operations, examples=examples)
    paths: dict[str, Json] = {}
    used: dict[str, Json] = {}
    for operation in operations:
        call, problem_responses = call_object(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = call
        used |= problem_responses
    for others in (reference, health):
        its_paths, responses = others.paths()
        paths |= its_paths
        used |= responses
    every_schema = schemas.components | problems.SCHEMAS | reference.SCHEMAS | health.SCHEMAS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Meridian",
            "version": __version__,
            "summary": "Every user served from their own country.",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearerAuth": []}, {"sessionCookie": []}],
        "tags": [{"name": tag} for tag in _tags(operations)],
        "paths": paths,
        "components": {
            "schemas": _reachable(every_schema, from_=[paths, used]),
            "responses": dict(sorted(used.items())),
            "parameters": headers.PARAMETERS,
            "headers": headers.HEADERS | reference.HEADERS,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _tags(operations: Sequence[Operation]) -> Sequence[str]:
    return list(dict.fromkeys([*(o.tag for o in operations if o.tag), reference.TAG, health.TAG]))


def _reachable(schemas: Mapping[str, Json], *, from_: Sequence[object]) -> dict[str, Json]:
    """The schemas that something refers to: a query's model became parameters, and nothing names it any more."""
    found: set[str] = set()
    waiting = [name for node in from_ for name in _references(node)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(schemas[name]))
    return {name: schemas[name] for name in sorted(found)}


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        ref = node.get("$ref")
        if isinstance(ref, str) and ref.startswith(REF_PREFIX):
            yield ref.removeprefix(REF_PREFIX)
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)
