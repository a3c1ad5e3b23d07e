"""A client that sends exactly the bytes it is given and reads strictly what comes back; an origin on HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from edge.messages import Fields, Request, Response
from edge.origin import OriginFailed

TIMEOUT_S = 10.0
LOOPBACK = "127.0.0.1"


class Closed(Exception):
    """The server closed the connection before a whole answer; `received` is what came."""

    def __init__(self, received: bytes) -> None:
        super().__init__(received[:200])
        self.received = received


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Response:
        """The next whole answer that is not of the 1xx kind. Raises Closed."""
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    response = await self._answer(method)
            except (asyncio.IncompleteReadError, ConnectionError) as exc:
                raise Closed(getattr(exc, "partial", b"")) from exc
            if response.status >= 200:
                return response

    async def interim(self) -> bytes:
        """The next head, whatever its status."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._reader.read()

    async def _answer(self, method: str) -> Response:
        start, *lines = (await self._reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        status = int(start.split(" ")[1])
        pairs = [line.partition(":") for line in lines]
        headers: Fields = tuple((name, value.strip()) for name, _, value in pairs)
        response = Response(status, headers)
        if method == "HEAD" or status in (204, 304) or status < 200:
            return response
        return Response(status, headers, await self._body(response))

    async def _body(self, response: Response) -> bytes:
        if response.field("Transfer-Encoding") == "chunked":
            return await self._chunks()
        length = response.field("Content-Length")
        if length is not None:
            return await self._reader.readexactly(int(length))
        return await self._reader.read()

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n"))[:-2], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection for the length of the block."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=1024 * 1024)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def asked(port: int, request: Request) -> Response:
    """One request over a connection of its own, as it is."""
    names = {name.lower() for name, _ in request.headers}
    lines = [f"{request.method} {request.url} HTTP/1.1"]
    lines += [] if "host" in names else [f"Host: {LOOPBACK}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if request.body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(request.body)}")
    async with connected(port) as wire:
        await wire.send("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
        return await wire.answer(request.method)


@asynccontextmanager
async def origin_on_http(answer: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[int]:
    """An origin on aiohttp that says what `answer` does and adds nothing; its port. OriginFailed cuts it off."""

    async def handle(received: web.BaseRequest) -> web.StreamResponse:
        path, _, query = received.raw_path.partition("?")
        fields = tuple(received.headers.items())
        request = Request(received.method, path, fields, query, await received.read())
        try:
            response = await answer(request)
        except OriginFailed:
            assert received.transport is not None
            received.transport.abort()
            return web.Response()
        return _Exactly(status=response.status, headers=response.headers, body=response.body or None)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class _Exactly(web.Response):
    async def _prepare_headers(self) -> None:
        given = {name.lower() for name in self.headers}
        await super()._prepare_headers()
        for name in ("Content-Type", "Server"):
            if name.lower() not in given and name in self.headers:
                del self.headers[name]
