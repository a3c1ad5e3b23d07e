"""Connections to a Redis (or Valkey) on terms that suit a request's path: bounded, without retries, failing at once."""

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

# RuntimeError: uvloop's word for a write to a connection that has just closed. UnicodeError: an impossible host name.
REDIS_FAILURES: Final = (RedisError, OSError, TimeoutError, RuntimeError, UnicodeError)


def redis_pool(url: str, *, connections: int, timeout_s: float) -> BlockingConnectionPool:
    """A pool of at most `connections`; each step of each call takes `timeout_s` at most.

    Raises ValueError for a URL that cannot be used, without showing it.
    """
    try:
        # Ours last: options in the URL's query must not loosen a bound.
        options: dict[str, Any] = {**parse_url(url), **_bounds(connections, timeout_s)}
        pool = BlockingConnectionPool(**options)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError):
        # Not chained: the parser's words can quote parts of the URL, and with them the password.
        raise ValueError("the Redis URL cannot be used; give redis://, rediss:// or unix://") from None
    return pool


def _bounds(connections: int, timeout_s: float) -> dict[str, object]:
    return {
        "max_connections": connections,
        "timeout": timeout_s,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "health_check_interval": 0,
        "decode_responses": False,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
