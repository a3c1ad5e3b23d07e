"""The live regions behind the shard map in force: opened, replaced when the map changes, and closed together."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.changes import OnChange
from core.database.settings import DatabaseSettings
from core.limits import DRAIN_S
from core.region import Region
from core.sessions import SessionStore
from core.shard_map.model import RegionName, RegionSpec, ShardMap
from core.storage.storage import Storage

T = TypeVar("T")
Open = Callable[[RegionSpec], AbstractAsyncContextManager[T]]


@dataclass(frozen=True, slots=True)
class _Opened(Generic[T]):
    """Something of a region that is kept over map changes as long as its settings stay."""

    settings: object
    value: T
    stack: AsyncExitStack


@dataclass(frozen=True, slots=True)
class _Stores:
    """A region's session store and file storage."""

    sessions: _Opened[SessionStore]
    storage: _Opened[Storage]

    def stacks(self) -> tuple[AsyncExitStack, ...]:
        """What closes them, in order."""
        return self.sessions.stack, self.storage.stack


class Fleet:
    """Regions by name and by permanent code. A region whose entry in the map did not change is never touched."""

    def __init__(
        self,
        *,
        settings: DatabaseSettings,
        open_sessions: Open[SessionStore],
        open_storage: Open[Storage],
        clock: Callable[[], float],
        on_event: OnChange,
    ) -> None:
        self._settings = settings
        self._open_sessions = open_sessions
        self._open_storage = open_storage
        self._clock = clock
        self._on_event = on_event
        self._stores: dict[RegionName, _Stores] = {}
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
            stores = {spec.name: await self._stores_of(spec, unless_adopted) for spec in shard_map.regions}
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
                kept = stores[name].stacks() if name in stores else ()
                self._drain(region, [stack for stack in stores_before[name].stacks() if stack not in kept])

    async def close(self, timeout_s: float = DRAIN_S) -> None:
        """Drain every region for `timeout_s` seconds at most, then close the session stores, whatever fails."""
        async with AsyncExitStack() as stack:
            for stores in self._stores.values():
                for opened in stores.stacks():
                    stack.push_async_callback(opened.aclose)
            regions = [region.close(timeout_s) for region in self.regions.values()]
            self.regions, self.by_code, self._stores = {}, {}, {}
            await asyncio.gather(*regions, *self._draining)

    def _kept(self, spec: RegionSpec) -> Region | None:
        region = self.regions.get(spec.name)
        return region if region is not None and region.spec == spec else None

    def _new(self, spec: RegionSpec, stores: _Stores) -> Region:
        return Region(
            spec,
            settings=self._settings,
            sessions=stores.sessions.value,
            storage=stores.storage.value,
            clock=self._clock,
            on_event=self._on_event,
        )

    async def _stores_of(self, spec: RegionSpec, unless_adopted: AsyncExitStack) -> _Stores:
        before = self._stores.get(spec.name)
        sessions, storage = (before.sessions, before.storage) if before is not None else (None, None)
        if sessions is None or sessions.settings != spec.sessions:
            sessions = await _opened(spec.sessions, self._open_sessions(spec), unless_adopted)
        if storage is None or storage.settings != spec.storage:
            storage = await _opened(spec.storage, self._open_storage(spec), unless_adopted)
        return _Stores(sessions, storage)

    def _drain(self, region: Region, stacks: Sequence[AsyncExitStack]) -> None:
        """Let what the old region still does end, then close the stores that went with it."""

        async def drained() -> None:
            async with AsyncExitStack() as stack:
                for replaced in stacks:
                    stack.push_async_callback(replaced.aclose)
                await region.close()

        task = asyncio.create_task(drained(), name=f"drain {region.spec.name}")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


async def _opened(settings: object, opening: AbstractAsyncContextManager[T], unless: AsyncExitStack) -> _Opened[T]:
    stack = AsyncExitStack()
    value = await stack.enter_async_context(opening)
    unless.push_async_callback(stack.aclose)
    return _Opened(settings, value, stack)
