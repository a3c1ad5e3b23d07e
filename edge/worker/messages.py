"""Requests and responses of the platform as the edge's own, and back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import js  # type: ignore[import-not-found]

from edge.messages import Fields, Request, Response
from edge.worker.javascript import Pieces, bytes_of, fields_of, js_bytes, js_headers, js_stream, options

CLIENT_HEADER: Final = "cf-connecting-ip"

_SMALL_BODY_BYTES: Final = 64 * 1024
_WITHOUT_BODY: Final = frozenset({101, 204, 205, 304})
_NEVER_IN: Final = frozenset({"host", "forwarded", "true-client-ip", "x-real-ip", "meridian-country"})
"""What only the platform or the edge itself may say; the origin's own host is the only one."""


async def received(request: Any) -> Request:
    """The edge's form of a JavaScript Request. A body that is small and says so is read; another one streams."""
    place = js.URL.new(request.url)
    fields = tuple(field for field in fields_of(request.headers) if _may_come_in(field[0]))
    made = Request(request.method, place.pathname, fields, place.search.removeprefix("?"))
    if not request.body:
        return made
    if _is_small(made):
        return replace(made, body=await bytes_of(request))
    return replace(made, stream=Pieces(request.body, broken=ConnectionError))


def sent(response: Response, spawn: Callable[[Any], None]) -> Any:
    """The JavaScript Response of one of the edge's. What still has to be fed to a stream is left to `spawn`."""
    init = options(status=response.status, encodeBody="manual")
    init.headers = js_headers(response.headers)
    return js.Response.new(_body(response, spawn), init)


def _may_come_in(name: str) -> bool:
    name = name.lower()
    return name not in _NEVER_IN and not name.startswith(("cf-", "x-forwarded-"))


def _is_small(request: Request) -> bool:
    length = request.field("Content-Length")
    return length is not None and length.isdecimal() and int(length) <= _SMALL_BODY_BYTES


def _body(response: Response, spawn: Callable[[Any], None]) -> Any:
    if response.stream is not None:
        length = response.field("Content-Length")
        return js_stream(response.stream, int(length) if length and length.isdecimal() else None, spawn)
    if not response.body and (response.status in _WITHOUT_BODY or _is_head(response.headers)):
        return None
    return js_bytes(response.body)


def _is_head(fields: Fields) -> bool:
    """Whether a length is told of a body that is not there."""
    length = next((value for name, value in fields if name.lower() == "content-length"), "0")
    return length != "0"
