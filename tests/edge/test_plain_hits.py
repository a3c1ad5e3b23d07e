"""A request like the one before on its connection is answered at once where that is right, and only there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from edge.bounds import Bounds
from edge.cache import Purge
from edge.handler import Edge
from edge.http1.head import Refused
from edge.memory import MemoryCache
from edge.messages import Fields, Request, Response, Stream
from edge.plain import Plain
from edge.prepared import problem
from tests.edge.background import Background
from tests.edge.serving import served
from tests.edge.wire import Wire, connected

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
REGIONAL = b"GET /api/v1/reference/areas HTTP/1.1\r\nHost: a\r\n\r\n"
Arrived = tuple[Request, Plain | None]


@dataclass
class Shop:
    """An edge in front of an origin whose answers are numbered; how often it had to think, and what time it is."""

    said: Fields = (("Cache-Control", "max-age=60"),)
    now: float = 1_000.0
    asked: int = 0
    thought: int = 0
    background: Background = field(default_factory=Background)

    def __post_init__(self) -> None:
        cache = MemoryCache(Bounds())
        self.edge = Edge(
            name="e", cache=cache, origin=self, clock=lambda: self.now, spawn=self.background.spawn, look=cache.look
        )

    async def __call__(self, request: Request) -> Response:
        self.asked += 1
        return Response(200, self.said, f"{self.asked}".encode() * 100)

    def arrived(self, request: Request, peer: str) -> Arrived:
        return request, self.edge.plain(request, "qa")

    def at_once(self, arrival: Arrived) -> Response | None:
        return self.edge.hit(arrival[1]) if arrival[1] is not None else None

    async def answer(self, arrival: Arrived, stream: Stream | None) -> Response:
        self.thought += 1
        return await self.edge.handle(arrival[0], "qa")

    def refuse(self, refused: Refused) -> Response:
        return problem(Request("GET", "/"), refused.status, "malformed", "Refused", refused.reason, ())


@asynccontextmanager
async def opened(*said: tuple[str, str]) -> AsyncIterator[tuple[Shop, Wire]]:
    """A shop, and one connection to it."""
    shop = Shop(said) if said else Shop()
    async with served(shop) as (port, _), connected(port) as wire:
        yield shop, wire


async def told(wire: Wire, request: bytes = GET) -> Response:
    """The answer to a request."""
    await wire.send(request)
    return await wire.answer("HEAD" if request.startswith(b"HEAD") else "GET")


async def versions(wire: Wire, request: bytes, times: int) -> list[bytes]:
    """Which answers of the origin one request gets, again and again."""
    return [(await told(wire, request)).body[:1] for _ in range(times)]


async def test_it_takes_no_thought_while_it_is_fresh_and_tells_its_age() -> None:
    async with opened() as (shop, wire):
        assert (await told(wire)).field("Cache-Status") == "e; fwd=uri-miss; fwd-status=200; stored"
        for seconds in range(5):
            shop.now = 1_000.0 + seconds
            for _ in range(2):
                response = await told(wire)
                assert (response.field("Age"), response.body[:1]) == (str(seconds), b"1")
                assert response.field("Cache-Status") == f"e; hit; ttl={60 - seconds}"
        assert (shop.asked, shop.thought, shop.edge.counts["hit"]) == (1, 1, 10)


async def test_once_stale_or_purged_it_is_asked_for_again() -> None:
    async with opened() as (shop, wire):
        assert await versions(wire, GET, 2) == [b"1", b"1"]
        shop.now += 60
        assert await versions(wire, GET, 2) == [b"2", b"2"]
        for hard in (False, True):
            await shop.edge.purge(Purge(url="/a", hard=hard))
            assert await versions(wire, GET, 2) == [b"%d" % shop.asked] * 2
        assert (shop.asked, shop.thought) == (4, 4)


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer x",
        b"Cache-Control: no-cache",
        b"Consistency-Token: x",
        b'If-None-Match: "1"',
        b"Range: bytes=0-1",
        b"X-Twice: 1\r\nCache-Control: max-age=0",
    ],
)
async def test_whoever_asks_for_more_than_the_url_is_thought_about(line: bytes) -> None:
    async with opened() as (shop, wire):
        head = GET[:-2] + line + b"\r\n\r\n"
        for request in (GET, head, head, head):
            await told(wire, request)
        assert shop.thought == 4


async def test_what_is_not_for_others_or_not_to_be_kept_is_thought_about() -> None:
    for control in ("private, max-age=60", "no-store", "no-cache"):
        async with opened(("Cache-Control", control)) as (shop, wire):
            assert await versions(wire, GET, 3) == [b"1", b"2", b"3"]
            assert shop.thought == 3
    async with opened() as (shop, wire):
        await versions(wire, GET.replace(b"GET", b"HEAD"), 3)
        assert shop.thought == 3


async def test_a_variant_is_answered_to_those_who_asked_for_it_only() -> None:
    async with opened(("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")) as (shop, wire):
        arabic = GET[:-2] + b"Accept-Language: ar\r\n\r\n"
        for _ in range(2):
            assert await versions(wire, GET, 2) == [b"1", b"1"]
            assert await versions(wire, arabic, 2) == [b"2", b"2"]
        assert shop.asked == 2


async def test_an_answer_for_a_guessed_region_stays_private() -> None:
    async with opened(("Cache-Control", "public, max-age=60"), ("Vary", "X-Region")) as (_, wire):
        named = REGIONAL[:-2] + b"X-Region: qa\r\n\r\n"
        for _ in range(2):
            for _ in range(3):
                assert "private" in str((await told(wire, REGIONAL)).field("Cache-Control"))
            for _ in range(3):
                assert "public" in str((await told(wire, named)).field("Cache-Control"))


async def test_many_sent_at_once_or_in_pieces_are_all_answered_in_order() -> None:
    async with opened() as (_, wire):
        await told(wire)
        await wire.send(GET + GET + GET.replace(b"/a", b"/b") + GET)
        assert [(await wire.answer()).body[:1] for _ in range(4)] == [b"1", b"1", b"2", b"1"]
        for at in (1, len(GET) - 1):
            await wire.send(GET[:at])
            await wire.send(GET[at:])
            assert (await wire.answer()).body[:1] == b"1"


async def test_who_says_that_it_is_the_last_request_is_hung_up_on() -> None:
    async with opened() as (shop, wire):
        await told(wire)
        await told(wire, GET[:-2] + b"Connection: close\r\n\r\n")
        assert await wire.rest() == b""
        assert shop.thought == 2
