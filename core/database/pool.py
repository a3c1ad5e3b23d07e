"""The pool of one node: asyncpg's pool with a bounded queue, deadlines, figures, and no doubtful connection kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from core.database.connect import Conn, arguments, prepare
from core.database.settings import DatabaseSettings, Login
from core.database.statement import Lock, Row
from core.database.translate import BROKEN, NodeLost, translated
from core.errors import DeadlineExceeded, MeridianError, OutcomeUnknown, PoolExhausted
from core.limits import POOL_WAITERS_PER_CONNECTION, PROBE_TIMEOUT_S
from core.shard_map.model import Address

Proxy: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Connections open, idle among them, and requests waiting for one: the guide's health figures."""

    total: int
    idle: int
    waiting: int


class Pool:
    """Connections to one node. At most `size_max`, and at most ten waiters for each; a wait ends with the deadline.

    A connection whose state is not known (cancelled, timed out, broken) is closed, never handed on. `answered_at` (loop
    seconds) is when the node last answered a statement, with an error or without.
    """

    def __init__(
        self, at: Address, *, login: Login, settings: DatabaseSettings, size_min: int, size_max: int, read_only: bool
    ) -> None:
        self._at = at
        self._in_use = 0
        self._discarding: set[asyncio.Task[None]] = set()
        self._patience: set[asyncio.Timeout] = set()
        self.waiting = 0
        self.answered_at = 0.0
        self._waiting_max = size_max * POOL_WAITERS_PER_CONNECTION
        options = arguments(at, login, settings, "meridian")
        if read_only:
            options["server_settings"]["default_transaction_read_only"] = "on"
        self._pool = asyncpg.create_pool(
            min_size=min(size_min, size_max),
            max_size=size_max,
            max_inactive_connection_lifetime=settings.idle_timeout_ms / 1000,
            init=prepare,
            reset=_keep,
            **options,
        )

    async def open(self, timeout_s: float) -> None:
        """Open the pool's floor of connections; when it cannot be had, nothing of it is left.

        Raises NodeLost when it is not there within `timeout_s`, PoolExhausted when the server has no room for it.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._pool
        except TimeoutError as exc:
            raise NodeLost(f"{self._at}: no connection in time", sent=False) from exc
        except asyncpg.TooManyConnectionsError as exc:
            raise translated(exc, where=str(self._at), sent=False) from exc
        except (*BROKEN, asyncpg.PostgresError) as exc:
            raise NodeLost(f"{self._at}: {exc}", sent=False) from exc

    async def close(self, timeout_s: float) -> None:
        """Let borrowed connections come back for `timeout_s` seconds, then cut them."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        if self._discarding:
            await asyncio.wait(self._discarding)

    async def expire(self) -> None:
        """Close every connection of today as it comes back: the node changed under them."""
        await self._pool.expire_connections()

    def give_up(self) -> None:
        """The node does not answer: let nobody wait for it until their deadline. They see NodeLost now."""
        now = asyncio.get_running_loop().time()
        for patience in self._patience:
            if not patience.expired():  # one that is still unwinding from an earlier call
                patience.reschedule(now)

    @property
    def figures(self) -> PoolFigures:
        """The pool as it is now."""
        return PoolFigures(self._pool.get_size(), self._pool.get_idle_size(), self.waiting)

    @property
    def busy(self) -> int:
        """Connections in use and requests waiting: what a new request would stand behind."""
        return self._in_use + self.waiting

    @asynccontextmanager
    async def connection(self, deadline: float) -> AsyncIterator[Conn]:
        """Borrow a connection until the block ends; `deadline` is in loop seconds.

        Raises PoolExhausted when the queue is full or the wait too long, NodeLost when no connection can be made,
        DeadlineExceeded when the deadline was too near to tell.
        """
        proxy = await self._acquire(deadline)
        self._in_use += 1
        answered = False
        try:
            yield cast("Conn", proxy)
            answered = True
        except asyncpg.PostgresError:
            answered = True
            raise
        finally:
            self._in_use -= 1
            if answered and _is_known(proxy):
                await self._pool.release(proxy)
            else:
                self._discard(proxy)

    def _discard(self, proxy: Proxy) -> None:
        """Cancel what a connection of unknown state may still run, and close it; nobody waits for that.

        Its place in the pool is free when the server has let go: the server never has more of us than the pool's size.
        """
        task = asyncio.create_task(_close(proxy), name=f"discard a connection to {self._at}")
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)

    async def _acquire(self, deadline: float) -> Proxy:
        if self.waiting >= self._waiting_max:
            raise PoolExhausted(f"pool exhausted: {self._at} has {self.waiting} requests waiting")
        self.waiting += 1
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(deadline):
                return cast("Proxy", await self._pool.acquire())
        except TimeoutError as exc:
            raise self._not_acquired(waited_s=asyncio.get_running_loop().time() - began) from exc
        except (*BROKEN, asyncpg.PostgresError) as exc:
            raise translated(exc, where=str(self._at), sent=False) from exc
        finally:
            self.waiting -= 1

    def _not_acquired(self, *, waited_s: float) -> MeridianError:
        """Why there was no connection in time. A connection that is being discarded still has its place."""
        if self._pool.get_size() + len(self._discarding) >= self._pool.get_max_size():
            return PoolExhausted(f"pool exhausted: no connection to {self._at} in time")
        if waited_s >= PROBE_TIMEOUT_S:
            return NodeLost(f"{self._at}: no connection in time", sent=False)
        # A caller in a hurry proves nothing against the server: it must not close it to everybody else.
        return DeadlineExceeded(f"no connection to {self._at} in time; nothing was changed")

    async def fetch(
        self, sql: str, args: Sequence[object], *, deadline: float, writes: bool, lock: Lock | None = None
    ) -> list[Row]:
        """Run one statement as a transaction of its own, in one round trip; with `lock`, after a row was locked.

        A write whose answer does not come before the deadline raises OutcomeUnknown; a read DeadlineExceeded. When the
        node is given up meanwhile both raise NodeLost.
        """
        sent = False
        patience = asyncio.timeout(None)
        self._patience.add(patience)
        try:
            async with patience, self.connection(deadline) as connection, asyncio.timeout_at(deadline):
                sent = True
                rows = await (_locked(connection, lock, sql, args) if lock else _fetched(connection, sql, args))
        except TimeoutError as exc:
            if patience.expired():
                raise NodeLost(f"{self._at} does not answer", sent=sent) from exc
            raise _late(self._at, writes) from exc
        except (*BROKEN, asyncpg.PostgresError) as exc:
            if not isinstance(exc, BROKEN):
                self._answered()
            raise translated(exc, where=str(self._at), sent=True) from exc
        finally:
            self._patience.discard(patience)
        self._answered()
        return rows

    def _answered(self) -> None:
        self.answered_at = asyncio.get_running_loop().time()


async def _fetched(connection: Conn, sql: str, args: Sequence[object]) -> list[Row]:
    return cast("list[Row]", await connection.fetch(sql, *args))


async def _locked(connection: Conn, lock: Lock, sql: str, args: Sequence[object]) -> list[Row]:
    """The statement after its lock. Whatever else than an error of the server ends it leaves the connection unknown."""
    await connection.execute("BEGIN")
    try:
        await connection.fetch(lock.sql, *lock.args)
        rows = await _fetched(connection, sql, args)
    except asyncpg.PostgresError:
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return rows


def _late(at: Address, writes: bool) -> OutcomeUnknown | DeadlineExceeded:
    if writes:
        return OutcomeUnknown(f"{at} did not answer in time; the write may or may not have happened")
    return DeadlineExceeded(f"{at} did not answer in time")


def _is_known(proxy: Proxy) -> bool:
    """Whether a connection is sound and between transactions; one that broke is not the proxy's any more."""
    try:
        return not proxy.is_closed() and not proxy.is_in_transaction()
    except asyncpg.InterfaceError:
        return False


async def _close(proxy: Proxy) -> None:
    with contextlib.suppress(TimeoutError, *BROKEN, asyncpg.PostgresError):
        await proxy.close(timeout=PROBE_TIMEOUT_S)


async def _keep(connection: Conn) -> None:
    """Nothing to reset, so no round trip: statements leave no session state, and doubtful connections were closed."""
