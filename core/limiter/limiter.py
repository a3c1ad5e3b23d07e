"""A region's rate limits: every decision from memory, and a task that tells the other processes what was consumed."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from core.breaker import Breaker, BreakerState
from core.changes import OnChange
from core.limiter.gcra import MICROSECONDS, Limit, Verdict
from core.limiter.ledger import Ledger, Owed
from core.limiter.redis import StoreUnreachable
from core.limits import (
    EVIDENCE_AGE_MAX_S,
    LIMITER_EXCHANGE_INTERVAL_S,
    LIMITER_EXCHANGE_KEYS_MAX,
    PROBE_INTERVAL_S,
)
from core.tasks import end

LOST, FOUND = "limits_not_shared", "limits_shared"


class SharedTats(Protocol):
    """Where processes tell each other what they admitted."""

    async def exchange(self, owed: list[Owed]) -> list[int]:
        """Tell, and hear how far each TAT runs ahead, in microseconds. Raises StoreUnreachable."""
        ...


@dataclass(frozen=True, slots=True)
class LimiterHealth:
    """Whether limits hold over all processes now; where they should and do not, since when."""

    shared: bool
    since: datetime | None
    configured: bool

    @property
    def degraded(self) -> bool:
        """Whether limits that should be shared are each process's own."""
        return self.since is not None


class Limiter:
    """Admits and refuses without waiting for anything. As an async context manager it keeps the exchange going.

    An exchange with `shared` starts when something was consumed and none is under way, LIMITER_EXCHANGE_INTERVAL_S
    after the last at the earliest: over several processes a limit is late by that and one round trip. While `shared`
    does not answer, limits are this process's own; what is still to be earned back is told when it is back.
    `clock` gives monotonic seconds, `wall` aware UTC.
    """

    def __init__(
        self,
        shared: SharedTats | None,
        *,
        region: str,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        on_event: OnChange,
    ) -> None:
        self._shared = shared
        self._region = region
        self._clock = clock
        self._wall = wall
        self._on_event = on_event
        self._ledger = Ledger(shares=shared is not None)
        self._breaker = Breaker()
        self._heard_at: float | None = None
        self._since: datetime | None = None
        self._consumed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._shared is not None:
            self._task = asyncio.create_task(self._keep_sharing(self._shared), name=f"limits {self._region}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await end(self._task)

    def admit(self, key: str, limit: Limit) -> Verdict:
        """Decide on one more of `key`."""
        verdict = self._ledger.admit(key, limit, self._now_us())
        self._tell_soon()
        return verdict

    def mark(self, key: str, lifetime_s: int) -> None:
        """Note `key` as marked for `lifetime_s` seconds, in every process."""
        self._ledger.mark(key, lifetime_s * MICROSECONDS, self._now_us())
        self._tell_soon()

    def is_marked(self, key: str) -> bool:
        """Whether `key` is known here to be marked; if not, the other processes are asked, for the next time."""
        is_marked = self._ledger.is_marked(key, self._now_us())
        self._tell_soon()
        return is_marked

    def health(self) -> LimiterHealth:
        """What the last exchanges showed."""
        heard = self._heard_at is not None and self._clock() - self._heard_at <= EVIDENCE_AGE_MAX_S
        shared = heard and self._breaker.state is BreakerState.CLOSED
        return LimiterHealth(shared, self._since, configured=self._shared is not None)

    def _now_us(self) -> int:
        return int(self._clock() * MICROSECONDS)

    def _tell_soon(self) -> None:
        if self._ledger.owes:
            self._consumed.set()

    async def _keep_sharing(self, shared: SharedTats) -> None:
        while True:
            began = self._clock()
            await self._exchange(shared)
            await asyncio.sleep(max(0.0, began + LIMITER_EXCHANGE_INTERVAL_S - self._clock()))
            await self._due()

    async def _due(self) -> None:
        """Wait until something was consumed, or the store is to be looked at anyway, and it may be asked."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROBE_INTERVAL_S):
                await self._consumed.wait()
        self._consumed.clear()
        if not self._breaker.admits(now := self._clock()):
            await asyncio.sleep(self._breaker.next_at - now)

    async def _exchange(self, shared: SharedTats) -> None:
        owed = self._ledger.owed(LIMITER_EXCHANGE_KEYS_MAX, asked_at := self._now_us())
        self._breaker = self._breaker.asked(self._clock())
        try:
            ahead = await shared.exchange(owed)
            for one, ahead_us in zip(owed, ahead, strict=True):
                self._ledger.merge(one.key, ahead_us, asked_at)
        except StoreUnreachable as exc:
            self._failed(owed, str(exc))
        except Exception as exc:  # noqa: BLE001 - the monitor of this task: without it limits would never be shared again
            self._failed(owed, type(exc).__name__)
        else:
            self._answered()
        self._tell_soon()

    def _answered(self) -> None:
        self._heard_at = self._clock()
        self._breaker = self._breaker.succeeded(self._heard_at)
        if self._since is not None:
            self._on_event(FOUND, {"region": self._region})
            self._since = None

    def _failed(self, owed: list[Owed], reason: str) -> None:
        self._ledger.put_back(owed)
        self._breaker = self._breaker.failed(self._clock())
        if self._since is None and self._breaker.state is BreakerState.OPEN:
            self._since = self._wall()
            self._on_event(LOST, {"region": self._region, "reason": reason, "level": "warning"})
