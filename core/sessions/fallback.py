"""The fallback rule: while Redis is out of reach sessions live in this process, and Redis is told when it is back."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog

from core.changes import OnChange, log_change
from core.sessions.availability import Availability, Event, Mode, Rhythm
from core.sessions.bounds import RESTORES_AT_ONCE
from core.sessions.journal import Entry, Journal, Put, Revoke, RevokeAll
from core.sessions.memory import MemoryStore
from core.sessions.store import Answer, Clock, RemoteStore, Session, StoreHealth, StoreUnreachable
from core.tasks import end

WARNING = "Falling back to in-memory session store"
RETURNED = "Session store is back on Redis"


class FallbackStore:
    """A SessionStore that always answers: from `primary`, or from `memory` from the first failure until it has healed.

    As an async context manager it looks at the primary once (bounded by the primary's timeout) and then keeps a probe
    running. The probe heals: everything that happened meanwhile is written to the primary, revocations first, and only
    then do calls go back to it. Memory starts empty each time, so it never repeats what it knew in an earlier outage.
    """

    def __init__(
        self,
        primary: RemoteStore,
        memory: MemoryStore,
        *,
        region: str,
        clock: Clock,
        rhythm: Rhythm | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: OnChange = log_change,
    ) -> None:
        self._primary = primary
        self._memory = memory
        self._region = region
        self._clock = clock
        self._monotonic = monotonic
        self._on_change = on_change
        self._state = Availability(rhythm or Rhythm())
        self._reason = ""
        self._journal = Journal()
        self._woken = asyncio.Event()
        self._probe: asyncio.Task[None] | None = None
        self._log = structlog.get_logger(__name__)

    async def __aenter__(self) -> Self:
        await self._look()
        self._probe = asyncio.create_task(self._keep_looking(), name=f"session store probe {self._region}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._probe is not None:
            await end(self._probe)

    async def get(self, id: UUID) -> Answer:
        """See SessionStore.get."""
        if self._state.uses_primary:
            try:
                return await self._primary.get(id)
            except StoreUnreachable as exc:
                self._call_failed(exc)
        answer = await self._memory.get(id)
        if isinstance(answer, Session):
            self._journal.used(answer)
        return answer

    async def put(self, session: Session, *, confirmed_at: datetime | None = None) -> Answer:
        """See SessionStore.put."""
        confirmed_at = confirmed_at or self._clock()
        if self._state.uses_primary:
            try:
                return await self._primary.put(session, confirmed_at=confirmed_at)
            except StoreUnreachable as exc:
                self._call_failed(exc)
        answer = await self._memory.put(session, confirmed_at=confirmed_at)
        if isinstance(answer, Session):
            self._journal.put(answer, confirmed_at)
        return answer

    async def revoke(self, id: UUID) -> None:
        """See SessionStore.revoke."""
        if self._state.uses_primary:
            try:
                return await self._primary.revoke(id)
            except StoreUnreachable as exc:
                self._call_failed(exc)
        self._journal.revoke(id)
        return await self._memory.revoke(id)

    async def revoke_all(self, user: UUID, *, before: datetime | None = None) -> None:
        """See SessionStore.revoke_all."""
        before = before or self._clock()
        if self._state.uses_primary:
            try:
                return await self._primary.revoke_all(user, before=before)
            except StoreUnreachable as exc:
                self._call_failed(exc)
        self._journal.revoke_all(user, before)
        return await self._memory.revoke_all(user, before=before)

    def health(self) -> StoreHealth:
        """The primary as last seen; during a fallback, memory, not connected, and since when."""
        seen = self._primary.health()
        if self._state.uses_primary:
            return seen
        since = self._clock() - timedelta(seconds=self._monotonic() - self._state.since)
        return StoreHealth("memory", False, self._reason, seen.age_s, since, len(self._journal))

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._rest()
                if not self._state.rest_s(self._monotonic()):
                    await self._look()
            except Exception as exc:  # noqa: BLE001 - the monitor of this task: without it a fallback would never end
                # Places only: a formatter that shows the frames' variables would show Redis's password.
                trace = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(exc.__traceback__)]
                self._log.error(
                    "session store probe failed", region=self._region, reason=type(exc).__name__, trace=trace
                )
                self._move(Event.PROBE_FAILED, type(exc).__name__)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._state.rest_s(self._monotonic())):
                await self._woken.wait()
        self._woken.clear()

    async def _look(self) -> None:
        try:
            await self._primary.ping()
            self._move(Event.PROBE_ANSWERED)
            if self._state.mode is Mode.RESTORING:
                await self._restore()
        except StoreUnreachable as exc:
            self._move(Event.PROBE_FAILED, str(exc))

    async def _restore(self) -> None:
        while entries := self._journal.next(RESTORES_AT_ONCE):
            outcomes = await asyncio.gather(*map(self._write, entries), return_exceptions=True)
            for failure in filter(None, outcomes):
                raise failure
        # No await from the last look into the journal to the change of state: a revocation made between the two would
        # be known to memory alone.
        self._memory.clear()
        self._move(Event.RESTORED)

    async def _write(self, entry: Entry) -> None:
        """Tell the primary. In any order: it keeps a revocation whether it comes before or after its session."""
        match entry:
            case RevokeAll(user, before):
                await self._primary.revoke_all(user, before=before)
            case Revoke(id):
                await self._primary.revoke(id)
            case Put(session, confirmed_at):
                await self._primary.put(session, confirmed_at=confirmed_at)
        self._journal.done(entry)

    def _call_failed(self, exc: StoreUnreachable) -> None:
        self._move(Event.CALL_FAILED, str(exc))
        self._woken.set()

    def _move(self, event: Event, reason: str = "") -> None:
        now = self._monotonic()
        before, self._state = self._state, self._state.after(event, now)
        self._reason = reason or self._reason
        if before.uses_primary and not self._state.uses_primary:
            self._on_change(WARNING, {"region": self._region, "reason": reason, "level": "warning"})
        elif self._state.uses_primary and not before.uses_primary:
            self._on_change(RETURNED, {"region": self._region, "fallback_s": round(now - before.since, 3)})
