"""One PostgreSQL server: its watcher and its pool, opened and closed together."""

import asyncio
from collections.abc import Callable
from typing import Final

from core.database.evidence import NodeState, Reach
from core.database.pool import Pool, PoolFigures
from core.database.settings import DatabaseSettings, Login
from core.database.translate import NodeLost
from core.database.watch import Watch
from core.limits import PROBE_TIMEOUT_S
from core.shard_map.model import Address

_NO_CONNECTIONS: Final = PoolFigures(0, 0, 0)


class Node:
    """A server of a shard. Its pool is made when it is first seen, for its role: sized and read-only for a replica.

    When the role changes the pool is replaced; the old one drains in the background, bounded.
    """

    def __init__(
        self,
        at: Address,
        *,
        login: Login,
        settings: DatabaseSettings,
        clock: Callable[[], float],
        changed: Callable[[], None],
        buckets_changed: Callable[[], None],
    ) -> None:
        self.at = at
        self._login = login
        self._settings = settings
        self._changed = changed
        self._as_replica = False
        self._pool: Pool | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.watch = Watch(
            at, login=login, settings=settings, clock=clock, seen=self._seen, buckets_changed=buckets_changed
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> NodeState:
        """What was last seen of the server."""
        return self.watch.state

    @property
    def pool(self) -> Pool:
        """The pool for the node's present role. Raises NodeLost while there is none."""
        if self._pool is None:
            raise NodeLost(f"{self.at}: {self.state.reason or 'not seen yet'}", sent=False)
        return self._pool

    @property
    def figures(self) -> PoolFigures:
        """The pool's figures; zeros while there is none."""
        return _NO_CONNECTIONS if self._pool is None else self._pool.figures

    @property
    def busy(self) -> int:
        """What a new statement would stand behind."""
        return 0 if self._pool is None else self._pool.busy

    def open(self) -> None:
        """Start watching; the server may be down."""
        self._task = asyncio.create_task(self.watch.run(), name=f"watch {self.at}")

    async def lost(self) -> None:
        """A statement found the server gone: forget its connections and look again."""
        if self._pool is not None:
            await self._pool.expire()
        self.watch.look_again()

    async def close(self, timeout_s: float) -> None:
        """Stop watching and drain the pools for `timeout_s` seconds at most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._retire(timeout_s)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _seen(self) -> None:
        """After every observation: have the pool that fits the role, then let the shard look at its roles."""
        state = self.state
        if state.reach is Reach.UP and state.evidence is not None:
            await self._play(as_replica=state.evidence.in_recovery)
        self._changed()

    async def _play(self, *, as_replica: bool) -> None:
        if self._pool is not None and as_replica == self._as_replica:
            return
        self._retire(self._settings.statement_timeout_ms / 1000)
        pool = self._new_pool(as_replica=as_replica)
        try:
            await pool.open(PROBE_TIMEOUT_S)
        except NodeLost as exc:
            self.watch.failed(exc.detail)
            return
        self._pool, self._as_replica = pool, as_replica

    def _retire(self, timeout_s: float) -> None:
        """Let go of the pool; what is borrowed from it may end."""
        if self._pool is not None:
            task = asyncio.create_task(self._pool.close(timeout_s), name=f"drain {self.at}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._pool = None

    def _new_pool(self, *, as_replica: bool) -> Pool:
        s = self._settings
        size_max = s.read_pool_max if as_replica else s.pool_max
        return Pool(
            self.at, login=self._login, settings=s, size_min=s.pool_min, size_max=size_max, read_only=as_replica
        )
