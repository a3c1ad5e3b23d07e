"""From a handler's result to an HTTP response: JSON once, an ETag on single resources, nothing cached by default."""

from hashlib import blake2b
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel

from gateway.operations.operation import Created, Items, Operation

_PRIVATE: Final = "private, no-store"


def render(result: Any, operation: Operation, request: web.Request) -> web.Response:
    """The response for a result: a model, a Created, a page of Items, or None (204)."""
    value = result.value if isinstance(result, Created) else result
    if value is None:
        return web.Response(status=204, headers={"Cache-Control": _PRIVATE})
    body = _json(value)
    headers = {"Cache-Control": _PRIVATE}
    if operation.method == "GET" and not isinstance(value, Items):
        headers["ETag"] = etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        if _is_known(etag, request.headers.get("If-None-Match", "")):
            return web.Response(status=304, headers=headers)
    return web.Response(status=operation.status, body=body, content_type="application/json", headers=headers)


def _is_known(etag: str, none_match: str) -> bool:
    """Whether the client has this already. Compared weakly (RFC 9110, 13.1.2): a proxy that compresses adds `W/`."""
    tags = [tag.strip().removeprefix("W/") for tag in none_match.split(",")]
    return etag in tags or tags == ["*"]


def _json(value: Any) -> bytes:
    if isinstance(value, Items):
        page = {name: getattr(value, name) for name in type(value).model_fields if name != "items"}
        items = [item.model_dump(mode="json") if isinstance(item, BaseModel) else item for item in value.items]
        return orjson.dumps({"items": items, **page})
    return value.__pydantic_serializer__.to_json(value) if isinstance(value, BaseModel) else orjson.dumps(value)
