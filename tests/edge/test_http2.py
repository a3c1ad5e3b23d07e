"""What is granian's alone: how requests and answers pass it, break off, are waited for, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from edge.http1.limits import Limits
from edge.messages import Request, Response, Stream
from tests.edge.granian import Heard, Line, on_granian
from tests.edge.wire import Closed, asked, connected
from tests.system import until

LARGE = b"0123456789abcdef" * 64 * 1024


@pytest.fixture(scope="module")
async def line() -> AsyncIterator[Line]:
    line = Line()
    async with on_granian(line.answer, limits=Limits(look_s=0.05)) as line.port:
        yield line


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def port(heard: Heard, line: Line) -> int:
    line.heard = heard
    return line.port


async def raw(port: int, data: bytes, method: str = "GET") -> Response:
    async with connected(port) as wire:
        await wire.send(data)
        return await wire.answer(method)


def head(start: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([start, b"Host: a", *lines, b"", b""])


CHUNKED = head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked")


async def test_a_request_arrives_as_it_was_sent(heard: Heard, port: int) -> None:
    await raw(port, head(b"GET //a%2fb/../%ff%zz?q=%2f&r HTTP/1.1", b"X-Name: caf\xe9", b"X-Twice: 1", b"X-Twice: 2"))
    [request] = heard.requests
    assert request.url == "//a%2fb/../%ff%zz?q=%2f&r"
    assert (request.field("X-Name"), request.field("X-Twice"), request.stream) == ("caf\xe9", "1, 2", None)


REFUSED = {
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "the asterisk": (400, head(b"OPTIONS * HTTP/1.1")),
    "a letter that is not encoded": (400, head("GET /é HTTP/1.1".encode())),
    "a trace": (501, head(b"TRACE / HTTP/1.1")),
    "a method in small letters": (501, head(b"get / HTTP/1.1")),
    "an expectation": (417, head(b"GET / HTTP/1.1", b"Expect: the-best")),
    "another coding": (501, head(b"POST / HTTP/1.1", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    "two lengths": (400, head(b"POST / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 2") + b"a"),
    "a folded line": (400, head(b"GET / HTTP/1.1", b"X: a", b" b")),
    "an address too long": (414, head(b"GET /" + b"a" * 9000 + b" HTTP/1.1")),
    "too many fields": (431, head(b"GET / HTTP/1.1", *[b"X-%d: a" % n for n in range(120)])),
}


@pytest.mark.parametrize("says", REFUSED)
async def test_what_could_be_read_in_two_ways_is_refused(says: str, heard: Heard, port: int) -> None:
    status, data = REFUSED[says]
    assert (await raw(port, data)).status == status
    assert heard.requests == []


async def test_bodies_stream_in_both_directions(heard: Heard, port: int) -> None:
    async def pieces() -> Stream:
        for _ in range(16):
            yield LARGE[: 64 * 1024]

    heard.response = Response(200, stream=pieces())
    response = await raw(port, CHUNKED + b"5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert response.body == LARGE
    assert heard.bodies == [b"abcdefgh"]
    heard.response = Response(200, (), LARGE)
    assert (await asked(port, Request("PUT", "/", body=LARGE))).body == LARGE
    assert heard.bodies[-1] == LARGE


@pytest.mark.parametrize(
    "data",
    [CHUNKED + b"5\r\nabcde\r\n", head(b"POST / HTTP/1.1", b"Content-Length: 50") + b"abcde"],
    ids=["in chunks", "counted"],
)
async def test_an_upload_that_breaks_off_is_never_taken_for_a_whole_one(data: bytes, heard: Heard, port: int) -> None:
    async with asyncio.timeout(10):
        async with connected(port) as wire:
            await wire.send(data)
            await heard.begun.wait()
        await heard.ended.wait()
    assert heard.bodies == []


async def test_a_chunk_longer_than_its_size_is_refused(heard: Heard, port: int) -> None:
    assert (await raw(port, CHUNKED + b"3\r\nabcde\r\n0\r\n\r\n")).status == 400
    assert heard.bodies == []


@pytest.mark.parametrize("fields", [(), (("Content-Length", "9"),)], ids=["in chunks", "counted"])
async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(
    fields: tuple[tuple[str, str], ...], heard: Heard, port: int
) -> None:
    async def pieces() -> Stream:
        yield b"a part"
        raise ConnectionError

    heard.response = Response(200, fields, stream=pieces())
    with pytest.raises(Closed):
        await raw(port, head(b"GET / HTTP/1.1"))


async def test_an_answer_shorter_than_it_says_is_cut_off(heard: Heard, port: int) -> None:
    async def pieces() -> Stream:
        yield b"a part"

    heard.response = Response(200, (("Content-Length", "9"),), stream=pieces())
    with pytest.raises(Closed):
        await raw(port, head(b"GET / HTTP/1.1"))


@pytest.mark.parametrize(
    "response",
    [Response(200, (("X", "a\r\nY: b"),)), Response(200, (("X", "\u20ac"),)), Response(99)],
    ids=["a line break", "a foreign letter", "no status"],
)
async def test_an_answer_that_cannot_be_said_is_a_problem(response: Response, heard: Heard, port: int) -> None:
    heard.response = response
    assert (await raw(port, head(b"GET / HTTP/1.1"))).status == 502


async def test_answers_without_a_body_say_what_the_service_said(heard: Heard, port: int) -> None:
    heard.response = Response(200, (("Content-Length", "10"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT")))
    response = await raw(port, head(b"HEAD / HTTP/1.1"), "HEAD")
    assert (response.field("Content-Length"), response.field("Date")) == ("10", "Mon, 01 Jan 2024 00:00:00 GMT")
    heard.response = Response(200)
    assert (await raw(port, head(b"HEAD / HTTP/1.1"), "HEAD")).field("Content-Length") is None
    heard.response = Response(304, (("ETag", '"a"'),))
    async with connected(port) as wire:
        for _ in range(2):
            await wire.send(head(b"GET / HTTP/1.1"))
            assert (await wire.answer()).status == 304
    heard.response = Response(200, (("X-Name", "caf\xe9"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))
    response = await raw(port, head(b"GET / HTTP/1.0"))
    assert (response.field("X-Name"), response.field("Set-Cookie")) == ("caf\xe9", "a=1, b=2")


async def test_a_client_that_goes_away_ends_the_work_done_for_it() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with asyncio.timeout(10), on_granian(answer, limits=Limits(look_s=0.05)) as port:
        async with connected(port) as wire:
            await wire.send(head(b"GET / HTTP/1.1"))
            await begun.wait()
        await ended.wait()


async def test_a_slow_reader_is_not_filled_up_and_in_the_end_cut_off() -> None:
    sent, ended = [0], asyncio.Event()

    async def pieces() -> Stream:
        try:
            while True:
                sent[0] += len(LARGE)
                yield LARGE
        finally:
            ended.set()

    async def answer(request: Request) -> Response:
        return Response(200, stream=pieces())

    async with asyncio.timeout(20), on_granian(answer, limits=Limits(stall_s=0.5)) as port, connected(port) as wire:
        await wire.send(head(b"GET / HTTP/1.1"))
        await ended.wait()
    assert sent[0] < 64 * len(LARGE)


async def test_half_a_head_is_waited_for_only_so_long() -> None:
    heard = Heard()
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        limits = Limits(look_s=0.05, linger_s=0.1, head_s=0.3)
        port = await stack.enter_async_context(on_granian(heard.answer, limits=limits))
        wire = await stack.enter_async_context(connected(port))
        await wire.send(b"GET / HTTP/1.1\r\nHo")
        await wire.rest()
    assert heard.requests == []


async def test_a_body_that_does_not_go_on_is_waited_for_only_so_long() -> None:
    heard = Heard()
    async with asyncio.timeout(10), on_granian(heard.answer, limits=Limits(stall_s=0.3)) as port:
        assert (await raw(port, CHUNKED + b"5\r\nab")).status == 408
    assert heard.bodies == []


async def test_a_request_under_way_is_answered_when_the_edge_stops() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return Response(200, (), b"in time")

    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(AsyncExitStack())
        port = await serving.enter_async_context(on_granian(answer))
        wire = await stack.enter_async_context(connected(port))
        await wire.send(head(b"GET / HTTP/1.1"))
        await begun.wait()
        stopping = asyncio.create_task(serving.aclose())
        await until(lambda: is_refused(port), what="no new connection is taken")
        go_on.set()
        assert (await wire.answer()).body == b"in time"
        await stopping


async def is_refused(port: int) -> bool:
    try:
        async with connected(port):
            return False
    except ConnectionError:
        return True


async def test_a_request_that_does_not_end_does_not_keep_the_edge_from_stopping() -> None:
    begun = asyncio.Event()

    async def answer(request: Request) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.timeout(10), AsyncExitStack() as stack:
        serving = await stack.enter_async_context(AsyncExitStack())
        port = await serving.enter_async_context(on_granian(answer, limits=Limits(stall_s=0.2, drain_s=0.2)))
        wire = await stack.enter_async_context(connected(port))
        await wire.send(head(b"GET / HTTP/1.1"))
        await begun.wait()
        await serving.aclose()
