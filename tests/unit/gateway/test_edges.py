"""Telling edges what changed: whatever an edge does, the others are told, nobody waits, and it heals by itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession

from core.limits import EDGE_FRESH_MAX_S, EDGE_GROUPS_WAITING_MAX, EDGE_LAST_WORDS_S
from gateway.edges import FOUND, LET_GO, LOST, REFUSED, START_GROUP, Edges, Telling
from tests.servers.purged_edge import TOKEN, PurgedEdge
from tests.system import until


@dataclass
class Seen:
    """What was told of changes of state, and the outcome of each telling."""

    events: list[tuple[str, object]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    ahead_s: float = 0.0

    def note(self, name: str, details: dict[str, object]) -> None:
        assert "127.0.0.1" not in str(details), "an address in the log"
        self.events.append((name, details["edge"]))

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s


@pytest.fixture
async def edge() -> AsyncIterator[PurgedEdge]:
    """An edge that listens."""
    edge = PurgedEdge()
    await edge.start()
    try:
        yield edge
    finally:
        await edge.stop()


@asynccontextmanager
async def told(*edges: PurgedEdge, seen: Seen, replicated_s: float = 60.0, token: str = TOKEN) -> AsyncIterator[Edges]:
    """Edges that are being told, for the length of the block."""
    async with ClientSession() as session:
        telling = Telling(
            token=token,
            session=session,
            clock=seen.clock,
            wall=lambda: datetime.now(UTC),
            on_event=seen.note,
            replicated_s=replicated_s,
            count=seen.count,
        )
        telling_all = Edges([edge.url for edge in edges], telling)
        task = asyncio.create_task(telling_all.run())
        try:
            yield telling_all
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def has(edge: PurgedEdge, *groups: str) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return edge.told == list(groups)

    return condition


def is_connected(edges: Edges, which: int, connected: bool) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return edges.health()[which].connected is connected

    return condition


def saw(seen: Seen, *events: tuple[str, object]) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return seen.events == list(events)

    return condition


async def test_each_edge_is_asked_at_the_start_before_anything_changes(edge: PurgedEdge) -> None:
    other, seen = PurgedEdge(token="another"), Seen()
    await other.start()
    try:
        async with told(edge, other, seen=seen) as edges:
            await until(is_connected(edges, 0, True))
            await until(is_connected(edges, 1, False), what="a wrong token shows without any change")
            assert [health.waiting for health in edges.health()] == [0, 1]
            edges.changed(["garage-1"])
            assert edges.health()[1].waiting == 1, "a change asks as well"
    finally:
        await other.stop()
    assert (seen.events, START_GROUP in edge.told + other.told) == ([(REFUSED, 2)], False)


async def test_an_edge_that_was_away_at_the_start_is_asked_until_it_is_there() -> None:
    late, seen = PurgedEdge(), Seen()
    async with told(late, seen=seen) as edges:
        await until(is_connected(edges, 0, False))
        seen.ahead_s = EDGE_FRESH_MAX_S + 1
        await late.start()
        try:
            await until(is_connected(edges, 0, True))
        finally:
            await late.stop()
    assert seen.events == [(LOST, 1), (FOUND, 1)]


async def test_every_edge_is_told_of_each_group_once(edge: PurgedEdge) -> None:
    other, seen = PurgedEdge(), Seen()
    await other.start()
    try:
        async with told(edge, other, seen=seen) as edges:
            assert [health.connected for health in edges.health()] == [None, None]
            edges.changed(["garage-1", "reference-makes", "garage-1"])
            for each in (edge, other):
                await until(has(each, "garage-1", "reference-makes"))
            await until(is_connected(edges, 1, True))
    finally:
        await other.stop()
    assert (seen.events, set(seen.outcomes)) == ([], {"told"})


async def test_a_change_is_told_again_when_every_replica_shows_it(edge: PurgedEdge) -> None:
    async with told(edge, seen=Seen(), replicated_s=0.3) as edges:
        edges.changed(["garage-1"])
        await until(has(edge, "garage-1", "garage-1"))

        async def done() -> bool:
            return edges.health()[0].waiting == 0

        await until(done, what="and that is all")
    assert edge.told == ["garage-1"] * 2


async def test_an_edge_that_is_down_is_told_when_it_is_there_again_and_the_others_at_once(edge: PurgedEdge) -> None:
    down, seen = PurgedEdge(), Seen()
    async with told(down, edge, seen=seen) as edges:
        edges.changed(["garage-1"])
        await until(has(edge, "garage-1"))
        await until(is_connected(edges, 0, False))
        edges.changed(["garage-2"])
        await until(has(edge, "garage-1", "garage-2"))
        health = edges.health()[0]
        assert health.since is not None
        assert (health.waiting, seen.events) == (2, [(LOST, 1)]), "it is asked again after a pause only"
        await down.start()
        try:
            await until(has(down, "garage-1", "garage-2"))
            await until(is_connected(edges, 0, True))
            assert edges.health()[0].since is None
            assert seen.events == [(LOST, 1), (FOUND, 1)]
        finally:
            await down.stop()


async def test_an_edge_that_does_not_answer_is_one_that_is_down(edge: PurgedEdge) -> None:
    edge.holds, seen = asyncio.Event(), Seen()
    async with told(edge, seen=seen) as edges:
        edges.changed(["garage-1"])
        await until(is_connected(edges, 0, False))
        assert edges.health()[0].reason == "TimeoutError"
        edge.holds = None
        await until(has(edge, "garage-1"))


@pytest.mark.parametrize("status", [500, 503, 302])
async def test_an_edge_with_a_fault_is_asked_again(edge: PurgedEdge, status: int) -> None:
    edge.status, seen = status, Seen()
    async with told(edge, seen=seen) as edges:
        edges.changed(["garage-1"])
        await until(is_connected(edges, 0, False))
        assert edges.health()[0].reason == f"it answered {status}"
        edge.status = 200
        await until(has(edge, "garage-1"))
        await until(saw(seen, (LOST, 1), (FOUND, 1)))


async def test_an_edge_that_refuses_the_token_is_shown_as_such(edge: PurgedEdge) -> None:
    seen = Seen()
    async with told(edge, seen=seen, token="another") as edges:
        edges.changed(["garage-1"])
        await until(is_connected(edges, 0, False))
        assert (edges.health()[0].reason, edges.health()[0].waiting) == ("it answered 401", 1)
        edge.token = "another"
        await until(has(edge, "garage-1"))
        await until(saw(seen, (REFUSED, 1), (FOUND, 1)))


async def test_what_an_edge_does_not_understand_is_not_told_for_ever(edge: PurgedEdge) -> None:
    edge.status = 422
    async with told(edge, seen=Seen()) as edges:
        edges.changed(["garage-1"])
        await until(is_connected(edges, 0, True))
        edge.status = 200
        edges.changed(["garage-2"])
        await until(has(edge, "garage-2"))


async def test_what_waits_is_bounded_in_number_and_in_time() -> None:
    seen = Seen()
    async with told(PurgedEdge(), seen=seen) as edges:
        edges.changed(f"garage-{number}" for number in range(EDGE_GROUPS_WAITING_MAX + 2))
        assert edges.health()[0].waiting == EDGE_GROUPS_WAITING_MAX
        seen.ahead_s = EDGE_FRESH_MAX_S + 1
        edges.changed(["garage-new"])

        async def alone() -> bool:
            return edges.health()[0].waiting == 1

        await until(alone, what="what nobody keeps any more is let go")
    assert (LET_GO, 1) in seen.events


async def test_a_change_during_the_telling_is_told_too(edge: PurgedEdge) -> None:
    edge.holds = asyncio.Event()
    async with told(edge, seen=Seen()) as edges:
        edges.changed(["garage-1"])

        async def asked() -> bool:
            return edge.asked == 1

        await until(asked)
        edges.changed(["garage-1"])
        edge.holds.set()
        await until(has(edge, "garage-1", "garage-1"))


async def test_the_end_tells_what_is_left_and_waits_for_nobody(edge: PurgedEdge) -> None:
    silent, down = PurgedEdge(holds=asyncio.Event()), PurgedEdge()
    await silent.start()
    began = asyncio.get_running_loop().time()
    try:
        async with told(edge, silent, down, seen=Seen()) as edges:
            edges.changed(["garage-1"])
            await until(has(edge, "garage-1"))
        assert asyncio.get_running_loop().time() - began < EDGE_LAST_WORDS_S + 3
    finally:
        await silent.stop()
    assert edge.told == ["garage-1", "garage-1"], "the second telling was not due yet"


async def test_without_edges_nothing_is_told() -> None:
    async with told(seen=Seen()) as edges:
        edges.changed(["garage-1"])
        assert (edges.are_told, edges.health()) == (False, [])
