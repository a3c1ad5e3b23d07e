"""From a handler's result to an HTTP response: JSON once, an ETag where it may spare a body, caches as declared."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel

from gateway.caching import CACHE_CONTROL, CONTROL, Kind
from gateway.operations.operation import Created, Items, Operation

_PERSONAL: Final = {CACHE_CONTROL: CONTROL[Kind.PERSONAL]}


def render(
    result: Any, operation: Operation, request: web.Request, *, shared: Mapping[str, str] | None = None
) -> web.Response:
    """The response for a result: a model, a Created, a page of Items, or None (204).

    `shared` are the header fields of one that caches may share; without them it is for the one who asked.
    """
    value = result.value if isinstance(result, Created) else result
    if value is None:
        return web.Response(status=204, headers=_PERSONAL)
    body = _json(value)
    headers = dict(shared or _PERSONAL)
    if operation.method == "GET" and (shared or not isinstance(value, Items)):
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
