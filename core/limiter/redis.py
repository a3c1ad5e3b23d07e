"""The shared TATs of a region in its Redis: many keys told and asked in one script, one round trip."""

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis

from core.limiter.ledger import Owed
from core.limits import LIMITER_STORE_TIMEOUT_S
from core.redis_pool import REDIS_FAILURES, redis_pool

_CLOSE_TIMEOUT_S: Final = 1.0
_PROBE: Final = Owed("probe", 1_000, 1_000)  # it writes, so that a full or read-only Redis is seen as what it is

# KEYS: limits; ARGV: for each its cost and its cap. Returns for each how far its TAT runs ahead of this server's clock.
# All in microseconds, below 2^53, so that Lua's doubles are exact. A cost of 0 writes nothing. The cap bounds what a
# clock that was set back, or a limit that was wider until now, could cost anybody.
EXCHANGE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local ahead = {}
for i, key in ipairs(KEYS) do
  local tat = tonumber(redis.call('GET', key) or 0) or 0
  local cost, cap = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if tat < now then tat = now end
  if cost > 0 then
    tat = math.min(tat + cost, now + cap)
    redis.call('SET', key, string.format('%.0f', tat), 'PX', string.format('%d', math.ceil((tat - now) / 1000)))
  end
  ahead[i] = tat - now
end
return ahead
"""


class StoreUnreachable(Exception):
    """Redis did not answer in time, or refused. The text names the kind of failure only: its address is a secret."""


class RedisTats:
    """The TATs of one region in one Redis (or Valkey), as `meridian:<region>:limit:<key>`; `timeout_s` for an exchange.

    As an async context manager it closes its connection. Raises ValueError for a URL that cannot be used, without
    showing it.
    """

    def __init__(self, url: str, *, region: str, timeout_s: float = LIMITER_STORE_TIMEOUT_S) -> None:
        self._prefix = f"meridian:{region}:limit:"
        self._timeout_s = timeout_s
        self._pool = redis_pool(url, connections=1, timeout_s=timeout_s)
        self._script = Redis(connection_pool=self._pool).register_script(EXCHANGE)
        self._is_suspect = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*REDIS_FAILURES):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._pool.aclose()

    async def exchange(self, owed: Sequence[Owed]) -> list[int]:
        """Tell what was consumed; for each key how far its shared TAT now runs ahead. Raises StoreUnreachable.

        With nothing to tell it finds out whether the store can be written to.
        """
        told = owed or [_PROBE]
        keys = [self._prefix + one.key for one in told]
        arguments = [text for one in told for text in (str(one.cost_us), str(one.cap_us))]
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._is_suspect:
                    # A connection from before a failure may be dead without knowing it: a cut network says nothing.
                    await self._pool.disconnect(inuse_connections=False)
                ahead: list[Any] = await self._script(keys, arguments)
        except REDIS_FAILURES as exc:
            self._is_suspect = True
            raise StoreUnreachable(f"Redis did not do it: {type(exc).__name__}") from exc
        self._is_suspect = False
        return [int(one) for one in ahead[: len(owed)]]
