"""The edge over TLS, by HTTP/2 and HTTP/1.1, and as processes behind granian."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.errors import Invalid
from edge.messages import Request, Response, Stream
from gateway.edge.arrivals import Arrivals
from gateway.edge.certificate import Certificate
from gateway.edge.plan import Plan, plan_of
from gateway.geography.trust import TrustedProxies
from tests.blackbox.edge import EdgeProgram, Shop, edge_program, refuses
from tests.edge.granian import Heard, Line, on_granian
from tests.edge.wire import LOOPBACK, Closed, origin_on_http
from tests.system import until


@pytest.fixture
def heard() -> Heard:
    return Heard()


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


@pytest.fixture(scope="module")
async def secure_line(certificate: Certificate) -> AsyncIterator[Line]:
    line = Line()
    async with on_granian(line.answer, certificate=certificate) as line.port:
        yield line


@pytest.fixture
def secure(heard: Heard, secure_line: Line) -> int:
    secure_line.heard = heard
    return secure_line.port


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
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
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


def asked_for(**variables: str | Path) -> Plan:
    return plan_of({"EDGE_ORIGIN": "http://127.0.0.1:1", **{name: str(value) for name, value in variables.items()}})


def test_granian_serves_where_there_is_a_certificate_and_clients_are_said_to_come_by_https(
    certificate: Certificate,
) -> None:
    plan = asked_for(EDGE_TLS_CERT=certificate.chain, EDGE_TLS_KEY=certificate.key)
    assert (plan.server, plan.certificate) == ("granian", certificate)
    assert (asked_for().server, asked_for().certificate) == ("http1", None)
    assert asked_for(EDGE_SERVER="granian").server == "granian"
    arrivals = Arrivals(
        table=None, own_region="", trusted=TrustedProxies.parse(""), country_header="CF-IPCountry", scheme="https"
    )
    assert arrivals.arrived(Request("GET", "/"), LOOPBACK).request.field("X-Forwarded-Proto") == "https"


def test_what_is_wrong_with_a_certificate_is_said_before_anything_starts(certificate: Certificate) -> None:
    chain, key = certificate.chain, certificate.key
    wrong = (
        {"EDGE_TLS_CERT": chain},
        {"EDGE_TLS_KEY": key},
        {"EDGE_TLS_CERT": key, "EDGE_TLS_KEY": chain},
        {"EDGE_TLS_CERT": chain, "EDGE_TLS_KEY": chain.with_name("none")},
        {"EDGE_TLS_CERT": chain, "EDGE_TLS_KEY": key, "EDGE_SERVER": "http1"},
    )
    for variables in wrong:
        with pytest.raises(Invalid) as refused:
            asked_for(**variables)
        assert refused.value.fields[0].field in ("EDGE_TLS_CERT, EDGE_TLS_KEY", "EDGE_SERVER")


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
