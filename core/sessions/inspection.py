"""One look at a Redis by a person: what `meridian doctor` tells of it, over one short-lived connection."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from core.redis_pool import REDIS_FAILURES
from core.sessions.store import StoreUnreachable

_PROBE_LIFETIME_MS = 10_000


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """A Redis that took a write. `bytes_max` is 0 where it has no bound; `policy` says what it does when it is full."""

    round_trip_s: float
    used_bytes: int
    bytes_max: int
    policy: str


async def inspect(url: str, *, timeout_s: float, clock: Callable[[], float]) -> RedisFacts:
    """Write a few bytes that expire, and ask about memory; `clock` gives seconds.

    Raises StoreUnreachable when it does not do so within `timeout_s`, ValueError for a URL that cannot be used; neither
    shows the URL.
    """
    try:
        redis = Redis.from_url(url, socket_timeout=None, retry=Retry(NoBackoff(), 0), decode_responses=True)
    except (ValueError, TypeError, RedisError):
        # Not chained: the parser's words can quote parts of the URL, and with them the password.
        raise ValueError("the Redis URL cannot be used; give redis://, rediss:// or unix://") from None
    try:
        async with asyncio.timeout(timeout_s), redis:
            await redis.set("meridian:doctor", 1, px=_PROBE_LIFETIME_MS)
            began = clock()
            await redis.set("meridian:doctor", 1, px=_PROBE_LIFETIME_MS)
            round_trip_s = clock() - began
            memory = await redis.info("memory")
    except REDIS_FAILURES as exc:
        raise StoreUnreachable(type(exc).__name__) from exc
    return RedisFacts(
        round_trip_s,
        int(memory.get("used_memory", 0)),
        int(memory.get("maxmemory", 0)),
        str(memory.get("maxmemory_policy", "unknown")),
    )
