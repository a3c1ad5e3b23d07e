"""Opens a region's session store: Redis with its fallback when there is a URL, memory alone when there is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.changes import OnChange, log_change
from core.sessions import bounds
from core.sessions.fallback import FallbackStore
from core.sessions.lifetimes import Lifetimes
from core.sessions.memory import MemoryStore
from core.sessions.redis import RedisStore
from core.sessions.store import Clock, SessionStore


@asynccontextmanager
async def open_sessions(
    *,
    redis_url: str | None,
    region: str,
    clock: Clock,
    idle_s: float = bounds.IDLE_S,
    on_change: OnChange = log_change,
) -> AsyncIterator[SessionStore]:
    """A region's session store, ready within SESSION_STORE_TIMEOUT_S whether Redis is there or not.

    `clock` gives aware UTC. Raises ValueError for a URL that cannot be used; the URL is never shown.
    """
    lifetimes = Lifetimes(idle_s=idle_s)
    if not redis_url:
        yield MemoryStore(clock=clock, lifetimes=lifetimes)
        return
    standby = MemoryStore(clock=clock, lifetimes=Lifetimes(idle_s=idle_s, recheck_s=bounds.RECHECK_IN_FALLBACK_S))
    async with (
        RedisStore(redis_url, region=region, clock=clock, lifetimes=lifetimes) as primary,
        FallbackStore(primary, standby, region=region, clock=clock, on_change=on_change) as store,
    ):
        yield store
