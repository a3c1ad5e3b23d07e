"""What two servers in a row could read in two ways is refused, or reaches the one origin as exactly one request."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from edge.bounds import Bounds
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.upstream import upstream
from tests.edge.serving import listening
from tests.edge.wire import connected, origin_on_http


@dataclass
class Chain:
    """The edge on a port, and what its origin was asked."""

    port: int = 0
    seen: list[Request] = field(default_factory=list)

    async def say(self, request: Request) -> Response:
        self.seen.append(request)
        return Response(200, (("Cache-Control", "no-store"),), b"from the origin")

    async def raw(self, data: bytes) -> tuple[list[int], bytes]:
        """Send bytes and nothing more; the statuses of the answers, and all that came until the edge closed."""
        self.seen.clear()
        async with connected(self.port) as wire:
            await wire.send(data)
            received = await wire.rest()
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)], received


@pytest.fixture(scope="module")
async def chain() -> AsyncIterator[Chain]:
    async with AsyncExitStack() as stack:
        chain = Chain()
        at = await stack.enter_async_context(origin_on_http(chain.say))
        origin = await stack.enter_async_context(upstream(f"http://127.0.0.1:{at}", name="edge"))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        edge = Edge(
            name="edge",
            cache=MemoryCache(Bounds()),
            origin=origin,
            clock=time.time,
            spawn=lambda work: void(tasks.create_task(work)),
        )
        chain.port, _ = await stack.enter_async_context(listening(lambda request: edge.handle(request, "")))
        yield chain


def void(_: object) -> None:
    """For what is kept elsewhere."""


NEXT = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def get(target: bytes, *fields: bytes) -> bytes:
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: a", b"Connection: close", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


REFUSED = {
    "both lengths": (400, post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + NEXT)),
    "both lengths, the other way": (400, post(b"Transfer-Encoding: chunked", b"Content-Length: 40", body=NEXT)),
    "two lengths": (400, post(b"Content-Length: 5", b"Content-Length: 6", body=b"abcdef" + NEXT)),
    "two equal lengths": (400, post(b"Content-Length: 5", b"Content-Length: 5", body=b"abcde")),
    "a list of lengths": (400, post(b"Content-Length: 5, 5", body=b"abcde")),
    "a length with a sign": (400, post(b"Content-Length: +5", body=b"abcde")),
    "a negative length": (400, post(b"Content-Length: -5", body=b"abcde")),
    "a length in hex": (400, post(b"Content-Length: 0x5", body=b"abcde")),
    "a length with an underscore": (400, post(b"Content-Length: 1_0", body=b"abcde")),
    "an empty length": (400, post(b"Content-Length:", body=b"abcde")),
    "a length no number can be": (400, post(b"Content-Length: " + b"9" * 30, body=b"abcde")),
    "a space before the colon": (400, post(b"Content-Length : 5", body=b"abcde")),
    "a tab before the colon": (400, post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n")),
    "a folded line": (400, post(b"X: a", b" Transfer-Encoding: chunked")),
    "a bare CR in a value": (400, post(b"X: a\rTransfer-Encoding: chunked")),
    "a bare LF between fields": (400, b"POST / HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\nabcde"),
    "bare LFs throughout": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "a NUL in a value": (400, post(b"X: a\x00b")),
    "a line without a colon": (400, post(b"Content-Length")),
    "a field without a name": (400, post(b": 5")),
    "another coding": (501, post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "a coding that looks like it": (501, post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "identity after chunked": (501, post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n")),
    "two codings": (501, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    "a coding in quotes": (501, post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "a coding behind a control character": (400, post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
    "chunks of an old client": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "a host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "a host with a user": (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "the address of another server": (400, b"GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an address of another kind": (400, b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an address with a user": (400, b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "the asterisk": (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a tunnel": (501, b"CONNECT b:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a trace": (501, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a method in small letters": (501, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a fragment": (400, get(b"/a#b")),
    "a space in the address": (400, get(b"/a b")),
    "a control character in the address": (400, get(b"/a\x01b")),
    "a letter that is not encoded": (400, get("/é".encode())),
    "two spaces": (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a request of 1991": (400, b"GET /\r\n\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "an expectation": (417, post(b"Expect: the-best", b"Content-Length: 1", body=b"a")),
    "a chunk without a size": (400, CHUNKED + b"\r\nabcde\r\n0\r\n\r\n"),
    "a chunk of a negative size": (400, CHUNKED + b"-5\r\nabcde\r\n0\r\n\r\n"),
    "a chunk with a prefix": (400, CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "a chunk larger than any": (400, CHUNKED + b"F" * 17 + b"\r\nabcde\r\n0\r\n\r\n"),
    "a chunk longer than its size": (400, CHUNKED + b"3\r\nabcde\r\n0\r\n\r\n"),
    "a chunk size that ends in LF": (400, CHUNKED + b"5\nabcde\r\n0\r\n\r\n"),
    "an extension with a bare CR": (400, CHUNKED + b"5;a\rb\r\nabcde\r\n0\r\n\r\n"),
    "an extension without end": (400, CHUNKED + b"5;" + b"a" * 2000),
    "a trailer that is none": (400, CHUNKED + b"0\r\nGET / HTTP/1.1\r\n\r\n"),
    "an address too long": (414, get(b"/" + b"a" * 9000)),
    "a field too long": (431, get(b"/", b"X: " + b"a" * 40_000)),
    "too many fields": (431, get(b"/", *[b"X-%d: a" % n for n in range(120)])),
}


@pytest.mark.parametrize("says", REFUSED)
async def test_it_is_refused_as_a_problem_and_nothing_after_it_is_read(says: str, chain: Chain) -> None:
    status, data = REFUSED[says]
    statuses, received = await chain.raw(data)
    assert statuses == [status], received
    assert b"application/problem+json" in received
    assert b"Connection: close" in received
    assert not [request for request in chain.seen if request.body or request.path != "/"], "no part of it went on"


PASSED = {
    "an empty line before the request": (b"\r\n" + get(b"/a"), "/a", b""),
    "an absolute address": (get(b"http://elsewhere.example/a?b=1"), "/a?b=1", b""),
    "an absolute address without a path": (get(b"http://elsewhere.example"), "/", b""),
    "an encoded slash": (get(b"/a%2fb%2Fc"), "/a%2fb%2Fc", b""),
    "two slashes": (get(b"//a//b"), "//a//b", b""),
    "dots": (get(b"/a/../b/./c"), "/a/../b/./c", b""),
    "encoded dots": (get(b"/%2e%2e/a"), "/%2e%2e/a", b""),
    "an encoded line break": (get(b"/a%0d%0ab"), "/a%0d%0ab", b""),
    "a question mark twice": (get(b"/a?b?c=%41&d"), "/a?b?c=%41&d", b""),
    "a body of a GET": (get(b"/a", b"Content-Length: 5") + b"abcde", "/a", b"abcde"),
    "a body that looks like a request": (
        post(b"Connection: close", b"Content-Length: %d" % len(NEXT), body=NEXT),
        "/",
        NEXT,
    ),
    "chunks": (CHUNKED + b"5\r\nabcde\r\n00A\r\n0123456789\r\n0\r\n\r\n", "/", b"abcde0123456789"),
    "chunks with extensions": (CHUNKED + b'5;a=b ; c="d"\r\nabcde\r\n0;x\r\n\r\n', "/", b"abcde"),
    "chunks with a trailer": (CHUNKED + b"5\r\nabcde\r\n0\r\nX-Checksum: 1\r\n\r\n", "/", b"abcde"),
    "no chunk at all": (CHUNKED + b"0\r\n\r\n", "/", b""),
    "a list of options": (get(b"/a", b"Connection: X-Secret, TE", b"X-Secret: 1", b"TE: trailers"), "/a", b""),
}


@pytest.mark.parametrize("says", PASSED)
async def test_it_reaches_the_origin_as_one_request_as_it_was_sent(says: str, chain: Chain) -> None:
    data, url, body = PASSED[says]
    statuses, received = await chain.raw(data)
    assert statuses == [200], received
    [request] = chain.seen
    assert (request.url, request.body) == (url, body)
    assert request.field("Host") == f"127.0.0.1:{(request.field('Host') or '').rpartition(':')[2]}", "the origin's own"
    names = {name.lower() for name, _ in request.headers}
    assert not names & {"x-secret", "te", "upgrade", "keep-alive"}, "hop by hop"


async def test_two_requests_at_once_are_answered_one_after_the_other(chain: Chain) -> None:
    first = post(b"Content-Length: 5", body=b"abcde")
    statuses, _ = await chain.raw(first + get(b"/second"))
    assert statuses == [200, 200]
    assert [request.url for request in chain.seen] == ["/", "/second"]


async def test_header_values_beyond_ascii_arrive_as_they_were(chain: Chain) -> None:
    await chain.raw(get(b"/a", b"X-Name: caf\xe9"))
    assert chain.seen[0].field("X-Name") in ("café", "caf\udce9")
