"""The edge's own HTTP/1.1 server: connections, bodies, patience, and an end that drops nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from edge.http1.limits import Limits
from edge.http1.listener import Listener
from edge.messages import Request, Response, Stream
from edge.origin import OriginFailed
from tests.edge.serving import body_of, listening
from tests.edge.wire import Closed, Wire, connected
from tests.system import until

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
HASTY = Limits(head_s=0.3, idle_s=0.3, stall_s=0.3, linger_s=0.2, look_s=0.05, drain_s=5.0, late_s=0.02)


async def echo(request: Request) -> Response:
    """What was asked: the method, the address and the body."""
    body = await body_of(request)
    return Response(200, (), f"{request.method} {request.url} ".encode() + body)


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    async with listening(echo) as (port, _):
        yield port


async def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    async with connected(port) as wire:
        for _ in range(3):
            await wire.send(GET)
            response = await wire.answer()
            assert (response.status, response.body) == (200, b"GET /a ")
            assert response.field("Connection") is None
            assert response.field("Date")


async def test_requests_in_one_piece_or_byte_by_byte_are_the_same(port: int) -> None:
    data = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" + GET
    async with connected(port) as wire:
        await wire.send(data)
        whole = [(await wire.answer()).body, (await wire.answer()).body]
        for byte in data:
            await wire.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert [(await wire.answer()).body, (await wire.answer()).body] == whole == [b"POST /p body", b"GET /a "]


async def test_a_hundred_requests_at_once_are_answered_in_order(port: int) -> None:
    async with connected(port) as wire:
        await wire.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(100)))
        assert [(await wire.answer()).body for _ in range(100)] == [b"GET /%d " % n for n in range(100)]


@pytest.mark.parametrize(
    ("request_", "is_kept"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, Close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_a_connection_ends_when_the_client_says_so(request_: bytes, is_kept: bool, port: int) -> None:
    async with connected(port) as wire:
        await wire.send(request_)
        response = await wire.answer()
        assert response.body == b"GET /a "
        assert response.field("Connection") == ("keep-alive" if is_kept else "close")
        if not is_kept:
            assert await wire.rest() == b""


async def test_a_client_that_waits_is_told_to_go_on(port: int) -> None:
    async with connected(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert (await wire.interim()).startswith(b"HTTP/1.1 100 ")
        await wire.send(b"body")
        assert (await wire.answer()).body == b"POST / body"


async def test_a_client_that_waits_is_not_told_to_go_on_where_nobody_wants_its_body() -> None:
    async def refuse(_: Request) -> Response:
        return Response(413, (), b"too large")

    async with listening(refuse) as (port, _), connected(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        received = await wire.rest()
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in received


async def test_an_answer_before_the_end_of_the_body_is_seen_by_who_still_sends() -> None:
    async def refuse(_: Request) -> Response:
        return Response(413, (), b"too large")

    async with listening(refuse, limits=HASTY) as (port, _), connected(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 2_000_000)
        assert (await wire.answer()).status == 413


@pytest.mark.parametrize("status", [200, 304, 204])
async def test_a_head_ends_with_its_head(status: int) -> None:
    async def answer(_: Request) -> Response:
        return Response(status, (("Content-Length", "1000"),) if status != 204 else ())

    async with listening(answer) as (port, _), connected(port) as wire:
        await wire.send(GET.replace(b"GET", b"HEAD") * 2)
        for _ in range(2):
            response = await wire.answer("HEAD")
            assert (response.status, response.body) == (status, b"")


def streaming(*pieces: bytes, headers: tuple[tuple[str, str], ...] = (), breaks: bool = False) -> Response:
    async def stream() -> Stream:
        for piece in pieces:
            yield piece
        if breaks:
            raise OriginFailed("cut off")

    return Response(200, headers, stream=stream())


async def test_a_stream_goes_out_in_chunks_or_by_its_length() -> None:
    async def answer(request: Request) -> Response:
        headers = (("Content-Length", "6"),) if request.path == "/length" else ()
        return streaming(b"abc", b"", b"def", headers=headers)

    async with listening(answer) as (port, _), connected(port) as wire:
        await wire.send(GET + GET.replace(b"/a", b"/length"))
        chunked, counted = await wire.answer(), await wire.answer()
        assert chunked.body == counted.body == b"abcdef"
        assert (chunked.field("Transfer-Encoding"), counted.field("Transfer-Encoding")) == ("chunked", None)
        await wire.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        old = await wire.answer()
        assert (old.body, old.field("Transfer-Encoding"), old.field("Connection")) == (b"abcdef", None, "close")


@pytest.mark.parametrize(
    "response",
    [
        lambda: streaming(b"abc", breaks=True),
        lambda: streaming(b"abc", headers=(("Content-Length", "6"),), breaks=True),
        lambda: streaming(b"abc", headers=(("Content-Length", "6"),)),
        lambda: streaming(b"abcdefg", headers=(("Content-Length", "6"),)),
    ],
)
async def test_a_stream_that_breaks_off_never_looks_whole(response) -> None:  # type: ignore[no-untyped-def]
    async def answer(_: Request) -> Response:
        return response()  # type: ignore[no-any-return]

    async with listening(answer) as (port, _), connected(port) as wire:
        await wire.send(GET)
        with pytest.raises(Closed):
            await wire.answer()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=1", "a\nb", "قطر"])
async def test_an_answer_that_would_be_two_is_not_sent(value: str) -> None:
    async def answer(_: Request) -> Response:
        return Response(200, (("X-Name", value),), b"body")

    async with listening(answer) as (port, _), connected(port) as wire:
        await wire.send(GET)
        received = await wire.rest()
    assert received.startswith(b"HTTP/1.1 502 ")
    assert b"Set-Cookie" not in received


async def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def answer(_: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with listening(answer) as (port, _), asyncio.timeout(5):
        async with connected(port) as wire:
            await wire.send(GET)
            await begun.wait()
        await ended.wait()


async def test_a_client_that_leaves_in_the_middle_of_an_answer_closes_its_stream() -> None:
    closed = asyncio.Event()

    async def endless() -> Stream:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    async def answer(_: Request) -> Response:
        return Response(200, (), stream=endless())

    async with listening(answer) as (port, _), asyncio.timeout(5):
        async with connected(port) as wire:
            await wire.send(GET)
            await wire.interim()
        await closed.wait()


async def test_a_reader_that_takes_nothing_stops_the_stream_and_is_cut_off() -> None:
    made = 0
    closed = asyncio.Event()

    async def endless() -> Stream:
        nonlocal made
        try:
            while True:
                made += 1
                yield b"x" * 65536
        finally:
            closed.set()

    async def answer(_: Request) -> Response:
        return Response(200, (), stream=endless())

    async with listening(answer, limits=HASTY) as (port, _), connected(port) as wire, asyncio.timeout(10):
        await wire.send(GET)
        await closed.wait()
        assert made < 1000, "what is not taken is not made: 64 MB would have been"


async def test_a_body_that_nobody_takes_is_not_held() -> None:
    go = asyncio.Event()

    async def answer(request: Request) -> Response:
        await go.wait()
        return Response(200, (), str(len(await body_of(request))).encode())

    size = 30_000_000
    async with listening(answer) as (port, listener), connected(port) as wire:
        sending = asyncio.create_task(
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        )

        async def is_held_up() -> bool:
            return listener.received_bytes_max > 0

        await until(is_held_up)
        await asyncio.sleep(0.1)  # time to send more than it may
        assert not sending.done()
        assert listener.received_bytes_max < 1_000_000
        go.set()
        assert (await wire.answer()).body == b"%d" % size
        await sending


SLOW = {
    "no request at all": (b"", b""),
    "half a head": (GET[:-5], b"HTTP/1.1 408 "),
    "a head that begins with an empty line": (b"\r\n", b""),
    "half a body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.1 408 "),
    "half a chunk": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", b"HTTP/1.1 408 "),
}


@pytest.mark.parametrize("says", SLOW)
async def test_patience_ends(says: str) -> None:
    sent, told = SLOW[says]
    async with listening(echo, limits=HASTY) as (port, listener), connected(port) as wire:
        await wire.send(sent)
        try:
            assert (await wire.rest())[:13] == told
        except ConnectionResetError:
            assert not told
        await until(lambda: _are_open(listener, 0))


async def test_a_head_that_trickles_has_no_more_time_than_another() -> None:
    async with listening(echo, limits=HASTY) as (port, _), connected(port) as wire:

        async def trickle() -> None:
            for byte in GET * 100:
                await wire.send(bytes((byte,)))
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert (await wire.rest()).startswith(b"HTTP/1.1 408 ")
        trickling.cancel()


@pytest.mark.parametrize(("body_bytes_min", "is_heard"), [(100, False), (1, True)])
async def test_a_body_that_trickles_is_given_up_and_one_that_comes_at_the_least_rate_is_not(
    body_bytes_min: int, is_heard: bool
) -> None:
    limits = replace(HASTY, stall_s=1.0, body_bytes_min=body_bytes_min)
    async with listening(echo, limits=limits) as (port, _), connected(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n")

        async def trickle() -> None:
            for _ in range(40):
                await wire.send(b"x")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert (await wire.answer()).status == (200 if is_heard else 408)
        trickling.cancel()


async def test_the_time_in_which_nobody_takes_a_body_is_not_its_sender_s() -> None:
    async def slow(request: Request) -> Response:
        assert request.stream is not None
        size = 0
        async for piece in request.stream:
            size += len(piece)
            await asyncio.sleep(0.5)
        return Response(200, (), b"%d" % size)

    async with listening(slow, limits=HASTY) as (port, _), connected(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        for byte in (b"b", b"c"):
            await asyncio.sleep(0.4)  # while the first is dealt with, which takes longer than a client may
            await wire.send(byte)
        assert (await wire.answer()).body == b"3"


async def test_an_answer_without_a_body_says_no_length() -> None:
    async def answer(_: Request) -> Response:
        return Response(204, (("Content-Length", "5"), ("X-A", "1")))

    async with listening(answer) as (port, _), connected(port) as wire:
        for asked in (GET, GET.replace(b"GET", b"DELETE"), GET.replace(b"GET", b"HEAD")):
            await wire.send(asked)
            response = await wire.answer("HEAD")
            assert (response.status, response.field("Content-Length"), response.field("X-A")) == (204, None, "1")


async def test_an_idle_connection_is_closed_and_one_that_works_is_not() -> None:
    go = asyncio.Event()

    async def answer(request: Request) -> Response:
        if request.path == "/slow":
            await go.wait()
        return Response(200, (), b"done")

    async with (
        listening(answer, limits=HASTY) as (port, _),
        connected(port) as idle,
        connected(port) as slow,
    ):
        await idle.send(GET)
        await idle.answer()
        await slow.send(GET.replace(b"/a", b"/slow"))
        assert await idle.rest() == b""
        go.set()
        assert (await slow.answer()).body == b"done"


async def test_one_connection_too_many_is_told_so() -> None:
    async with listening(echo, limits=Limits(connections=2, late_s=0.02)) as (port, _), AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(port)) for _ in range(2)]
        for wire in wires:
            await wire.send(GET)
            await wire.answer()
        async with connected(port) as more:
            assert (await more.rest()).startswith(b"HTTP/1.1 503 ")
        await wires[0].send(GET)
        assert (await wires[0].answer()).status == 200


async def test_at_the_end_requests_under_way_finish_and_no_accepted_one_is_dropped() -> None:
    go, begun = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        if request.path == "/slow":
            begun.set()
            await go.wait()
        return Response(200, (), b"done")

    async with listening(answer, limits=Limits(late_s=1.0)) as (port, listener), AsyncExitStack() as stack:
        idle, slow, late = [await stack.enter_async_context(connected(port)) for _ in range(3)]
        await idle.send(GET)
        await idle.answer()
        await slow.send(GET.replace(b"/a", b"/slow"))
        await begun.wait()
        stopping = asyncio.create_task(listener.stop())
        await until(lambda: _refuses(port), what="the listener is closed")
        await late.send(GET)
        assert (await _last(late)).body == b"done", "it had connected before"
        assert await idle.rest() == b""
        assert not stopping.done()
        go.set()
        assert (await _last(slow)).body == b"done"
        await stopping


async def test_at_the_end_patience_is_bounded() -> None:
    async def answer(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        listening(answer, limits=Limits(stall_s=0.5, drain_s=0.5, late_s=0.02)) as (port, listener),
        connected(port) as wire,
    ):
        await wire.send(GET)
        await until(lambda: _are_open(listener, 1))
        async with asyncio.timeout(5):
            await listener.stop()
        with pytest.raises(Closed):
            await wire.answer()


async def _last(wire: Wire) -> Response:
    response = await wire.answer()
    assert response.field("Connection") == "close"
    return response


async def _are_open(listener: Listener[Request], count: int) -> bool:
    return listener.connections == count


async def _refuses(port: int) -> bool:
    try:
        async with connected(port):
            return False
    except ConnectionRefusedError:
        return True
