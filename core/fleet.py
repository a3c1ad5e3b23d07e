"""The live regions behind the shard map in force: opened, replaced when the map changes, and closed together."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from core.database.settings import DatabaseSettings
from core.limits import DRAIN_S
from core.region import OnEvent, Region
from core.sessions import SessionStore
from core.shard_map.model import RegionName, RegionSpec, SessionSettings, ShardMap

OpenStore = Callable[[RegionSpec], AbstractAsyncContextManager[SessionStore]]


@dataclass(frozen=True, slots=True)
class _Store:
    """A region's session store, kept over map changes as long as its settings stay."""

    settings: SessionSettings
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
        Until the swap nothing of the old map is touched, and when opening fails or is cancelled nothing of the new
        one stays. The caller has checked that the change moves no bucket.
        """
        before, stores_before = self.regions, self._stores
        async with AsyncExitStack() as unless_adopted:
            stores = {
                spec.name: self._kept_store(spec) or await self._new_store(spec, unless_adopted)
                for spec in shard_map.regions
            }
            opened = {spec.name: self._kept(spec) or self._new(spec, stores[spec.name]) for spec in shard_map.regions}
            new = [region for name, region in opened.items() if region is not before.get(name)]
            for region in new:
                unless_adopted.push_async_callback(region.close, 0)
            await asyncio.gather(*(region.open() for region in new))
            unless_adopted.pop_all()
        self.regions, self.by_code = opened, {region.spec.code: region for region in opened.values()}
        self._stores = stores
        for name, region in before.items():
            if opened.get(name) is not region:
                store_before = stores_before[name]
                self._drain(region, store_before if store_before is not stores.get(name) else None)

    async def close(self, timeout_s: float = DRAIN_S) -> None:
        """Drain every region for `timeout_s` seconds at most, then close the session stores, whatever fails."""
        async with AsyncExitStack() as stack:
            for store in self._stores.values():
                stack.push_async_callback(store.stack.aclose)
            regions = [region.close(timeout_s) for region in self.regions.values()]
            self.regions, self.by_code, self._stores = {}, {}, {}
            await asyncio.gather(*regions, *self._draining)

    def _kept(self, spec: RegionSpec) -> Region | None:
        region = self.regions.get(spec.name)
        return region if region is not None and region.spec == spec else None

    def _new(self, spec: RegionSpec, store: _Store) -> Region:
        return Region(spec, settings=self._settings, sessions=store.store, clock=self._clock, on_event=self._on_event)

    def _kept_store(self, spec: RegionSpec) -> _Store | None:
        store = self._stores.get(spec.name)
        return store if store is not None and store.settings == spec.sessions else None

    async def _new_store(self, spec: RegionSpec, unless_adopted: AsyncExitStack) -> _Store:
        stack = AsyncExitStack()
        store = await stack.enter_async_context(self._open_store(spec))
        unless_adopted.push_async_callback(stack.aclose)
        return _Store(spec.sessions, store, stack)

    def _drain(self, region: Region, store: _Store | None) -> None:
        """Let what the old region still does end, then close the session store that went with it."""

        async def drained() -> None:
            async with AsyncExitStack() as stack:
                if store is not None:
                    stack.push_async_callback(store.stack.aclose)
                await region.close()

        task = asyncio.create_task(drained(), name=f"drain {region.spec.name}")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
