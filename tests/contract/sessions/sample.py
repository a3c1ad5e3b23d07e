"""Sessions, a clock that stands until it is moved, and a primary store that can be switched off."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from core.sessions import Answer, MemoryStore, Session, StoreHealth, StoreUnreachable

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


class StoppedClock:
    """Aware UTC that moves only by `forward`."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


def new_session(now: datetime, *, user: UUID | None = None, lasts_s: float = 30 * 24 * 3600) -> Session:
    """A customer's session that starts now."""
    ends = now + timedelta(seconds=lasts_s)
    return Session(uuid4(), user or uuid4(), "customer", created_at=now, expires_at=ends, seen_at=now)


async def _nothing() -> None:
    pass


class Switched:
    """A RemoteStore in memory that is out of reach while `is_down`, and counts what is asked of it.

    `before_put` and `before_ping` are awaited first: a test can hold a call there, or make it fail.
    """

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.is_down = False
        self.calls = 0
        self.before_put: Callable[[], Awaitable[None]] = _nothing
        self.before_ping: Callable[[], Awaitable[None]] = _nothing

    async def get(self, id: UUID) -> Answer:
        self._reach()
        return await self.inner.get(id)

    async def put(self, session: Session, *, confirmed_at: datetime | None = None) -> Answer:
        await self.before_put()
        self._reach()
        return await self.inner.put(session, confirmed_at=confirmed_at)

    async def revoke(self, id: UUID) -> None:
        self._reach()
        await self.inner.revoke(id)

    async def revoke_all(self, user: UUID, *, before: datetime | None = None) -> None:
        self._reach()
        await self.inner.revoke_all(user, before=before)

    async def ping(self) -> None:
        await self.before_ping()
        self._reach()

    def health(self) -> StoreHealth:
        return StoreHealth("redis", not self.is_down, "switched off" if self.is_down else "answers", age_s=0.0)

    def _reach(self) -> None:
        self.calls += 1
        if self.is_down:
            raise StoreUnreachable("switched off")
