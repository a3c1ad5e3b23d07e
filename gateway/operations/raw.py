"""A body as it came, for messages that are signed as a whole: parsed and written again, they are another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from core.errors import UnsupportedMedia


@dataclass(frozen=True, slots=True)
class RawBody:
    """The bytes of a JSON body, at most REQUEST_BODY_BYTES_MAX of them, and the request's headers (of any case)."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def require_json(request: web.Request) -> None:
    """Raise UnsupportedMedia unless the request says that its body is JSON."""
    if request.content_type != "application/json":
        raise UnsupportedMedia("send the body as application/json")
