"""The edge as a whole, where the table has no words for it: bounds, refusals, no origin, and faults of its own."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from edge.bounds import Bounds
from edge.cache import Entry, Purge
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.origin import Origin
from tests.edge.background import Background

GET = Request("GET", "/thing")
NOW = 1_780_000_000.0


async def says_one(request: Request) -> Response:
    return Response(200, (("Cache-Control", "max-age=60, stale-while-revalidate=60"), ("ETag", '"a"')), b"one")


async def fails(request: Request) -> Response:
    raise RuntimeError("a fault of the test")


def edge(
    origin: Origin | None = says_one,
    *,
    now: Callable[[], float] = lambda: NOW,
    shipped: Callable[[Request, str], Response | None] | None = None,
) -> Edge:
    background = Background()
    cache = MemoryCache(Bounds())
    return Edge(name="e", cache=cache, origin=origin, clock=now, spawn=background.spawn, shipped=shipped)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (replace(GET, path="/" + "a" * 9000), 414),
        (replace(GET, headers=(("A", "x" * 40_000),)), 431),
        (replace(GET, headers=tuple((f"A{n}", "x") for n in range(101))), 431),
        (replace(GET, headers=(("Transfer-Encoding", "chunked"), ("Content-Length", "1"))), 400),
        (Request("CONNECT", "example.com:443"), 501),
        (Request("TRACE", "/thing"), 501),
    ],
)
async def test_what_is_beyond_the_bounds_is_refused_without_asking(request_: Request, status: int) -> None:
    response = await edge(fails).handle(request_, "qa")
    assert response.status == status
    assert response.field("Cache-Control") == "no-store"
    assert (response.field("Cache-Status") or "").startswith("e; detail=")


@pytest.mark.parametrize("request_", [GET, Request("POST", "/thing"), Request("HEAD", "/thing")])
async def test_a_fault_of_the_edge_itself_is_an_answer_that_tells_nothing(
    request_: Request, caplog: pytest.LogCaptureFixture
) -> None:
    response = await edge(fails).handle(request_, "qa")
    assert response.status >= 500
    assert b"fault of the test" not in response.body
    assert response.field("Cache-Status")
    assert "a fault of the test" in caplog.text or request_ is GET


async def test_without_an_origin_there_is_what_is_shipped_and_nothing_else() -> None:
    def shipped(request: Request, region: str) -> Response | None:
        return Response(200, (("X-Region", region),), b"shipped") if request.path == "/known" else None

    alone = edge(None, shipped=shipped)
    response = await alone.handle(Request("GET", "/known"), "sa")
    assert (response.body, response.field("X-Region")) == (b"shipped", "sa")
    assert response.field("Cache-Status") == "e; fwd=uri-miss; detail=shipped"
    assert (await alone.handle(GET, "sa")).status == 502
    assert (await alone.handle(Request("POST", "/known"), "sa")).status == 502
    assert alone.counts["shipped"] == 1


async def test_a_plain_hit_is_the_same_answer_as_a_particular_one() -> None:
    now = NOW
    under = edge(now=lambda: now)
    await under.handle(GET, "qa")
    for now in (NOW, NOW + 0.5, NOW + 1, NOW + 59):
        plain = await under.handle(GET, "qa")
        particular = await under.handle(replace(GET, headers=(("Cache-Control", "max-age=1000"),)), "qa")
        assert plain == particular
        assert plain.field("Age") == str(int(now - NOW))


async def test_a_clock_that_is_set_back_makes_nothing_younger() -> None:
    now = NOW
    under = edge(now=lambda: now)
    await under.handle(GET, "qa")
    now = NOW - 1000
    stale = await under.handle(GET, "qa")
    assert stale.field("Age") == "0"
    assert stale.field("Cache-Status") == "e; hit; ttl=0; detail=stale-while-revalidate", "nobody knows how old it is"
    await under.handle(replace(GET, headers=(("Cache-Control", "no-cache"),)), "qa")
    now = NOW - 950
    assert (await under.handle(GET, "qa")).field("Cache-Status") == "e; hit; ttl=10", (
        "what came in since took its place"
    )


async def test_a_region_that_is_not_known_is_not_said() -> None:
    async def reads(request: Request) -> Response:
        return Response(200, (("Cache-Control", "max-age=60"),), str(request.field("X-Region")).encode())

    assert (await edge(reads).handle(Request("GET", "/api/v1/reference"), "")).body == b"None"


async def test_a_field_of_the_connection_is_not_what_an_answer_is_kept_for() -> None:
    async def reads(request: Request) -> Response:
        if request.field("Consistency") == "strong":
            return Response(200, (("Cache-Control", "private, no-store"), ("Vary", "Consistency")), b"the primary's")
        return Response(200, (("Cache-Control", "max-age=60"), ("Vary", "Consistency")), b"a replica's")

    under = edge(reads)
    await under.handle(replace(GET, headers=(("Consistency", "strong"), ("Connection", "Consistency"))), "qa")
    strong = replace(GET, headers=(("Consistency", "strong"),))
    assert (await under.handle(strong, "qa")).body == b"the primary's"
    hidden = under.plain(
        replace(GET, headers=(("Accept", "a"), ("Cache-Control", "x"), ("connection", "cache-control"))), ""
    )
    assert hidden is not None
    assert hidden.fields == {"accept": "a"}


async def test_a_purge_is_counted_and_soft_or_hard() -> None:
    under = edge()
    await under.handle(GET, "qa")
    assert await under.purge(Purge(url="/other")) == 0
    assert await under.purge(Purge(url="/thing")) == 1
    assert (await under.handle(GET, "qa")).field("Cache-Status") == "e; fwd=stale; fwd-status=200; stored"
    assert await under.purge(Purge(region="qa", hard=True)) == 1
    assert "fwd=uri-miss" in ((await under.handle(GET, "qa")).field("Cache-Status") or "")


@pytest.mark.parametrize("id", ["a-1", "x" * 128, None, "", "x" * 129, "two words", "a\x7f", "a, b"])
async def test_a_problem_of_the_edge_repeats_a_well_formed_request_id_and_no_other(id: str | None) -> None:
    fields = () if id is None else (("X-Request-Id", id),)
    for asked in (replace(GET, headers=fields), replace(GET, method="POST", headers=fields)):
        response = await edge(None).handle(asked, "qa")
        expected = id if id in ("a-1", "x" * 128) else None
        assert (response.status, response.field("X-Request-Id")) == (502, expected)
        assert json.loads(response.body).get("request_id") == expected


async def test_ends_are_counted() -> None:
    under = edge()
    for request in (GET, GET, Request("POST", "/other"), Request("TRACE", "/")):
        await under.handle(request, "qa")
    assert {name: count for name, count in under.counts.items() if count} == {
        "miss": 1,
        "hit": 1,
        "pass": 1,
        "refused": 1,
    }


class Forgetful:
    """A cache that keeps nothing, as any may."""

    async def get(self, key: str) -> Sequence[Entry]:
        return ()

    async def put(self, key: str, entry: Entry) -> bool:
        return False

    async def drop(self, key: str) -> int:
        return 0

    async def purge(self, purge: Purge, now: float) -> int:
        return 0


async def test_a_cache_that_forgets_everything_is_only_slower() -> None:
    background = Background()
    under = Edge(name="e", cache=Forgetful(), origin=says_one, clock=lambda: NOW, spawn=background.spawn)
    for _ in range(2):
        response = await under.handle(GET, "qa")
        assert response.body == b"one"
        assert response.field("Cache-Status") == "e; fwd=uri-miss; fwd-status=200; detail=no-room"
