"""The one table of stories behind granian, over HTTP/1.1; and what is granian's alone: HTTP/2, TLS, how it ends."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.http1.limits import Limits
from edge.messages import Request, Response, Stream
from edge.upstream import upstream
from gateway.edge.certificate import Certificate
from gateway.edge.http2 import Http2Listener
from tests.blackbox.edge import EdgeProgram, Shop, edge_program, refuses
from tests.edge.checking import ScriptedOrigin, check, marked
from tests.edge.serving import Answer, Plain, body_of
from tests.edge.stories import STORIES
from tests.edge.table import EDGE_NAME, Case
from tests.edge.test_http1_stories import Stage
from tests.edge.wire import LOOPBACK, Closed, asked, connected, origin_on_http
from tests.system import until

LARGE = b"0123456789abcdef" * 64 * 1024


@asynccontextmanager
async def on_granian(
    answer: Answer, *, certificate: Certificate | None = None, limits: Limits | None = None
) -> AsyncIterator[int]:
    """The port of granian with this service, for the length of the block."""
    listener = Http2Listener(Plain(answer), certificate=certificate, limits=limits or Limits())
    sock = socket.socket()
    sock.bind((LOOPBACK, 0))
    port = sock.getsockname()[1]
    await listener.start(sock)
    try:
        yield port
    finally:
        await listener.stop()


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        stage = Stage(ScriptedOrigin())
        port = await stack.enter_async_context(origin_on_http(stage.say))
        stage.upstream = await stack.enter_async_context(upstream(f"http://{LOOPBACK}:{port}", name=EDGE_NAME))
        stage.port = await stack.enter_async_context(on_granian(stage.answer))
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_answers_behind_granian(case: Case, stage: Stage) -> None:
    stage.begin()
    for number, step in enumerate(marked(case, "http2").steps, 1):
        stage.expect(step)
        response = await asked(stage.port, step.request)
        await stage.rest()
        try:
            check(step, response, stage.script.asked)
        except AssertionError as wrong:
            raise AssertionError(f"{case.says}, step {number}: {wrong}") from None


@dataclass
class Heard:
    """A service that notes what it was asked, and answers what a test has it answer."""

    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    response: Response = field(default_factory=lambda: Response(200, (), b"heard"))

    async def answer(self, request: Request) -> Response:
        self.requests.append(request)
        self.begun.set()
        try:
            self.bodies.append(await body_of(request))
        finally:
            self.ended.set()
        return self.response


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def port(heard: Heard) -> AsyncIterator[int]:
    async with on_granian(heard.answer, limits=Limits(look_s=0.05)) as port:
        yield port


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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One that nobody signed but itself."""
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "edge.crt", folder / "edge.key")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    files = ("-out", str(made.chain), "-keyout", str(made.key))
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    return made


@pytest.fixture
async def secure(heard: Heard, certificate: Certificate) -> AsyncIterator[int]:
    async with on_granian(heard.answer, certificate=certificate) as port:
        yield port


async def test_it_speaks_tls_to_who_trusts_its_certificate(secure: int, certificate: Certificate) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate.chain))
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(LOOPBACK, secure, ssl=trusting)
    tls = writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "h2"
    assert tls.version() == "TLSv1.3"
    writer.close()
    trusting.set_alpn_protocols(["http/1.1"])
    reader, writer = await asyncio.open_connection(LOOPBACK, secure, ssl=trusting)
    writer.write(head(b"GET / HTTP/1.1", b"Connection: close"))
    assert (await reader.read()).endswith(b"heard")
    writer.close()


async def curl(port: int, *arguments: str) -> tuple[int, str]:
    """curl by HTTP/2 over TLS: its exit status, and what it wrote."""
    command = ("curl", "--http2", "-k", "-s", "-S", "-m", "10", *arguments, f"https://{LOOPBACK}:{port}/a%2fb?c=d")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def test_two_workers_are_one_cache_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    shop = Shop()
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(origin_on_http(shop.answer))
        arguments = ("--server", "granian", "--origin", f"http://{LOOPBACK}:{origin}")
        edge = await stack.enter_async_context(edge_program(tmp_path, *arguments, workers=2))

        async def is_whole() -> bool:
            try:
                return bool((await edge.health())["workers"]["answering"] == 2)
            except (Closed, OSError):
                return False  # it stood in the queue of the one that was killed

        await until(is_whole, what="both workers answer")
        assert {(await edge.get("/one")).body for _ in range(12)} == {b"/one 0"}
        killed, _ = edge.workers()
        os.kill(killed, signal.SIGKILL)
        await until(lambda: none_is(killed, edge), what="it is replaced")
        await until(is_whole, within_s=15, what="both workers answer")
        assert {(await edge.get("/one")).status for _ in range(12)} == {200}
        assert await edge.stop() == 0
        assert await refuses(edge.port)
        assert "Traceback" not in edge.said()


async def none_is(killed: int, edge: EdgeProgram) -> bool:
    return killed not in edge.workers() and len(edge.workers()) == 2


@needs_curl
async def test_it_speaks_http2(heard: Heard, secure: int) -> None:
    told = ("-w", " %{http_version} %{http_code}")
    assert await curl(secure, *told, "-H", "Cookie: a=1", "-H", "Cookie: b=2") == (0, "heard 2 200")
    assert await curl(secure, *told, "-X", "DELETE") == (0, "heard 2 200")
    assert await curl(secure, *told, "-d", "content", "-H", "Host: elsewhere.example") == (0, "heard 2 200")
    first, second, third = heard.requests
    assert (first.url, first.field("Cookie"), first.stream) == ("/a%2fb?c=d", "a=1; b=2", None)
    assert first.field("Host") == f"{LOOPBACK}:{secure}"
    assert (second.method, second.stream, heard.bodies[2]) == ("DELETE", None, b"content")
    assert third.field("Host") == "elsewhere.example"


@needs_curl
async def test_an_answer_over_http2_that_breaks_off_is_never_taken_for_a_whole_one(heard: Heard, secure: int) -> None:
    async def pieces() -> Stream:
        yield b"a part"
        raise ConnectionError

    heard.response = Response(200, stream=pieces())
    status, _ = await curl(secure)
    assert status != 0
