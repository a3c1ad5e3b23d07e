"""A region's file store together with the spool that stands in for it while it is out of reach."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from core.breaker import Breaker, BreakerState
from core.changes import OnChange
from core.errors import NotFound, StorageUnavailable
from core.limits import (
    EVIDENCE_AGE_MAX_S,
    LINK_LIFETIME_S,
    SPOOL_WAIT_MAX_S,
    STORE_PROBE_INTERVAL_S,
    STORE_PROBE_TIMEOUT_S,
    STORE_READS_AT_ONCE_MAX,
)
from core.storage.spool import Spool
from core.storage.store import Contents, FileMissing, FileStore, StoreKind, StoreUnreachable
from core.tasks import end

FELL_BACK: Final = "Falling back to local file storage"
RETURNED: Final = "File storage is back"


@dataclass(frozen=True, slots=True)
class StorageHealth:
    """What was last seen of a region's files; asking never opens a connection.

    `store` is what takes new files now, `configured` what should. `connected` is true only for what was seen within
    EVIDENCE_AGE_MAX_S. `spooled` files wait on this server's disk, the oldest for `oldest_s` seconds; without room on
    it (`has_room`) no file is taken at all, for each passes through it.
    """

    store: StoreKind
    configured: StoreKind
    connected: bool
    detail: str
    breaker: BreakerState
    fallback_since: datetime | None
    spooled: int
    spooled_bytes: int
    oldest_s: float
    has_room: bool

    @property
    def degraded(self) -> bool:
        """Whether files do not go where they should."""
        fell_back = self.fallback_since is not None or not self.connected
        return fell_back or not self.has_room or self.oldest_s > SPOOL_WAIT_MAX_S


class Storage:
    """Puts and reads files of one region. The first failure opens the breaker; a probe that writes closes it again.

    As an async context manager it opens the spool, looks at the store once, and keeps a probe running. `healed` is set
    whenever the store has come back.
    """

    def __init__(
        self,
        region: str,
        *,
        store: FileStore,
        spool: Spool,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        on_change: OnChange,
    ) -> None:
        self.region = region
        self.spool = spool
        self.healed = asyncio.Event()
        self._store = store
        self._clock = clock
        self._wall = wall
        self._fallback_since: datetime | None = None
        self._on_change = on_change
        self._breaker = Breaker(failures_max=1)
        self._reads = 0
        self._seen_at: float | None = None
        self._detail = ""
        self._probe: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Storage":
        try:
            await self.spool.open()
        except StorageUnavailable as exc:
            self._detail = exc.detail
        await self._look(writing=False)
        self._probe = asyncio.create_task(self._keep_looking(), name=f"file store probe {self.region}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._probe is not None:
            await end(self._probe)

    @property
    def uses_store(self) -> bool:
        """Whether the store is believed to answer."""
        return self._breaker.state is BreakerState.CLOSED

    async def put(self, key: str, source: Path, contents: Contents) -> None:
        """Store a file. Raises StoreUnreachable, at once while the breaker is open, and FileDamaged."""
        self._require_store()
        try:
            await self._store.put(key, source, contents)
        except StoreUnreachable as exc:
            self._failed(str(exc))
            raise
        self._answered()

    @asynccontextmanager
    async def open(self, key: str, *, first: int, last: int | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """Bytes of a stored file. Entering raises StorageUnavailable or NotFound; a read may raise StoreUnreachable.

        At most STORE_READS_AT_ONCE_MAX at once: slow readers must not hold every connection to the store, or it would
        look dead to those who put, and to the probe.
        """
        if self._reads >= STORE_READS_AT_ONCE_MAX:
            raise StorageUnavailable(f"{STORE_READS_AT_ONCE_MAX} files are being read already", retry_after_s=1)
        self._reads += 1
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._read_ended)
            try:
                self._require_store()
                chunks = await stack.enter_async_context(self._store.open(key, first=first, last=last))
            except StoreUnreachable as exc:
                self._failed(str(exc))
                raise StorageUnavailable("the file's store does not answer now", retry_after_s=2) from exc
            except FileMissing as exc:
                raise NotFound("the file is not in its store any more") from exc
            self._answered()
            yield chunks

    def _read_ended(self) -> None:
        self._reads -= 1

    async def delete(self, key: str) -> None:
        """Remove a file from the store. Raises StoreUnreachable."""
        self._require_store()
        try:
            await self._store.delete(key)
        except StoreUnreachable as exc:
            self._failed(str(exc))
            raise

    async def link(self, key: str, contents: Contents, *, disposition: str) -> str | None:
        """A URL for this one file for some minutes, where clients can reach the store and it is believed to answer."""
        if not self.uses_store:
            return None
        return await self._store.link(key, contents, disposition=disposition, lifetime_s=LINK_LIFETIME_S)

    def health(self) -> StorageHealth:
        """The store and the spool as last seen."""
        figures = self.spool.figures
        fresh = self._seen_at is not None and self._clock() - self._seen_at <= EVIDENCE_AGE_MAX_S
        return StorageHealth(
            store=self._store.kind if self.uses_store else "Local",
            configured=self._store.kind,
            connected=self.uses_store and fresh,
            detail=self._detail,
            breaker=self._breaker.state,
            fallback_since=self._fallback_since,
            spooled=figures.files,
            spooled_bytes=figures.bytes,
            oldest_s=round(figures.oldest_s, 1),
            has_room=figures.has_room,
        )

    def _require_store(self) -> None:
        if not self.uses_store:
            raise StoreUnreachable(self._detail)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._rest_s())
            await self._look(writing=not self.uses_store)

    def _rest_s(self) -> float:
        return STORE_PROBE_INTERVAL_S if self.uses_store else max(0.0, self._breaker.next_at - self._clock())

    async def _look(self, *, writing: bool) -> None:
        """One probe: of a store that failed it is the breaker's trial, and proves that files can be put again."""
        self._breaker = self._breaker.asked(self._clock())
        try:
            async with asyncio.timeout(STORE_PROBE_TIMEOUT_S):
                await self._store.probe(writing=writing)
        except StoreUnreachable as exc:
            self._failed(str(exc))
        except TimeoutError:
            self._failed("no answer in time")
        else:
            self._answered()

    def _failed(self, reason: str) -> None:
        fell = self.uses_store
        self._breaker, self._detail = self._breaker.failed(self._clock()), reason
        if fell:
            self._fallback_since = self._wall()
            self._tell(FELL_BACK, reason, "warning")

    def _answered(self) -> None:
        returned = not self.uses_store
        self._breaker, self._seen_at = self._breaker.succeeded(self._clock()), self._clock()
        if returned and self.uses_store:
            self._fallback_since, self._detail = None, ""
            self.healed.set()
            self._tell(RETURNED, "", "info")

    def _tell(self, event: str, reason: str, level: str) -> None:
        details: dict[str, object] = {"region": self.region, "store": self._store.kind, "level": level}
        self._on_change(event, details | ({"reason": reason} if reason else {}))
