"""The live regions behind the shard map in force: opened, replaced when the map changes, and closed together."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from core.database.settings import DatabaseSettings
from core.limits import DRAIN_S
from core.region import OnEvent, Region
from core.sessions import SessionStore
from core.shard_map.model import RegionName, RegionSpec, ShardMap

OpenStore = Callable[[RegionSpec], AbstractAsyncContextManager[SessionStore]]


@dataclass(slots=True)
class _Store:
    """A region's session store, kept over map changes as long as its settings stay."""

    settings: object
    store: SessionStore
    stack: AsyncExitStack


class Fleet:
    """Regions by name and by permanent code. A region whose entry in the map did not change is never touched."""

    def __init__(
        self, *, settings: DatabaseSettings, open_store: OpenStore, clock: Callable[[], float], on_event: OnEvent
    ) -> None:
        self._settings = settings
        self._open_store = open_store
        self._clock = clock
        self._on_event = on_event
        self._stores: dict[RegionName, _Store] = {}
        self._draining: set[asyncio.Task[None]] = set()
        self.regions: dict[RegionName, Region] = {}
        self.by_code: dict[int, Region] = {}

    @property
    def epoch(self) -> int:
        """The highest ownership epoch of any region."""
        return max((region.ownership.epoch for region in self.regions.values()), default=0)

    async def adopt(self, shard_map: ShardMap) -> None:
        """Serve by this map from now on.

        1. open and probe the regions that are new or changed; 2. swap the references; 3. drain what was replaced.
        The caller has checked that the change moves no bucket.
        """
        before = self.regions
        opened = {spec.name: self._kept(spec) or await self._new(spec) for spec in shard_map.regions}
        await asyncio.gather(*(region.open() for name, region in opened.items() if region is not before.get(name)))
        self.regions, self.by_code = opened, {region.spec.code: region for region in opened.values()}
        for name, region in before.items():
            if opened.get(name) is not region:
                self._drain(region)

    async def close(self, timeout_s: float = DRAIN_S) -> None:
        """Drain every region for `timeout_s` seconds at most, then close the session stores."""
        await asyncio.gather(*(region.close(timeout_s) for region in self.regions.values()), *self._draining)
        for store in self._stores.values():
            await store.stack.aclose()
        self.regions, self.by_code, self._stores = {}, {}, {}

    def _kept(self, spec: RegionSpec) -> Region | None:
        region = self.regions.get(spec.name)
        return region if region is not None and region.spec == spec else None

    async def _new(self, spec: RegionSpec) -> Region:
        return Region(
            spec,
            settings=self._settings,
            sessions=await self._store(spec),
            clock=self._clock,
            on_event=self._on_event,
        )

    async def _store(self, spec: RegionSpec) -> SessionStore:
        kept = self._stores.get(spec.name)
        if kept is not None and kept.settings == spec.sessions:
            return kept.store
        stack = AsyncExitStack()
        store = await stack.enter_async_context(self._open_store(spec))
        if kept is not None:
            await kept.stack.aclose()
        self._stores[spec.name] = _Store(spec.sessions, store, stack)
        return store

    def _drain(self, region: Region) -> None:
        task = asyncio.create_task(region.close(), name=f"drain {region.spec.name}")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
