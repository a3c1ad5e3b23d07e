"""The edge on aiohttp's server, which no other file of the edge knows: as the gateway mounts it, or whole."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final

from aiohttp import web

from edge.messages import Fields, Request, Response, Stream
from edge.origin import OriginFailed

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Admit = Callable[[Request, str | None], tuple[Request, str]]
"""From a request and the address it came from: the request to be handled, and its region."""
_PIECE_BYTES: Final = 64 * 1024


def handler(answer: Callable[[Request], Response]) -> Handler:
    """The aiohttp handler of a pure one, which is asked for what has no body."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return _Whole(answer(_received(request)))

    return handle


def edge_handler(answer: Callable[[Request, str], Awaitable[Response]], *, admit: Admit) -> Handler:
    """The aiohttp handler of a whole edge: every method, bodies as streams in both directions.

    Made for a bare `web.Server`, which looks at no path; `auto_decompress=False` leaves request bodies as they are.
    A client that goes away ends the work done for it, where aiohttp is told to (`handler_cancellation`). An answer that
    breaks off on its way from the origin ends with the connection, so that nobody takes a part for the whole.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        admitted, region = admit(_received(request, _body_of(request)), request.remote)
        response = await answer(admitted, region)
        return _Whole(response) if response.stream is None else await _stream(response, response.stream, request)

    return handle


def _received(request: web.BaseRequest, stream: Stream | None = None) -> Request:
    """A request as it was sent: its target byte for byte, every header line."""
    path, _, query = _target(request.raw_path).partition("?")
    return Request(request.method, path, tuple(request.headers.items()), query, stream=stream)


def _target(text: str) -> str:
    """The path and query of a request's target; of an absolute one, which names a host that is not for it to choose."""
    if text.startswith("/"):
        return text
    _, scheme, rest = text.partition("://")
    if not scheme:
        return text
    at = min((rest.find(mark) for mark in "/?" if mark in rest), default=-1)
    target = rest[at:] if at >= 0 else ""
    return target if target.startswith("/") else f"/{target}"


def _body_of(request: web.BaseRequest) -> Stream | None:
    return _pieces(request) if request.can_read_body else None


async def _pieces(request: web.BaseRequest) -> AsyncGenerator[bytes, None]:
    while piece := await request.content.read(_PIECE_BYTES):
        yield piece


async def _stream(response: Response, stream: Stream, request: web.BaseRequest) -> web.StreamResponse:
    sent = _Streamed(response)
    whole = False
    async with aclosing(stream):
        try:
            await sent.prepare(request)
            if request.method != "HEAD":
                async for piece in stream:
                    await sent.write(piece)
            await sent.write_eof()
            whole = True
        except (OriginFailed, ConnectionError):
            pass
        finally:
            if not whole and request.transport is not None:
                request.transport.abort()
    return sent


class _Exact(web.StreamResponse):
    """Adds no header of aiohttp's own but those of the connection: an edge's answer says all of itself."""

    _exact: frozenset[str] = frozenset()

    def _say_all(self, fields: Fields) -> None:
        self._exact = frozenset(name.lower() for name, _ in fields)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        for name in ("Content-Type", "Server"):
            if name.lower() not in self._exact:
                with suppress(KeyError):
                    del self.headers[name]


class _Whole(_Exact, web.Response):
    def __init__(self, response: Response) -> None:
        web.Response.__init__(self, status=response.status, headers=response.headers, body=response.body or None)
        self._say_all(response.headers)


class _Streamed(_Exact):
    def __init__(self, response: Response) -> None:
        super().__init__(status=response.status, headers=response.headers)
        self._say_all(response.headers)
