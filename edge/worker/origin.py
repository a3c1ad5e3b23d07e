"""A gateway as the edge's origin, asked with the platform's fetch."""

import asyncio
from typing import Any, Final

import js  # type: ignore[import-not-found]

from edge.messages import Request, Response
from edge.origin import OriginFailed
from edge.worker.javascript import (
    JavaScriptError,
    Pieces,
    bytes_of,
    fields_of,
    js_bytes,
    js_headers,
    js_stream,
    options,
)

HEAD_S: Final = 15.0
"""How long a gateway may take until its answer begins."""

_SMALL_BODY_BYTES: Final = 256 * 1024
_AWAY: Final = frozenset({*range(520, 528), 530})
"""What the platform answers for an origin that it cannot reach."""


class Gateway:
    """Answers as the gateway at `base` (scheme, host and port) does; nothing in a request chooses another."""

    def __init__(self, base: str) -> None:
        self._base = base

    async def __call__(self, request: Request) -> Response:
        """The gateway's answer; a large or endless one as a stream."""
        control = js.AbortController.new()
        try:
            async with asyncio.timeout(HEAD_S):
                answer = await js.fetch(self._base + request.url, _init(request, control.signal))
        except TimeoutError:
            control.abort()
            raise OriginFailed("the gateway did not answer in time", timed_out=True) from None
        except (JavaScriptError, ConnectionError) as exc:
            raise OriginFailed("the gateway could not be reached") from exc
        if answer.status in _AWAY:
            raise OriginFailed("the gateway could not be reached")
        return await _read(answer)


def _init(request: Request, signal: Any) -> Any:
    # Without no-store the platform would keep answers by url alone, for another region or language too; with automatic
    # decoding a body would no longer be what its Content-Encoding and ETag say.
    init = options(method=request.method, redirect="manual", cache="no-store", encodeResponseBody="manual")
    init.headers = js_headers(request.headers)
    init.signal = signal
    if request.stream is not None:
        init.body = js_stream(request.stream, None, asyncio.ensure_future)
        init.duplex = "half"
    elif request.body:
        init.body = js_bytes(request.body)
    return init


async def _read(answer: Any) -> Response:
    fields = fields_of(answer.headers)
    if not answer.body:
        return Response(answer.status, fields)
    response = Response(answer.status, fields, stream=Pieces(answer.body, broken=OriginFailed))
    length = response.field("Content-Length")
    if length is None or not length.isdecimal() or int(length) > _SMALL_BODY_BYTES:
        return response
    try:
        async with asyncio.timeout(HEAD_S):
            return Response(answer.status, fields, await bytes_of(answer))
    except TimeoutError:
        raise OriginFailed("the gateway fell silent", timed_out=True) from None
    except JavaScriptError as exc:
        raise OriginFailed("the gateway broke off") from exc
