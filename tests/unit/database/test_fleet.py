"""The fleet takes over a map as a whole: what did not change is not touched, and what fails leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.database.settings import DatabaseSettings
from core.fleet import Fleet
from core.region import Region
from core.sessions import Lifetimes, MemoryStore, SessionStore
from core.shard_map import RegionSpec, ShardMap, single_server
from core.shard_map.model import Address, RegionName, Secret, SessionSettings
from core.storage.opening import open_storage
from core.storage.settings import LocalSettings

QA, SA = RegionName("qa"), RegionName("sa")


@dataclass
class Stores:
    """Opens session stores and remembers which are open, in words `region number`."""

    opened: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    refused: str = ""

    @asynccontextmanager
    async def open(self, region: RegionSpec) -> AsyncIterator[SessionStore]:
        """A store, open for the length of the block."""
        if region.name == self.refused:
            raise OSError("this store cannot be opened")
        name = f"{region.name} {len(self.opened)}"
        self.opened.append(name)
        self.live.append(name)
        try:
            yield MemoryStore(clock=lambda: datetime.now(UTC), lifetimes=Lifetimes())
        finally:
            self.live.remove(name)


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
async def fleet(stores: Stores, tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(
        settings=DatabaseSettings(),
        open_sessions=stores.open,
        open_storage=lambda region: open_storage(
            LocalSettings(tmp_path / "files"),
            region=region.name,
            spool_folder=tmp_path / region.name,
            clock=asyncio.get_running_loop().time,
            wall=lambda: datetime.now(UTC),
            on_change=lambda name, details: None,
        ),
        clock=asyncio.get_running_loop().time,
        on_event=lambda name, details: None,
    )
    yield fleet
    await fleet.close(0)
    assert stores.live == [], "closing closes every store"


SINGLE = single_server(host="127.0.0.1", port=1, database="x", user="x", password="x")


def map_of(*regions: RegionSpec) -> ShardMap:
    """A map of these regions."""
    return replace(SINGLE, regions=regions)


def region(name: RegionName, code: int, *, port: int = 1, redis_url: str | None = None) -> RegionSpec:
    """A region whose one server is not there: such low ports refuse at once."""
    (made,) = SINGLE.regions
    (shard,) = made.shards
    return replace(
        made,
        name=name,
        code=code,
        shards=(replace(shard, primary=Address("127.0.0.1", port)),),
        sessions=SessionSettings(Secret(redis_url) if redis_url else None),
    )


def watchers() -> int:
    """How many of these tests' nodes are being watched."""
    return sum(task.get_name() in ("watch 127.0.0.1:1", "watch 127.0.0.1:2") for task in asyncio.all_tasks())


async def drained(fleet: Fleet) -> None:
    """Wait until what was replaced is gone."""
    async with asyncio.timeout(5):
        while fleet._draining:
            await asyncio.wait(fleet._draining)


async def test_dead_databases_do_not_stop_a_map_from_being_adopted(fleet: Fleet) -> None:
    await fleet.adopt(map_of(region(QA, 1), region(SA, 2)))
    assert {name: region.spec.code for name, region in fleet.regions.items()} == {QA: 1, SA: 2}
    assert {code: region.spec.name for code, region in fleet.by_code.items()} == {1: QA, 2: SA}
    assert fleet.epoch == 0


async def test_a_region_that_did_not_change_is_never_touched(fleet: Fleet, stores: Stores) -> None:
    await fleet.adopt(map_of(region(QA, 1), region(SA, 2)))
    qa, sa = fleet.regions[QA], fleet.regions[SA]
    await fleet.adopt(map_of(region(QA, 1), region(SA, 2, port=2)))
    assert fleet.regions[QA] is qa
    assert fleet.regions[SA] is not sa
    assert fleet.by_code[2] is fleet.regions[SA]
    await drained(fleet)
    assert stores.live == ["qa 0", "sa 1"], "the session store stays, for its settings did"
    assert fleet.regions[SA].sessions is sa.sessions
    assert fleet.regions[SA].storage is sa.storage, "nor is its file storage opened anew"
    assert watchers() == 2, "the replaced region's servers are not watched any more"


async def test_a_session_store_is_replaced_only_after_the_region_that_used_it(
    fleet: Fleet, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.adopt(map_of(region(QA, 1)))
    before, seen = fleet.regions[QA], list[tuple[bool, list[str]]]()
    opening, closing = Region.open, Region.close

    async def opens(self: Region) -> None:
        seen.append((fleet.regions[QA] is before, list(stores.live)))
        await opening(self)

    async def closes(self: Region, timeout_s: float = 1.0) -> None:
        seen.append((fleet.regions[QA] is before, list(stores.live)))
        await closing(self, timeout_s)

    monkeypatch.setattr(Region, "open", opens)
    monkeypatch.setattr(Region, "close", closes)
    await fleet.adopt(map_of(region(QA, 1, redis_url="redis://elsewhere")))
    await drained(fleet)
    both = ["qa 0", "qa 1"]
    assert seen == [(True, both), (False, both)], (
        "both stores are open while the old region serves, and while it drains"
    )
    assert stores.live == ["qa 1"]


async def test_a_region_that_is_gone_is_drained_with_its_session_store(fleet: Fleet, stores: Stores) -> None:
    await fleet.adopt(map_of(region(QA, 1), region(SA, 2)))
    await fleet.adopt(map_of(region(QA, 1)))
    await drained(fleet)
    assert (list(fleet.regions), list(fleet.by_code), stores.live) == ([QA], [1], ["qa 0"])
    assert watchers() == 1


async def test_a_map_that_cannot_be_opened_changes_nothing_and_leaves_nothing_behind(
    fleet: Fleet, stores: Stores
) -> None:
    await fleet.adopt(map_of(region(QA, 1)))
    qa = fleet.regions[QA]
    stores.refused = SA
    with pytest.raises(OSError, match="cannot be opened"):
        await fleet.adopt(map_of(region(QA, 1, redis_url="redis://elsewhere"), region(SA, 2)))
    assert fleet.regions == {QA: qa}
    assert stores.live == ["qa 0"]
    assert watchers() == 1


async def test_an_adoption_that_is_cancelled_leaves_no_watcher_and_no_store_behind(
    fleet: Fleet, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.adopt(map_of(region(QA, 1)))
    opening, began = Region.open, asyncio.Event()

    async def never_done(self: Region) -> None:
        await opening(self)
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Region, "open", never_done)
    adopting = asyncio.create_task(fleet.adopt(map_of(region(QA, 1), region(SA, 2))))
    await asyncio.wait_for(began.wait(), 5)
    adopting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adopting
    assert (list(fleet.regions), stores.live, watchers()) == ([QA], ["qa 0"], 1)


async def test_closing_closes_the_stores_even_when_a_region_fails_to_close(
    fleet: Fleet, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.adopt(map_of(region(QA, 1)))
    closing = Region.close

    async def fails(self: Region, timeout_s: float = 1.0) -> None:
        await closing(self, timeout_s)
        raise OSError("could not be closed in order")

    monkeypatch.setattr(Region, "close", fails)
    with pytest.raises(OSError, match="in order"):
        await fleet.close(0)
    assert stores.live == []
