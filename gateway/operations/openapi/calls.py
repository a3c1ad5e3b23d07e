"""One operation as the API document describes it."""

import inspect
from typing import Any, Final

from core.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from gateway.operations.downloads import Download
from gateway.operations.openapi import headers, problems
from gateway.operations.openapi.schemas import Schemas
from gateway.operations.operation import Intent, Items, Operation
from gateway.operations.streams import MEDIA_TYPE
from gateway.operations.uploads import FIELD

Json = dict[str, Any]
_SAID: Final = {200: "Done.", 201: "Created.", 204: "Done; the answer has no body."}
_FILE: Final[Json] = {
    "type": "object",
    "properties": {FIELD: {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": [FIELD],
    "additionalProperties": False,
}
_KINDS: Final = ("image/jpeg", "image/png", "image/webp", "application/pdf")
_PAGING: Final[list[Json]] = [
    {
        "name": "limit",
        "in": "query",
        "description": "How many items a page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX, "default": PAGE_ITEMS_DEFAULT},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "`next` of the page before, unchanged; none for the first page.",
        "schema": {"type": "string"},
    },
]


def call_object(operation: Operation, schemas: Schemas) -> tuple[Json, dict[str, Json]]:
    """An operation's OpenAPI object, and the named problem responses that it refers to."""
    has_etag = _has_etag(operation)
    referred, named = problems.responses(problems.codes_of(operation))
    call: Json = {
        "operationId": operation.name,
        "tags": [operation.tag] if operation.tag else [],
        "summary": operation.summary.removesuffix("."),
        "description": _description(operation),
        "parameters": [*_parameters(operation, schemas), *headers.parameters_of(operation, has_etag=has_etag)],
        "responses": _answers(operation, schemas, has_etag=has_etag) | referred,
    }
    if operation.body is not None:
        shown = {"schema": schemas.body(operation), "example": schemas.body_example(operation)}
        call["requestBody"] = {"required": not operation.may_be_bare, "content": {"application/json": shown}}
    if operation.upload is not None:
        call["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _FILE}}}
    if operation.raw is not None:
        call["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    if operation.public:
        call["security"] = []
    return call, named


def _has_etag(operation: Operation) -> bool:
    is_list = inspect.isclass(operation.result) and issubclass(operation.result, Items)
    return operation.method == "GET" and operation.result is not None and (not is_list or operation.shared is not None)


def _description(operation: Operation) -> str:
    more = inspect.cleandoc(operation.handler.__doc__ or "").partition("\n")[2].strip()
    where = "Writes to the primary" if operation.intent is Intent.WRITE else "Reads from a replica"
    if operation.intent is Intent.READ and operation.consistency == "strong":
        where = "Reads from the primary"
    who = "anybody" if operation.public else " or ".join(sorted(operation.roles)) or "every user"
    facts = f"*For {who}. {where}; consistency: {operation.consistency}.*"
    return f"{more}\n\n{facts}" if more else facts


def _parameters(operation: Operation, schemas: Schemas) -> list[Json]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in schemas.path_parameters(operation).items()
    ]
    in_query = [
        {"name": name, "in": "query", "required": required, **_described(schema)}
        for name, (schema, required) in schemas.query_parameters(operation).items()
    ]
    return in_path + in_query + (_PAGING if operation.page is not None else [])


def _described(schema: Json) -> Json:
    """A parameter's description stands beside its schema: within it the docs page does not show it."""
    said = {"description": schema["description"]} if "description" in schema else {}
    return said | {"schema": {key: value for key, value in schema.items() if key != "description"}}


def _answers(operation: Operation, schemas: Schemas, *, has_etag: bool) -> Json:
    said = headers.answered_by(operation, has_etag=has_etag)
    success: Json = {"description": _SAID[operation.status], "headers": said}
    if operation.result is Download:
        return _file_answers(said)
    if operation.result is not None:
        success["content"] = {"application/json": {"schema": schemas.result(operation)}}
    if operation.table:
        success["content"][MEDIA_TYPE] = {"schema": {"type": "string"}}
        success["headers"] = said | headers.answered("Content-Disposition")
    unchanged = {"304": {"description": "What you hold is still right.", "headers": said}} if has_etag else {}
    return {str(operation.status): success, **unchanged}


def _file_answers(said: Json) -> Json:
    content = {kind: {"schema": {"type": "string", "contentMediaType": kind}} for kind in _KINDS}
    whole = said | headers.answered("Last-Modified", "Accept-Ranges", "Content-Disposition")
    part = whole | headers.answered("Content-Range")
    elsewhere = {name: header for name, header in said.items() if name != "ETag"} | headers.answered("Location")
    return {
        "200": {"description": "The file.", "headers": whole, "content": content},
        "206": {"description": "The part that Range asked for.", "headers": part, "content": content},
        "304": {"description": "What you hold is still right.", "headers": said},
        "307": {"description": "The file is at Location, for five minutes.", "headers": elsewhere},
    }
