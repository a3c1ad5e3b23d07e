"""Several workers as one cache: what one keeps, drops or purges is so in all; a silent one holds up nobody for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from edge.bounds import Bounds
from edge.cache import Entry, Purge
from edge.handler import Edge
from edge.invalidation import REMEMBERED_MAX
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.packing import Kept, pack
from edge.peers import Header, PeerLimits, Peers, Replicated
from tests.edge.background import Background
from tests.edge.under_test import edge_under_test
from tests.system import until

PATIENT = PeerLimits(answer_s=5.0, pause_s=6.0)


@dataclass
class Worker:
    """One worker's cache, as the others and its own edge see it."""

    peers: Peers
    memory: MemoryCache = field(default_factory=lambda: MemoryCache(Bounds()))
    changes: list[str] = field(default_factory=list)
    purged: list[Purge] = field(default_factory=list)
    hears: asyncio.Event = field(default_factory=asyncio.Event)
    on_purge: Callable[[Purge], None] | None = None

    def __post_init__(self) -> None:
        self.hears.set()
        self.cache = Replicated(self.memory, self.peers, forget=self.memory.clear, clock=time.time)

    async def hear(self, kind: str, header: Header, body: bytes) -> Header:
        await self.hears.wait()
        if kind == "stats":
            return {"entries": len(self.memory)}
        return await self.cache.hear(kind, header, body, purged=self.on_purge or self.purged.append)


def worker_in(folder: Path, index: int, count: int, limits: PeerLimits = PATIENT) -> Worker:
    changes: list[str] = []
    peers = Peers(folder, index=index, count=count, on_change=lambda name, _: changes.append(name), limits=limits)
    return Worker(peers, changes=changes)


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    await worker.peers.start(worker.hear)
    try:
        yield worker
    finally:
        await worker.peers.stop()


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(worker_in(tmp_path, n, 3))) for n in range(3)]


def entry(body: bytes = b"body", *, selecting: str = "", group: str = "g", region: str = "qa") -> Entry:
    return Entry(
        status=200,
        headers=(("Content-Type", "text/plain"), ("X-Name", "café"), ("X-Name", "قطر")),
        body=body,
        selecting=(("accept-language", selecting),) if selecting else (),
        region=region,
        groups=frozenset((group, "other")),
        received_at=1000.5,
        initial_age_s=1.25,
        fresh_s=60.0,
        while_revalidating_s=5.0,
        if_error_s=7.0,
        always_validate=True,
        purged_at=None,
    )


async def held(workers: list[Worker], key: str) -> list[list[Entry]]:
    return [list(await worker.cache.get(key)) for worker in workers]


async def test_what_one_stores_all_have_whole_when_it_is_told(workers: list[Worker]) -> None:
    stored = entry(bytes(range(256)) * 1000)
    assert await workers[1].cache.put("/a", stored)
    assert await held(workers, "/a") == [[stored]] * 3


async def test_what_one_drops_is_gone_everywhere(workers: list[Worker]) -> None:
    await workers[0].cache.put("/a", entry(selecting="en"))
    await workers[0].cache.put("/a", entry(selecting="ar"))
    assert await workers[2].cache.drop("/a") == 2
    assert await held(workers, "/a") == [[], [], []]


@pytest.mark.parametrize("purge", [Purge(url="/a"), Purge(group="g"), Purge(region="qa")])
async def test_a_purge_through_any_one_meets_all_and_is_counted_as_of_one_cache(
    purge: Purge, workers: list[Worker]
) -> None:
    await workers[0].cache.put("/a", entry())
    await workers[0].cache.put("/b", entry(group="x", region="sa"))
    assert await workers[1].cache.purge(purge, 2000.0) == 1
    assert [[e.purged_at for e in found] for found in await held(workers, "/a")] == [[2000.0]] * 3
    assert [[e.purged_at for e in found] for found in await held(workers, "/b")] == [[None]] * 3
    assert workers[0].purged == [purge] == workers[2].purged, "what is under way there is told of it too"
    assert await workers[2].cache.purge(Purge(region="qa", hard=True), 2000.0) == 1
    assert await held(workers, "/a") == [[], [], []]


@dataclass
class Versions:
    """An origin with a newer answer after each write."""

    version: int = 1

    async def __call__(self, request: Request) -> Response:
        if request.method == "POST":
            self.version += 1
            return Response(204)
        return Response(200, (("Cache-Control", "max-age=300"),), b"%d" % self.version)


async def test_after_a_write_is_answered_no_worker_serves_what_was_asked_for_before(tmp_path: Path) -> None:
    origin, background, edges = Versions(), Background(), list[Edge]()
    async with AsyncExitStack() as stack:
        for index in range(2):
            worker = worker_in(tmp_path, index, 2)
            edge = edge_under_test(cache=worker.cache, origin=origin, clock=time.time, spawn=background.spawn)
            worker.on_purge = edge.purged
            await stack.enter_async_context(running(worker))
            edges.append(edge)
        stack.push_async_callback(background.done)
        writing, reading = edges
        for number in range(100):
            url = f"/{number}"
            read = asyncio.create_task(reading.handle(Request("GET", url), ""))
            for _ in range(number % 8):  # the answer is on its way to the other worker while the write goes through it
                await asyncio.sleep(0)
            await writing.handle(Request("POST", url), "")
            await read
            found = [(await edge.handle(Request("GET", url), "")).body for edge in edges]
            assert found == [b"%d" % origin.version] * 2, number


@pytest.mark.parametrize("purge", [Purge(url="/a"), Purge(group="g"), Purge(region="qa"), None])
async def test_what_was_asked_for_before_a_purge_is_not_taken_over_after_it(
    purge: Purge | None, workers: list[Worker]
) -> None:
    asked_at = time.time()
    if purge is None:
        await workers[0].cache.drop("/a")
    else:
        await workers[0].cache.purge(purge, time.time())
    for path, before in (("/a", [[], [], []]), ("/b", None)):
        late = replace(
            entry(group="g" if path == "/a" else "x", region="qa" if path == "/a" else "sa"), asked_at=asked_at
        )
        packed = pack([Kept(late, {})])
        for worker in workers:
            await worker.cache.hear("put", {"key": path}, packed, purged=worker.purged.append)
        assert await held(workers, path) == (before or [[late]] * 3)
    later = replace(entry(), asked_at=time.time() + 0.001)
    await workers[1].cache.put("/a", later)
    assert await held(workers, "/a") == [[later]] * 3


async def test_of_more_purges_than_are_remembered_any_may_have_met_it(workers: list[Worker]) -> None:
    before = replace(entry(), asked_at=1000.0)
    for number in range(REMEMBERED_MAX + 1):
        await workers[1].cache.hear(
            "drop", {"key": f"/{number}", "now": 1001.0 + number}, b"", purged=workers[1].purged.append
        )
    await workers[0].cache.put("/a", before)
    assert await held(workers, "/a") == [[before], [], [before]]


async def test_a_clock_set_back_does_not_part_the_workers(workers: list[Worker]) -> None:
    await workers[0].cache.purge(Purge(url="/a"), time.time() + 3600)
    await workers[0].cache.purge(Purge(url="/b"), time.time())
    later = replace(entry(), asked_at=time.time() + 0.001)
    await workers[1].cache.put("/a", later)
    assert await held(workers, "/a") == [[later]] * 3


async def test_an_answer_too_large_is_told_to_nobody(workers: list[Worker]) -> None:
    assert not await workers[0].cache.put("/a", entry(b"x" * (Bounds().object_bytes + 1)))
    assert await held(workers, "/a") == [[], [], []]


async def test_a_late_worker_is_waited_for_once_and_misses_nothing(tmp_path: Path) -> None:
    hasty = PeerLimits(answer_s=0.2, pause_s=0.3)
    async with running(worker_in(tmp_path, 0, 2, hasty)) as first, running(worker_in(tmp_path, 1, 2, hasty)) as late:
        await first.cache.put("/old", entry())
        late.hears.clear()
        begun = time.monotonic()
        for number in range(20):
            await first.cache.put(f"/{number}", entry())
        await first.cache.purge(Purge(url="/old"), 2000.0)
        assert time.monotonic() - begun < 3, "it is waited for once, then no more"
        assert first.changes == ["peer_silent"]
        late.hears.set()
        await until(lambda: _said(first, ["peer_silent", "peer_answers"]), what="it answers again")
        await until(lambda: _holds(late, 21), what="it has heard everything")
        assert [found.purged_at for found in await late.cache.get("/old")] == [2000.0]


async def test_a_worker_that_missed_something_forgets_before_it_hears_more(tmp_path: Path) -> None:
    hasty = PeerLimits(answer_s=0.2, pause_s=0.3, waiting_bytes=1000)
    async with running(worker_in(tmp_path, 0, 2, hasty)) as first, running(worker_in(tmp_path, 1, 2, hasty)) as late:
        await first.cache.put("/old", entry())
        late.hears.clear()
        for _ in range(50):
            await first.cache.put("/large", entry(b"x" * 100_000))
        await first.cache.purge(Purge(url="/old"), 2000.0)
        late.hears.set()
        await until(lambda: _holds(late, 0), what="it forgets, though nothing more is told")
        await until(lambda: _said(first, ["peer_silent", "peer_answers"]), what="it answers again")
        await first.cache.put("/new", entry())
        assert len(await late.cache.get("/new")) == 1


async def test_a_worker_that_starts_again_begins_empty_and_takes_part(tmp_path: Path) -> None:
    first = worker_in(tmp_path, 0, 2, PeerLimits(answer_s=1.0, pause_s=1.1))
    async with running(first):
        async with running(worker_in(tmp_path, 1, 2)):
            await first.cache.put("/a", entry())
        await first.cache.put("/b", entry())
        async with running(worker_in(tmp_path, 1, 2)) as again:

            async def is_told() -> bool:
                await first.cache.put("/c", entry())
                return len(await again.cache.get("/c")) == 1

            await until(is_told, what="the new worker is told")
            assert await again.cache.get("/a") == await again.cache.get("/b") == ()


@pytest.mark.parametrize("is_ending", [False, True])
async def test_that_another_ends_is_said_unless_all_end(tmp_path: Path, is_ending: bool) -> None:
    changes: list[tuple[str, dict[str, object]]] = []
    peers = Peers(tmp_path, index=0, count=2, on_change=lambda *change: changes.append(change), limits=PATIENT)
    first = Worker(peers)
    async with running(first):
        async with running(worker_in(tmp_path, 1, 2)):
            await first.cache.put("/a", entry())
            if is_ending:
                peers.expect_end()

        async def is_missed() -> bool:
            return await peers.tell("stats", {}) == []

        await until(is_missed)
    details = {"peer": 1, "reason": "it closed the connection", "level": "warning"}
    assert changes == ([] if is_ending else [("peer_silent", details)])


async def test_counts_of_all_workers_can_be_asked_for(workers: list[Worker]) -> None:
    await workers[0].cache.put("/a", entry())
    assert await workers[1].peers.tell("stats", {}) == [{"entries": 1}, {"entries": 1}]


async def test_what_is_not_understood_closes_the_link_and_nothing_else(workers: list[Worker]) -> None:
    reader, writer = await asyncio.open_unix_connection(workers[0].peers.path)
    writer.write(b"\xff" * 64)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await workers[0].cache.put("/a", entry())
    assert all(found for found in await held(workers, "/a"))


async def test_many_at_once_are_all_told(workers: list[Worker]) -> None:
    puts = (partial(worker.cache.put, f"/{n}/{i}") for n, worker in enumerate(workers) for i in range(100))
    await asyncio.gather(*(put(entry()) for put in puts))
    assert [len(worker.memory) for worker in workers] == [300, 300, 300]


async def _said(worker: Worker, changes: list[str]) -> bool:
    return worker.changes == changes


async def _holds(worker: Worker, count: int) -> bool:
    return len(worker.memory) == count


def test_limits_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        PeerLimits(answer_s=1.0, pause_s=0.5)
