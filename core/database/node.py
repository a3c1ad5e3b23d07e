"""One PostgreSQL server: its watcher, its pool and its breaker, opened and closed together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from core.breaker import Breaker
from core.changes import OnChange
from core.database.evidence import NodeState, Reach
from core.database.pool import Pool, PoolFigures
from core.database.settings import DatabaseSettings, Login
from core.database.statement import Lock, Row
from core.database.translate import NodeLost
from core.database.watch import Watch
from core.errors import DeadlineExceeded, MeridianError, OutcomeUnknown, PoolExhausted
from core.limits import PROBE_TIMEOUT_S
from core.shard_map.model import Address
from core.tasks import end

_NO_CONNECTIONS: Final = PoolFigures(0, 0, 0)


class Node:
    """A server of a shard. Its pool is made when it is first seen, for its role: sized and read-only for a replica.

    When the role changes the pool is replaced; the old one drains in the background, bounded. The watcher says whether
    the server answers; the breaker, whether statements get through to it: it opens after failures in a row, whatever
    the watcher sees. `on_change` hears of the breaker and of a pool that is exhausted, once for each change.
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
        on_change: OnChange,
    ) -> None:
        self.at = at
        self.breaker = Breaker()
        self._login = login
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._on_change = on_change
        self._as_replica = False
        self._exhausted = False
        self._pool: Pool | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.watch = Watch(
            at,
            login=login,
            settings=settings,
            clock=clock,
            seen=self._seen,
            answered_at=lambda: 0.0 if self._pool is None else self._pool.answered_at,
            buckets_changed=buckets_changed,
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> NodeState:
        """What was last seen of the server."""
        return self.watch.state

    @property
    def admits(self) -> bool:
        """Whether the breaker lets a statement through now."""
        return self.breaker.admits(self._clock())

    @property
    def figures(self) -> PoolFigures:
        """The pool's figures; zeros while there is none."""
        return _NO_CONNECTIONS if self._pool is None else self._pool.figures

    @property
    def busy(self) -> int:
        """What a new statement would stand behind."""
        return 0 if self._pool is None else self._pool.busy

    async def fetch(
        self, sql: str, args: Sequence[object], *, deadline: float, writes: bool, lock: Lock | None = None
    ) -> list[Row]:
        """See Pool.fetch. Raises NodeLost also while there is no pool."""
        if self._pool is None:
            raise NodeLost(f"{self.at}: {self.state.reason or 'not seen yet'}", sent=False)
        self._move(self.breaker.asked(self._clock()))
        try:
            rows = await self._pool.fetch(sql, args, deadline=deadline, writes=writes, lock=lock)
        except NodeLost:
            self._move(self.breaker.failed(self._clock()))
            raise
        except (DeadlineExceeded, OutcomeUnknown):
            raise  # late: that says nothing of the server
        except MeridianError as exc:
            # Refused or exhausted: the server is there. Saturation opens no breaker.
            self._got_through(exhausted=isinstance(exc, PoolExhausted))
            raise
        self._got_through(exhausted=False)
        return rows

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
            await end(self._task)
        self._retire(timeout_s)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _seen(self) -> None:
        """After every look: have the pool that fits the role, then let the shard look at its roles.

        A server that does not answer is given up, so that what waits for it can go elsewhere.
        """
        state = self.state
        if state.reach is Reach.UP and state.evidence is not None:
            await self._play(as_replica=state.evidence.in_recovery)
        elif self._pool is not None:
            self._pool.give_up()
            await self._pool.expire()
        self._changed()

    async def _play(self, *, as_replica: bool) -> None:
        if self._pool is not None and as_replica == self._as_replica:
            return
        pool = self._new_pool(as_replica=as_replica, size_min=self._settings.pool_min)
        try:
            await pool.open(PROBE_TIMEOUT_S)
        except NodeLost as exc:
            self.watch.failed(exc.detail)
            return
        except PoolExhausted:
            # The server has no room now: begin with no connection, and take what can be had.
            pool = self._new_pool(as_replica=as_replica, size_min=0)
            await pool.open(PROBE_TIMEOUT_S)
        self._retire(self._settings.statement_timeout_ms / 1000)
        self._pool, self._as_replica = pool, as_replica

    def _got_through(self, *, exhausted: bool) -> None:
        self._move(self.breaker.succeeded(self._clock()))
        if exhausted == self._exhausted or (self._pool is not None and not exhausted and self._pool.waiting):
            return
        self._exhausted = exhausted
        event = "pool exhausted" if exhausted else "pool no longer exhausted"
        self._on_change(event, {"node": str(self.at), "level": "warning" if exhausted else "info"})

    def _move(self, after: Breaker) -> None:
        before, self.breaker = self.breaker, after
        if after.state is not before.state:
            self._on_change("breaker", {"node": str(self.at), "from": str(before.state), "to": str(after.state)})

    def _retire(self, timeout_s: float) -> None:
        """Let go of the pool; what is borrowed from it may end."""
        if self._pool is not None:
            task = asyncio.create_task(self._pool.close(timeout_s), name=f"drain {self.at}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._pool = None

    def _new_pool(self, *, as_replica: bool, size_min: int) -> Pool:
        s = self._settings
        size_max = s.read_pool_max if as_replica else s.pool_max
        return Pool(self.at, login=self._login, settings=s, size_min=size_min, size_max=size_max, read_only=as_replica)
