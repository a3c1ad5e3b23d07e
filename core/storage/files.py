"""A region's files: from the spool into the store, and out again. Every step can be repeated, by any process.

    receive -> (row `spooled`) -> settle: put, row `stored`, gone from the spool
                                  the drain is `settle` again, for whatever still lies in the spool
    (row `deleted`) -> sweep: gone from the store and the spool, then the row

So a crash between any two steps leaves what the drain or the sweep finishes: a file without a row goes after
FILE_GRACE_S, a file with a row is in the spool until its row says that it is in the store.
"""

import asyncio
import contextlib
import random
import traceback
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from uuid import UUID

import structlog

from core.database.shard import Consistency, Shard, Terms
from core.database.statement import Query, Write
from core.errors import MeridianError, NotFound, StorageUnavailable
from core.ids import placement_of
from core.limits import (
    DRAIN_INTERVAL_S,
    DRAINS_AT_ONCE,
    FILE_GRACE_S,
    FILE_STEP_S,
    FILE_SWEEP_INTERVAL_S,
    FILE_SWEEP_ROWS,
    SPOOL_LOOK_FILES_MAX,
    SPOOL_WAIT_MAX_S,
)
from core.shard_map.model import ShardName
from core.storage import local, rows
from core.storage.rows import StoredFile
from core.storage.storage import Storage, StorageHealth
from core.storage.store import Contents, FileDamaged, FileMissing, StoreUnreachable

T = TypeVar("T")
TRIES_WITHOUT_PAUSE: Final = 5
"""How often a file is tried without a pause."""
LOOK_RESTS: Final = 20
"""A spool of very many files is looked at for a twentieth of the time at most."""
ELSEWHERE: Final = "the file waits on another server for its store; it can be read when it is there"
_log = structlog.get_logger(__name__)


class Rows(Protocol):
    """A region, as far as the rows of its files are concerned."""

    @property
    def shards(self) -> Mapping[ShardName, Shard]: ...

    async def read_now(self, bucket: int, query: Query[T]) -> list[T]: ...

    async def write_now(self, write: Write[T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a file has been tried in vain, and when it may be again (loop seconds).

    The first few times at once, for it was the store's fault as a rule and should move when the store is back; then
    less and less often.
    """

    count: int = 0
    next_at: float = 0.0

    def after_one(self, now: float) -> "Tries":
        """The state after one more try."""
        doublings = min(max(0, self.count + 1 - TRIES_WITHOUT_PAUSE), 32)
        pause_s = min(SPOOL_WAIT_MAX_S, DRAIN_INTERVAL_S * 2**doublings) if doublings else 0.0
        return Tries(self.count + 1, now + pause_s)


class Files:
    """The files of one live region: `storage` holds the bytes, `region` the rows."""

    def __init__(self, storage: Storage, region: Rows) -> None:
        self._storage = storage
        self._region = region
        self._settling: set[UUID] = set()
        self._tries: dict[UUID, Tries] = {}
        self._rest_s = DRAIN_INTERVAL_S
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start moving what lies in the spool, and sweeping."""
        name = self._storage.region
        self._tasks = [
            asyncio.create_task(self._keep_draining(), name=f"drain spool {name}"),
            asyncio.create_task(self._keep_sweeping(), name=f"sweep files {name}"),
        ]

    async def close(self) -> None:
        """Stop; what is under way is finished by the next process."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def spool_name(self) -> str:
        """What rows call this server's spool."""
        return self._storage.spool.name

    def health(self) -> StorageHealth:
        """What was last seen of the store and the spool."""
        return self._storage.health()

    async def receive(self, id: UUID, chunks: AsyncIterator[bytes]) -> Contents:
        """Keep a file in the spool as it comes; see Spool.receive for what it raises."""
        return await self._storage.spool.receive(id, chunks)

    async def discard(self, id: UUID) -> None:
        """Forget a received file that got no row."""
        await self._storage.spool.remove(id)

    async def settle(self, file: StoredFile) -> StoredFile:
        """Move a spooled file into the store if that can be done now; the file as it then is. Never raises for a store
        or a shard that fails: the drain comes back to it.
        """
        if file.state != "spooled" or file.id in self._settling:
            return file
        self._settling.add(file.id)
        self._tries[file.id] = self._tries.get(file.id, Tries()).after_one(_now())
        try:
            await self._storage.put(self._key(file.id), self._storage.spool.path(file.id), file.contents)
            return await self._settled(file)
        except (StoreUnreachable, MeridianError):
            await self._show_waiting()
            return file
        except (FileMissing, FileNotFoundError):
            return file  # another process was faster
        except (FileDamaged, OSError) as exc:
            reason = str(exc) if isinstance(exc, FileDamaged) else exc.strerror
            _log.error("spooled file cannot be read", region=self._storage.region, file=str(file.id), reason=reason)
            return file
        finally:
            self._settling.discard(file.id)

    async def _show_waiting(self) -> None:
        """Health should say at once that a file waits. Where hundreds do already, the drain's look is enough."""
        if self._storage.spool.figures.files < SPOOL_LOOK_FILES_MAX:
            with contextlib.suppress(StorageUnavailable):
                await self._storage.spool.look()

    async def _settled(self, file: StoredFile) -> StoredFile:
        try:
            settled = await self._region.write_now(rows.settled(file.id))
        except NotFound:  # deleted, or settled by another process, meanwhile: the spool is done with it
            settled = file
            if await self._is_gone(file.id):
                await self._storage.delete(self._key(file.id))  # the purge may have been there before our put
        await self._storage.spool.remove(file.id)
        self._tries.pop(file.id, None)
        return settled

    async def _is_gone(self, id: UUID) -> bool:
        return bool(await self._region.read_now(placement_of(id).bucket, rows.gone(id)))

    @asynccontextmanager
    async def content(
        self, file: StoredFile, *, first: int = 0, last: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes `first..last` of a file. Entering raises StorageUnavailable or NotFound; a store that breaks while
        it is read raises StoreUnreachable.
        """
        async with contextlib.AsyncExitStack() as stack:
            yield await self._opened(file, first, last, stack)

    async def _opened(
        self, file: StoredFile, first: int, last: int | None, stack: contextlib.AsyncExitStack
    ) -> AsyncIterator[bytes]:
        """From our spool, else from the store: the row may be older than what the drain has done since."""
        is_here = file.state == "spooled" and file.spool == self.spool_name
        if is_here:
            with contextlib.suppress(FileMissing):
                spooled = local.reading(self._storage.spool.path(file.id), first=first, last=last)
                return await stack.enter_async_context(spooled)
        try:
            stored = self._storage.open(self._key(file.id), first=first, last=last)
            return await stack.enter_async_context(stored)
        except NotFound:
            if file.state == "spooled" and not is_here:
                raise StorageUnavailable(ELSEWHERE, retry_after_s=5) from None
            _log.error("stored file missing", region=self._storage.region, file=str(file.id))
            raise

    async def link(self, file: StoredFile, *, disposition: str) -> str | None:
        """A URL for a stored file, where clients can reach the store."""
        if file.state != "stored":
            return None
        return await self._storage.link(self._key(file.id), file.contents, disposition=disposition)

    async def drain(self) -> None:
        """Go once through the spool: move what should be in the store, remove what should not be here."""
        began = _now()
        waiting = await self._storage.spool.look()
        self._rest_s = max(DRAIN_INTERVAL_S, LOOK_RESTS * (_now() - began))
        self._tries = {id: self._tries[id] for id in waiting if id in self._tries}
        if not waiting or not self._storage.uses_store:
            return
        queue = iter(self._due(waiting))
        done = await asyncio.gather(*(self._drain(queue) for _ in range(DRAINS_AT_ONCE)), return_exceptions=True)
        await self._storage.spool.look()
        for failure in done:
            if failure is not None:
                raise failure

    def _due(self, waiting: Sequence[UUID]) -> list[UUID]:
        """What to move now: what was tried least comes first, so that a file that always fails holds up no other."""
        now, untried = _now(), Tries()
        tries = {id: self._tries.get(id, untried) for id in waiting if id not in self._settling}
        due = [id for id, tried in tries.items() if tried.next_at <= now]
        return sorted(due, key=lambda id: tries[id].count)

    async def _drain(self, queue: Iterator[UUID]) -> None:
        for id in queue:
            if not self._storage.uses_store:
                return
            with contextlib.suppress(MeridianError, StoreUnreachable):  # a shard or store that cannot be asked: later
                await self._resolve(id)

    async def _resolve(self, id: UUID) -> None:
        found = await self._region.read_now(placement_of(id).bucket, rows.whatever(id))
        if not found:
            self._storage.spool.unclaimed.add(id)
            if await self._storage.spool.is_old(id) and await self._is_gone(id):
                await self._storage.spool.remove(id)
        elif found[0].state == "spooled":
            self._storage.spool.unclaimed.discard(id)
            await self.settle(found[0])
        else:
            await self._storage.spool.remove(id)

    async def sweep(self, *, grace_s: float = FILE_GRACE_S) -> None:
        """Delete what is attached to nothing for a day, and purge what was deleted more than `grace_s` ago."""
        await self._storage.spool.sweep()
        for shard in self._region.shards.values():
            with contextlib.suppress(MeridianError, StoreUnreachable):  # a shard or store that cannot be asked: later
                await self._sweep(shard, grace_s)

    async def _sweep(self, shard: Shard, grace_s: float) -> None:
        """In batches, for an interval at most: then it is another shard's turn."""
        until = shard.now() + FILE_SWEEP_INTERVAL_S
        abandoned = purged = FILE_SWEEP_ROWS
        while FILE_SWEEP_ROWS in (abandoned, purged) and shard.now() < until:
            abandoned = (await shard.write(rows.abandon(), _terms(shard))).value
            purged = await self._purge(shard, grace_s)

    async def _purge(self, shard: Shard, grace_s: float) -> int:
        ids = (await shard.read(rows.purgeable(grace_s), _terms(shard))).value
        for id in ids:
            await self._storage.delete(self._key(id))
            await self._storage.spool.remove(id)
        if ids:
            await shard.write(rows.forget(ids), _terms(shard))
        return len(ids)

    async def _keep_draining(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s):
                    await self._storage.healed.wait()
            self._storage.healed.clear()
            await self._monitored("drain", self.drain())

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(FILE_SWEEP_INTERVAL_S * random.uniform(0.8, 1.2))  # noqa: S311  not all at once
            await self._monitored("sweep", self.sweep())

    async def _monitored(self, what: str, work: Awaitable[None]) -> None:
        try:
            with contextlib.suppress(StorageUnavailable):  # the disk: health says so, and it may be mended
                await work
        except Exception as exc:  # noqa: BLE001 - the monitor of these tasks: without it files would wait for ever
            trace = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(exc.__traceback__)]
            _log.error(f"{what} of files failed", region=self._storage.region, reason=type(exc).__name__, trace=trace)

    def _key(self, id: UUID) -> str:
        return f"{self._storage.region}/{id}"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _terms(shard: Shard) -> Terms:
    return Terms(shard.now() + FILE_STEP_S, Consistency.STRONG)
