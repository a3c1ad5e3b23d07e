"""An edge before a real gateway: what is kept, who still sees their own writes, and how a change reaches it."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import pytest
from aiohttp import ClientSession, web

from edge import purging
from edge.aio import edge_handler
from edge.bounds import Bounds
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.upstream import upstream
from tests.integration.http.asking import Json, new_person
from tests.integration.http.stage import Stage
from tests.integration.http.trade import accepted, at_status, done, post
from tests.system import Answer, Client, Person, Phones, System, free_port, until

LOOPBACK: Final = "127.0.0.1"
TOKEN: Final = "a-token-of-tests-for-purges-only"


@dataclass
class Before:
    """A gateway, and what a client sees through an edge before it. `listens`: whether the edge takes purges."""

    gateway: Client
    through: Client
    listens: bool = True


@pytest.fixture(scope="module")
async def before(system: System) -> AsyncIterator[Before]:
    port = free_port()
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def admit(request: Request, _: str | None) -> tuple[Request, str]:
        return request, "qa"

    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            system.gateway(NODE_ENV="production", EDGE_URLS=f"http://{LOOPBACK}:{port}", EDGE_PURGE_TOKEN=TOKEN)
        )
        assert gateway.runtime is not None
        base = f"http://{LOOPBACK}:{gateway.runtime.settings.port}"
        origin = await stack.enter_async_context(upstream(base, name="meridian-qa"))
        edge = Edge(name="meridian-qa", cache=MemoryCache(Bounds()), origin=origin, clock=time.time, spawn=spawn)

        async def answer(request: Request, region: str) -> Response:
            if request.path != purging.PATH:
                return await edge.handle(request, region)
            return await purging.answer(request, edge, TOKEN) if found.listens else Response(503)

        runner = web.ServerRunner(web.Server(edge_handler(answer, admit=admit)), shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, LOOPBACK, port).start()
        session = await stack.enter_async_context(ClientSession(f"http://{LOOPBACK}:{port}"))
        found = Before(gateway, Client(session))
        yield found


async def pending_review(stage: Stage, garage: Person) -> str:
    """A review of the garage that waits for the staff; its id."""
    customer = await new_person(stage.client, stage.phones, "qa-1")
    deal = await accepted(stage.client, customer, garage)
    await at_status(stage.system, stage.client, deal, "completed")
    return str((await done(stage.client, customer, f"/orders/{deal.order['id']}/review", {"rating": 5}))["id"])


@pytest.fixture
async def garage(before: Before, phones: Phones) -> Person:
    """A garage without reviews."""
    return await new_person(before.gateway, phones, "qa-1", "garage")


def how(answer: Answer) -> str:
    """What the edge did."""
    return answer.headers["Cache-Status"].partition("; ")[2]


def reviews_in(answer: Answer) -> list[str]:
    items: list[Json] = answer.json["items"]
    return [str(item["id"]) for item in items]


async def test_a_list_is_kept_and_handed_to_everybody_without_a_word_of_the_first(
    before: Before, garage: Person, phones: Phones
) -> None:
    path = f"/garages/{garage.id}/reviews"
    first = await before.through.call(
        "GET", path, user=garage, headers={"X-Request-Id": "the-first", "Consistency-Token": ""}
    )
    assert "stored" in how(first)
    other = await before.through.call("GET", path)
    assert how(other).startswith("hit")
    assert other.json == first.json
    assert "the-first" not in str(other.headers)
    for name in ("X-Request-Id", "Meridian-Route", "RateLimit", "Set-Cookie", "Meridian-CDN-Cache-Control"):
        assert name not in other.headers


async def test_private_answers_go_through_untouched(before: Before, garage: Person) -> None:
    for _ in range(2):
        answer = await before.through.call("GET", "/me", user=garage)
        assert (answer.status, answer.json["id"]) == (200, garage.id)
        assert "hit" not in how(answer)
        assert answer.headers["X-Request-Id"]


async def test_a_published_review_reaches_the_edge_and_its_writer_does_not_even_wait_for_that(
    before: Before, stage: Stage, garage: Person
) -> None:
    here = replace(stage, client=before.gateway)
    path = f"/garages/{garage.id}/reviews"
    review = await pending_review(here, garage)
    staff = replace(here.who("staff"), token="")
    before.listens = False
    assert reviews_in(await before.through.call("GET", path)) == []
    await post(before.gateway, staff, f"/reviews/{review}/moderate", {"decision": "publish"})
    assert staff.token
    own = await before.through.call("GET", path, user=staff)
    assert reviews_in(own) == [review], "who wrote sees it, though the edge was told of nothing"

    before.listens = True

    async def told() -> bool:
        health = (await before.gateway.call("GET", "/health")).json["edges"]
        return bool(health[0]["connected"])

    await until(told, what="the edge is told as soon as it listens")

    async def seen() -> bool:
        return reviews_in(await before.through.call("GET", path)) == [review]

    await until(seen, what="everybody sees it")


async def test_a_review_published_through_the_edge_is_seen_there_at_once(
    before: Before, stage: Stage, garage: Person
) -> None:
    here = replace(stage, client=before.gateway)
    path = f"/garages/{garage.id}/reviews"
    review = await pending_review(here, garage)
    staff = replace(here.who("staff"), token="")
    await before.through.call("GET", path)
    moderated = await post(before.through, staff, f"/reviews/{review}/moderate", {"decision": "publish"})
    assert moderated.headers["Cache-Group-Invalidation"] == f'"garage-{garage.id}"'
    answer = await before.through.call("GET", path, user=staff)
    assert reviews_in(answer) == [review]


async def test_reference_data_are_kept_by_region(before: Before) -> None:
    zones: dict[str, str] = {}
    for region in ("qa", "sa", "qa", "sa"):
        answer = await before.through.call("GET", "/reference/delivery-zones", headers={"X-Region": region})
        assert answer.json["region"] == region
        assert zones.setdefault(region, answer.headers["ETag"]) == answer.headers["ETag"]
    assert how(answer).startswith("hit")
    assert len(set(zones.values())) == 2
