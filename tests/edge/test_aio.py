"""The edge on aiohttp: the one table over real HTTP, on both sides; and what only a server can get wrong."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from edge.aio import edge_handler
from edge.messages import Fields, Request, Response, Stream
from edge.origin import OriginFailed
from tests.edge.stage import Stage, staged
from tests.edge.stories import STORIES
from tests.edge.table import Case
from tests.edge.wire import LOOPBACK, Closed, asked, connected
from tests.system import until

PIECE = b"0123456789abcdef" * 4096


@asynccontextmanager
async def served(answer: Callable[[Request, str], Awaitable[Response]], *, region: str = "qa") -> AsyncIterator[int]:
    """An edge behind a bare server of aiohttp; its port."""

    def admit(request: Request, peer: str | None) -> tuple[Request, str]:
        assert peer == LOOPBACK
        return request, region

    server = web.Server(
        edge_handler(answer, admit=admit), access_log=None, auto_decompress=False, handler_cancellation=True
    )
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged(lambda answer: served(lambda request, _: answer(request))) as stage:
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_on_aiohttp_answers(case: Case, stage: Stage) -> None:
    await stage.play(case, "aio")


@dataclass
class Said:
    """Answers each request with the same, and keeps it."""

    response: Response
    requests: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request, region: str) -> Response:
        assert region == "qa"
        self.requests.append(request)
        return self.response


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("//a/../b/./c", "//a/../b/./c", ""),
        ("/%2e%2E/%2f?x=%20+&&y=?", "/%2e%2E/%2f", "x=%20+&&y=?"),
        ("/a%zz?", "/a%zz", ""),
        ("http://elsewhere.example/a?b", "/a", "b"),
        ("http://elsewhere.example?b", "/", "b"),
        ("http://elsewhere.example", "/", ""),
    ],
)
async def test_a_target_is_handed_on_as_it_was_sent_without_any_host(target: str, path: str, query: str) -> None:
    said = Said(Response(200, (("Content-Length", "0"),)))
    async with served(said) as port, connected(port) as wire:
        await wire.send(f"GET {target} HTTP/1.1\r\nHost: here.example\r\n\r\n".encode())
        assert (await wire.answer()).status == 200
    assert [(request.path, request.query) for request in said.requests] == [(path, query)]


async def test_an_answer_has_no_field_but_its_own() -> None:
    fields: Fields = (
        ("X-One", "1"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Date", "Tue, 24 Nov 2026 10:00:00 GMT"),
    )
    async with served(Said(Response(200, fields, b"body"))) as port:
        answer = await asked(port, Request("GET", "/", (("X-Twice", "1"), ("X-Twice", "2"))))
    assert sorted(answer.headers) == sorted((*fields, ("Content-Length", "4")))
    assert answer.body == b"body"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("HEAD", 304), ("GET", 204)])
@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_without_a_body_ends_with_its_head(method: str, status: int, streams: bool) -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        return
        yield b""

    fields: Fields = (("ETag", '"1"'),) if status == 204 else (("ETag", '"1"'), ("Content-Length", "1000"))
    said = Said(Response(status, fields, stream=nothing() if streams else None))
    async with served(said) as port, connected(port) as wire:
        await wire.send(f"{method} / HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        answer = await wire.answer(method)
        assert (answer.status, answer.field("ETag")) == (status, '"1"')
        assert answer.field("Content-Type") is None
        if (method, status) == ("HEAD", 200):
            assert answer.field("Content-Length") == "1000"
        said.response = Response(200, (("Content-Length", "2"),), b"ok")
        await wire.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await wire.answer()).body == b"ok", "the connection is good still"


class Pieces:
    """A body in pieces; how many were taken, and whether it was closed."""

    def __init__(self, count: int, *, breaks: bool = False) -> None:
        self.taken = 0
        self.closed = False
        self._count, self._breaks = count, breaks

    async def stream(self) -> Stream:
        try:
            for _ in range(self._count):
                self.taken += 1
                yield PIECE
            if self._breaks:
                raise OriginFailed("it broke off")
        finally:
            self.closed = True


async def test_a_long_answer_goes_through_piece_by_piece() -> None:
    pieces = Pieces(32)
    for fields in ((("Content-Length", str(32 * len(PIECE))),), ()):
        async with served(Said(Response(200, fields, stream=pieces.stream()))) as port:
            answer = await asked(port, Request("GET", "/"))
        assert answer.body == PIECE * 32
        assert answer.field("Transfer-Encoding") == (None if fields else "chunked")
    assert pieces.closed


@pytest.mark.parametrize("told", [True, False])
async def test_an_answer_that_breaks_off_never_looks_whole(told: bool) -> None:
    fields: Fields = (("Content-Length", str(3 * len(PIECE))),) if told else ()
    pieces = Pieces(2, breaks=True)
    async with served(Said(Response(200, fields, stream=pieces.stream()))) as port:
        with pytest.raises(Closed):
            await asked(port, Request("GET", "/"))
    assert pieces.closed


async def test_a_client_that_goes_away_ends_the_work_for_it() -> None:
    pieces = Pieces(100_000)
    async with served(Said(Response(200, stream=pieces.stream()))) as port:
        async with connected(port) as wire:
            await wire.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await wire.interim()
            wire.writer.transport.abort()

        async def closed() -> bool:
            return pieces.closed

        await until(closed, what="the origin's body is let go")
    assert pieces.taken < 10_000, "a slow reader is not run ahead of"


async def test_a_client_that_goes_away_before_its_answer_ends_the_work_for_it() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def never(request: Request, region: str) -> Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with served(never) as port:
        async with connected(port) as wire:
            await wire.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await began.wait()
            wire.writer.transport.abort()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_long_request_goes_through_piece_by_piece_and_as_it_is() -> None:
    sizes: list[int] = []

    async def taking(request: Request, region: str) -> Response:
        assert request.stream is not None
        assert request.body == b""
        async with aclosing(request.stream) as stream:
            sizes.extend([len(piece) async for piece in stream])
        return Response(200, (), str(sum(sizes)).encode())

    body = b"\x1f\x8b" + PIECE * 32
    async with served(taking) as port:
        answer = await asked(port, Request("PUT", "/", (("Content-Encoding", "gzip"),), body=body))
    assert answer.body == str(len(body)).encode()
    assert max(sizes) <= len(PIECE)


async def test_a_request_without_a_body_has_no_stream() -> None:
    said = Said(Response(200, (), b"ok"))
    async with served(said) as port:
        for method in ("GET", "DELETE", "POST", "PURGE"):
            await asked(port, Request(method, "/"))
    assert [request.stream for request in said.requests] == [None] * 4
