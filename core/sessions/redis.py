"""Sessions in Redis, shared by a region's processes. The only door to the redis client; its exceptions stop here."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from core.limits import SESSION_STORE_TIMEOUT_S
from core.redis_pool import REDIS_FAILURES, redis_pool
from core.sessions import bounds, scripts
from core.sessions.availability import Sighting
from core.sessions.lifetimes import Lifetimes
from core.sessions.store import Answer, Clock, Revoked, Session, StoreHealth, StoreUnreachable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_Argument: TypeAlias = str | int | bytes


class RedisStore:
    """A RemoteStore in one Redis (or Valkey): one round trip a call, `timeout_s` for it, no retries.

    As an async context manager it closes its connections at the end. Raises ValueError for a URL that cannot be used,
    without showing it. Keys: `meridian:<region>:session:<id>` and `meridian:<region>:sessions-ended:<user>`.
    """

    def __init__(
        self,
        url: str,
        *,
        region: str,
        clock: Clock,
        lifetimes: Lifetimes,
        timeout_s: float = SESSION_STORE_TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = f"meridian:{region}:"
        self._clock = clock
        self._lifetimes = lifetimes
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._sighting: Sighting | None = None
        # One more is the probe's: it must not wait behind a burst.
        self._pool = redis_pool(url, connections=bounds.CONNECTIONS_MAX + 1, timeout_s=timeout_s)
        # The pool's own queue is not fair: a caller that comes back at once overtakes those who wait, until they time
        # out and a busy Redis is taken for a dead one. Here it is first come, first served; the pool need not queue.
        self._slots = asyncio.Semaphore(bounds.CONNECTIONS_MAX)
        self._redis = Redis(connection_pool=self._pool)
        self._get, self._put, self._revoke, self._revoke_all = (
            self._redis.register_script(lua) for lua in (scripts.GET, scripts.PUT, scripts.REVOKE, scripts.REVOKE_ALL)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*REDIS_FAILURES):
            async with asyncio.timeout(bounds.CLOSE_TIMEOUT_S):
                await self._pool.aclose()

    async def get(self, id: UUID) -> Answer:
        """See SessionStore.get. Raises StoreUnreachable."""
        now = self._clock()
        arguments = (_us(now), self._idle_us, round(bounds.TOUCH_S * 1e6), self._mark_key(""))
        reply = await self._call(self._get, [self._session_key(id)], arguments)
        return Revoked(id) if reply == 0 else _decoded(id, reply, now)

    async def put(self, session: Session, *, confirmed_at: datetime | None = None) -> Answer:
        """See SessionStore.put. Raises StoreUnreachable."""
        now = self._clock()
        confirmed_at = confirmed_at or now
        if not self._lifetimes.is_live(session, confirmed_at, now):
            return None
        until = self._lifetimes.believed_until(session, confirmed_at)
        moments = map(_us, (session.created_at, confirmed_at, until, session.seen_at))
        arguments: list[_Argument] = [_us(now), self._idle_us, str(session.user), *moments, _encoded(session)]
        keys = [self._session_key(session.id), self._mark_key(session.user)]
        return session if await self._call(self._put, keys, arguments) else Revoked(session.id)

    async def revoke(self, id: UUID) -> None:
        """See SessionStore.revoke. Raises StoreUnreachable."""
        kept = self._lifetimes.revoked_kept
        await self._call(self._revoke, [self._session_key(id)], (_us(self._clock() + kept), _ms(kept)))

    async def revoke_all(self, user: UUID, *, before: datetime | None = None) -> None:
        """See SessionStore.revoke_all. Raises StoreUnreachable."""
        now, kept = self._clock(), self._lifetimes.revoked_kept
        await self._call(self._revoke_all, [self._mark_key(user)], (_us(before or now), _us(now + kept), _ms(kept)))

    async def ping(self) -> None:
        """See RemoteStore.ping. It writes, so that a full or read-only Redis is seen as what it is."""
        if self._sighting is not None and not self._sighting.answered:
            # Idle connections from before the failure may be dead without knowing it (a cut network says nothing).
            with contextlib.suppress(*REDIS_FAILURES):
                await self._pool.disconnect(inuse_connections=False)
        await self._bounded(self._redis.set(f"{self._prefix}probe", 1, px=10_000))

    def health(self) -> StoreHealth:
        """What the last call or ping saw, and how long ago."""
        seen = self._sighting
        if seen is None:
            return StoreHealth("redis", connected=False, detail="not asked yet")
        now = self._monotonic()
        return StoreHealth("redis", seen.is_connected(now), seen.detail, age_s=now - seen.at)

    @property
    def _idle_us(self) -> int:
        return round(self._lifetimes.idle_s * 1e6)

    def _session_key(self, id: UUID) -> str:
        return f"{self._prefix}session:{id}"

    def _mark_key(self, user: UUID | str) -> str:
        return f"{self._prefix}sessions-ended:{user}"

    async def _call(self, script: AsyncScript, keys: Sequence[str], arguments: Sequence[_Argument]) -> Any:
        """Run a script in its turn. Waiting for the turn is not held against Redis, unless it fails meanwhile."""
        began = self._monotonic()
        with self._failures_seen():
            async with asyncio.timeout(bounds.TURN_WAIT_S):
                await self._slots.acquire()
        try:
            if self._sighting is not None and not self._sighting.answered and self._sighting.at >= began:
                raise StoreUnreachable(f"Redis just failed another call: {self._sighting.detail}")
            return await self._bounded(script(keys, arguments))
        finally:
            self._slots.release()

    async def _bounded(self, command: Awaitable[Any]) -> Any:
        """Await a command under the timeout, which also covers opening a connection."""
        with self._failures_seen():
            async with asyncio.timeout(self._timeout_s):
                reply = await command
        self._see(answered=True, detail="answers")
        return reply

    @contextlib.contextmanager
    def _failures_seen(self) -> Iterator[None]:
        """The door: note what failed, and let only StoreUnreachable out."""
        try:
            yield
        except REDIS_FAILURES as exc:
            self._see(answered=False, detail=type(exc).__name__)
            raise StoreUnreachable(f"Redis did not do it: {type(exc).__name__}") from exc

    def _see(self, *, answered: bool, detail: str) -> None:
        self._sighting = Sighting(answered, self._monotonic(), detail)


def _encoded(session: Session) -> bytes:
    return orjson.dumps(
        {
            "user": session.user,
            "role": session.role,
            "created_at": session.created_at,
            "expires_at": session.expires_at,
        }
    )


def _decoded(id: UUID, reply: bytes | None, seen_at: datetime) -> Session | None:
    """The session in a reply; None for one that another version wrote and this one cannot read: the row still can."""
    if reply is None:
        return None
    try:
        held = orjson.loads(reply)
        created_at, expires_at = (datetime.fromisoformat(held[name]) for name in ("created_at", "expires_at"))
        return Session(id, UUID(held["user"]), held["role"], created_at, expires_at, seen_at)
    except (ValueError, KeyError, TypeError):
        return None


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
