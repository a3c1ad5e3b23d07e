"""The origin asked over HTTP: what it says comes back as it was, and what is no whole answer is none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from edge.messages import Request, Response, Stream
from edge.origin import OriginFailed
from edge.upstream import Upstream, UpstreamLimits, upstream
from tests.edge.serving import body_of

END = b"\r\n\r\n"
LIMITS = UpstreamLimits(connect_s=0.4, first_byte_s=0.4, between_reads_s=0.4, at_once_bytes=100)


@dataclass
class Crude:
    """An origin that reads requests and says bytes: one line of `says` for each; None closes the connection."""

    says: list[bytes | None] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    is_closing: bool = True
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    """One a connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                await self._one(reader, writer)
                if self.is_closing:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(END)).decode("latin-1")
        self.heads.append(head)
        lower = head.lower()
        if "content-length: " in lower:
            self.bodies.append(await reader.readexactly(int(lower.partition("content-length: ")[2].split("\r")[0])))
        if "transfer-encoding: chunked" in lower:
            self.bodies.append(await reader.readuntil(b"0\r\n\r\n"))
        said = self.says.pop(0) if self.says else await asyncio.Event().wait() and None
        if said is None:
            raise ConnectionError
        writer.write(said)
        await writer.drain()


@asynccontextmanager
async def crude(*says: bytes | None, limits: UpstreamLimits = LIMITS) -> AsyncIterator[tuple[Upstream, Crude]]:
    origin = Crude(list(says))
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(origin.serve(reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with upstream(
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="edge", limits=limits
        ) as asked:
            yield asked, origin
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ok(*fields: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields, b"", b""]) + body


async def whole(response: Response) -> bytes:
    """The whole body of a response."""
    if response.stream is None:
        return response.body
    return b"".join([piece async for piece in response.stream])


GET = Request("GET", "/")


async def test_an_answer_comes_back_as_it_was_said() -> None:
    said = ok(b"Content-Length: 5", b'ETag: W/"x"', b"X-A: 1", b"x-a: 2", b"X-Name: caf\xe9", body=b"hello")
    async with crude(said) as (asked, _):
        response = await asked(GET)
    assert (response.status, response.body) == (200, b"hello")
    assert response.headers == (
        ("Content-Length", "5"),
        ("ETag", 'W/"x"'),
        ("X-A", "1"),
        ("x-a", "2"),
        ("X-Name", "café"),
    )


async def test_what_is_packed_stays_packed() -> None:
    async with crude(ok(b"Content-Length: 4", b"Content-Encoding: gzip", body=b"\x1f\x8b\x08\x00")) as (asked, _):
        assert (await asked(GET)).body == b"\x1f\x8b\x08\x00"


async def test_a_redirect_is_an_answer_like_others() -> None:
    async with crude(ok(b"Location: http://127.0.0.2:1/", b"Content-Length: 0", status=b"302 Found")) as (
        asked,
        origin,
    ):
        assert (await asked(GET)).status == 302
    assert len(origin.heads) == 1


async def test_a_cookie_is_not_kept_for_the_next_request() -> None:
    said = ok(b"Content-Length: 0", b"Set-Cookie: a=1; Path=/")
    async with crude(said, said) as (asked, origin):
        await asked(GET)
        await asked(GET)
    assert "cookie" not in origin.heads[1].lower()


async def test_interim_answers_are_passed_over() -> None:
    said = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(b"Content-Length: 2", body=b"hi")
    async with crude(said) as (asked, _):
        response = await asked(GET)
    assert (response.status, response.body, response.field("Link")) == (200, b"hi", None)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"304 Not Modified"), ("GET", b"204 No Content")]
)
async def test_an_answer_without_a_body_ends_with_its_head(method: str, status: bytes) -> None:
    fields = () if status.startswith(b"204") else (b"Content-Length: 1000",)
    async with crude(ok(*fields, status=status)) as (asked, _):
        response = await asked(Request(method, "/"))
    assert (response.body, response.stream) == (b"", None)


async def test_hop_by_hop_fields_end_here_in_both_directions() -> None:
    said = ok(b"Connection: close, X-Hop", b"X-Hop: 1", b"Keep-Alive: timeout=5", b"Content-Length: 0", b"X-End: 1")
    async with crude(said) as (asked, origin):
        response = await asked(
            Request(
                "GET",
                "/",
                (
                    ("Host", "elsewhere.example"),
                    ("Connection", "X-Secret"),
                    ("X-Secret", "1"),
                    ("TE", "trailers"),
                    ("Upgrade", "websocket"),
                    ("Proxy-Authorization", "Basic x"),
                    ("Via", "1.0 a"),
                    ("X-End", "2"),
                ),
            )
        )
    assert {name for name, _ in response.headers} == {"Content-Length", "X-End"}
    lower = origin.heads[0].lower()
    assert "x-end: 2" in lower
    assert "via: 1.0 a, 1.1 edge" in lower
    for gone in ("elsewhere", "x-secret", "te:", "upgrade", "proxy-authorization"):
        assert gone not in lower


async def test_nothing_is_made_up_that_the_client_did_not_send() -> None:
    async with crude(ok(b"Content-Length: 0")) as (asked, origin):
        await asked(GET)
    names = [line.partition(":")[0] for line in origin.heads[0].strip().split("\r\n")[1:]]
    assert sorted(names) == ["Host", "Via"]


@pytest.mark.parametrize("path", ["/a%2fb", "//a", "/a/../b", "/%2e%2e", "/a;b=c", "/a|b", '/"x"', "/%ff", "/a%0d%0ab"])
async def test_the_address_goes_on_byte_for_byte(path: str) -> None:
    async with crude(ok(b"Content-Length: 0")) as (asked, origin):
        await asked(Request("GET", path, query="q=%41&r=a+b&s"))
    assert origin.heads[0].startswith(f"GET {path}?q=%41&r=a+b&s HTTP/1.1\r\n")


BROKEN = {
    "a body shorter than its length": ok(b"Content-Length: 50", body=b"short"),
    "chunks without their end": ok(b"Transfer-Encoding: chunked", body=b"5\r\nabcde\r\n"),
    "a chunk that is none": ok(b"Transfer-Encoding: chunked", body=b"zz\r\nabcde\r\n0\r\n\r\n"),
    "both ends told": ok(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "two lengths": ok(b"Content-Length: 5", b"Content-Length: 6", body=b"abcdef"),
    "two equal lengths": ok(b"Content-Length: 5", b"Content-Length: 5", body=b"abcde"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n" + END,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "a field too long": ok(b"Content-Length: 0", b"X: " + b"a" * 70_000),
    "a status that is none": ok(b"Content-Length: 0", status=b"abc OK"),
    "a status below all": ok(b"Content-Length: 2", body=b"hi", status=b"099 Low"),
    "another protocol": ok(b"Upgrade: x", b"Connection: upgrade", status=b"101 Switching Protocols"),
    "a name that is none": ok(b"Content-Length: 2", b"X A: 1", body=b"hi"),
    "a name in brackets": ok(b"Content-Length: 2", b"X[A]: 1", body=b"hi"),
    "a coding before the chunks": ok(b"Transfer-Encoding: gzip, chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
    "a coding that nobody undid": ok(b"Transfer-Encoding: gzip", body=b"hi"),
    "chunks in chunks": ok(b"Transfer-Encoding: chunked, chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("says", BROKEN)
async def test_it_is_no_answer(says: str) -> None:
    async with crude(BROKEN[says], BROKEN[says]) as (asked, _):
        with pytest.raises(OriginFailed) as failure:
            await whole(await asked(GET))
    assert not failure.value.timed_out
    assert "127.0.0.1" not in str(failure.value), "no address"


async def test_a_large_answer_comes_in_pieces_and_its_breaking_off_is_told() -> None:
    async with crude(ok(b"Content-Length: 1000", body=b"x" * 500)) as (asked, _):
        response = await asked(GET)
        assert response.status == 200
        assert response.stream is not None
        with pytest.raises(OriginFailed):
            await whole(response)


async def test_who_does_not_read_on_lets_the_origin_go() -> None:
    async with crude(ok(b"Content-Length: 1000000", body=b"x" * 5000)) as (asked, origin):
        origin.is_closing = False
        response = await asked(GET)
        assert response.stream is not None
        await anext(response.stream)
        await response.stream.aclose()
        async with asyncio.timeout(5):
            await origin.gone.wait()


async def test_an_origin_that_says_nothing_or_stops_in_the_middle_has_timed_out() -> None:
    async with crude() as (asked, _):
        with pytest.raises(OriginFailed) as failure:
            await asked(GET)
    assert failure.value.timed_out
    async with crude(ok(b"Content-Length: 50", body=b"short")) as (asked, origin):
        origin.is_closing = False
        with pytest.raises(OriginFailed) as failure:
            await asked(GET)
    assert failure.value.timed_out


async def test_nobody_listens() -> None:
    async with upstream("http://127.0.0.1:1", name="edge", limits=LIMITS) as asked:
        with pytest.raises(OriginFailed, match="could not be asked"):
            await asked(GET)


@pytest.mark.parametrize(("method", "is_repeated"), [("GET", True), ("POST", False)])
async def test_a_kept_connection_found_closed_costs_a_request_only_if_it_might_act_twice(
    method: str, is_repeated: bool
) -> None:
    said = ok(b"Content-Length: 2", body=b"hi")
    async with crude(said, None, said) as (asked, origin):
        origin.is_closing = False
        await asked(Request(method, "/"))
        if is_repeated:
            assert (await asked(Request(method, "/"))).body == b"hi"
        else:
            with pytest.raises(OriginFailed):
                await asked(Request(method, "/"))
        assert len(origin.heads) == (3 if is_repeated else 2)


async def test_what_may_not_be_asked_twice_goes_over_connections_that_were_used_just_now() -> None:
    said = ok(b"Content-Length: 2", body=b"hi")
    async with crude(said, said, limits=replace(LIMITS, idle_once_s=0.05)) as (asked, origin):
        origin.is_closing = False
        await asked(Request("POST", "/"))
        async with asyncio.timeout(5):
            await origin.gone.wait()
        assert (await asked(Request("POST", "/"))).body == b"hi"
        assert origin.connections == 2


SURPLUS = {
    "a body longer than its length": ok(b"Content-Length: 2", body=b"hi there"),
    "an answer after the answer": ok(b"Content-Length: 2", body=b"hi" + ok(b"Content-Length: 4", body=b"evil")),
    "after an interim answer": b"HTTP/1.1 103 Early Hints" + END + ok(b"Content-Length: 2", body=b"hi, evil"),
    "after the last chunk": ok(b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\nevil"),
}


@pytest.mark.parametrize("says", SURPLUS)
async def test_what_comes_beyond_the_end_of_an_answer_is_dropped_with_its_connection(says: str) -> None:
    async with crude(SURPLUS[says], ok(b"Content-Length: 4", body=b"next")) as (asked, origin):
        origin.is_closing = False
        assert await whole(await asked(GET)) == b"hi"
        async with asyncio.timeout(5):
            await origin.gone.wait()
        assert await whole(await asked(GET)) == b"next"


async def test_a_body_where_none_may_be_costs_the_connection_only() -> None:
    async with crude(ok(b"Content-Length: 2", body=b"hi"), ok(b"Content-Length: 4", body=b"next")) as (asked, origin):
        origin.is_closing = False
        response = await asked(Request("HEAD", "/"))
        assert response.body == b""
        assert response.field("Content-Length") == "2"
        async with asyncio.timeout(5):
            await origin.gone.wait()
        assert (await asked(GET)).body == b"next"


async def test_what_an_origin_says_unasked_is_never_the_next_answer() -> None:
    async with crude(ok(b"Content-Length: 2", body=b"hi"), ok(b"Content-Length: 4", body=b"next")) as (asked, origin):
        origin.is_closing = False
        await asked(GET)
        origin.writers[0].write(ok(b"Content-Length: 4", body=b"evil"))
        async with asyncio.timeout(5):
            await origin.gone.wait()
        assert (await asked(GET)).body == b"next"
        assert origin.connections == 2


async def test_a_body_that_turns_out_to_be_malformed_is_not_waited_for() -> None:
    async with crude(ok(b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n")) as (asked, origin):
        origin.is_closing = False
        response = await asked(GET)
        assert response.stream is not None
        assert await anext(response.stream) == b"hi"
        origin.writers[0].write(b"zz\r\nhi\r\n")
        async with asyncio.timeout(5):
            with pytest.raises(OriginFailed):
                await whole(response)


HOLDS_NONE = replace(LIMITS, held_bytes=1)


@pytest.mark.parametrize("limits", [LIMITS, HOLDS_NONE])
async def test_a_body_goes_on_as_it_comes(limits: UpstreamLimits) -> None:
    def streamed(*headers: tuple[str, str]) -> Request:
        return Request("POST", "/", headers, stream=pieces())

    async def pieces() -> Stream:
        yield b"abc"
        yield b"de"

    async with crude(ok(b"Content-Length: 0"), ok(b"Content-Length: 0"), limits=limits) as (asked, origin):
        origin.is_closing = False
        await asked(streamed(("Content-Length", "5"), ("Content-Type", "text/plain")))
        await asked(streamed(("Transfer-Encoding", "chunked")))
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert origin.bodies == [b"abcde", b"abcde" if limits is LIMITS else chunks], "what is whole has its length"
    assert "transfer-encoding" not in origin.heads[0].lower()


async def test_a_body_may_take_longer_than_an_answer_may() -> None:
    async def pieces() -> Stream:
        for _ in range(6):
            yield b"abc"
            await asyncio.sleep(0.4)  # all of them: longer than the origin may take

    async with crude(ok(b"Content-Length: 2", body=b"hi"), limits=HOLDS_NONE) as (asked, origin):
        assert (await asked(Request("POST", "/", (("Content-Length", "18"),), stream=pieces()))).body == b"hi"
    assert origin.bodies == [b"abc" * 6]


async def test_an_origin_that_says_nothing_after_a_body_has_timed_out() -> None:
    async def pieces() -> Stream:
        yield b"abc"
        yield b"de"

    async with crude(limits=HOLDS_NONE) as (asked, _), asyncio.timeout(10):
        with pytest.raises(OriginFailed) as failure:
            await asked(Request("POST", "/", (("Content-Length", "5"),), stream=pieces()))
    assert failure.value.timed_out


async def test_bodies_that_do_not_come_keep_nobody_else_from_the_origin() -> None:
    async def pieces() -> Stream:
        yield b"a"
        await asyncio.Event().wait()

    async with crude(ok(b"Content-Length: 2", body=b"hi"), limits=replace(LIMITS, connections=1)) as (asked, origin):
        slow = [asyncio.create_task(asked(Request("POST", "/", stream=pieces()))) for _ in range(10)]
        await asyncio.sleep(0)
        assert (await asked(Request("POST", "/"))).body == b"hi"
        assert origin.connections == 1
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize("headers", [(("Content-Length", "50"),), ()])
@pytest.mark.parametrize("limits", [LIMITS, HOLDS_NONE])
async def test_a_body_that_breaks_off_never_looks_whole(
    headers: tuple[tuple[str, str], ...], limits: UpstreamLimits
) -> None:
    async def pieces() -> Stream:
        yield b"abc"
        raise ConnectionError("the client left")

    async with crude(ok(b"Content-Length: 0"), limits=limits) as (asked, origin):
        with pytest.raises(OriginFailed) as failure:
            await asked(Request("POST", "/", headers, stream=pieces()))
        assert failure.value.by_client
        if limits is HOLDS_NONE:
            async with asyncio.timeout(5):
                await origin.gone.wait()
        assert origin.connections == (1 if limits is HOLDS_NONE else 0)
        assert origin.bodies == []


async def test_a_body_that_ends_before_its_length_is_not_sent() -> None:
    async def pieces() -> Stream:
        yield b"abc"

    async with crude(ok(b"Content-Length: 0")) as (asked, origin):
        with pytest.raises(OriginFailed):
            await asked(Request("POST", "/", (("Content-Length", "50"),), stream=pieces()))
        assert origin.connections == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"connect_s": 0.0},
        {"first_byte_s": 0.5, "connect_s": 1.0},
        {"idle_once_s": 5.0},
        {"held_bytes": 0},
    ],
)
def test_limits_that_contradict_are_refused(wrong: dict[str, float]) -> None:
    make: Callable[..., UpstreamLimits] = UpstreamLimits
    with pytest.raises(ValueError, match="must hold"):
        make(**wrong)


async def test_the_body_of_a_request_can_be_read() -> None:
    async def pieces() -> Stream:
        yield b"a"

    assert await body_of(Request("POST", "/", stream=pieces())) == b"a"
    assert await body_of(Request("POST", "/", body=b"b")) == b"b"
