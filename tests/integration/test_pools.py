"""The pool of a node: a bounded queue, deadlines, no doubtful connection kept, and figures that are true."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from core.database.pool import Pool, PoolFigures
from core.database.settings import DatabaseSettings, Login
from core.database.translate import NodeLost, RoleChanged
from core.errors import Conflict, DeadlineExceeded, InternalFault, MeridianError, OutcomeUnknown, PoolExhausted
from core.limits import LOCK_WAIT_MS, POOL_WAITERS_PER_CONNECTION
from core.shard_map.model import Address
from tests.system import PASSWORD, USER, System, free_port, until

DATABASE = "pools"
SHARD = "qa-1"


@pytest.fixture(scope="module", autouse=True)
async def database(system: System) -> AsyncIterator[None]:
    """A database of its own, so that every connection to it is one of these tests'."""
    async with system.sql(SHARD) as connection:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
        await connection.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_isolation = 'repeatable read'")
        yield
        await connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@asynccontextmanager
async def opened(
    system: System, size_max: int = 2, *, size_min: int = 0, read_only: bool = False, **settings: int
) -> AsyncIterator[Pool]:
    """A pool of connections to the primary."""
    pool = Pool(
        Address("127.0.0.1", system.ports(SHARD)["primary"]),
        login=Login(DATABASE, USER, PASSWORD),
        settings=DatabaseSettings(**settings),
        size_min=size_min,
        size_max=size_max,
        read_only=read_only,
    )
    await pool.open(5.0)
    try:
        yield pool
    finally:
        await pool.close(1.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def fetch(pool: Pool, sql: str, *args: object, within_s: float = 10.0, writes: bool = False) -> list[Any]:
    """One statement."""
    return [tuple(row.values()) for row in await pool.fetch(sql, args, deadline=now() + within_s, writes=writes)]


async def backends(system: System) -> list[tuple[str, bool]]:
    """Each server process of this database: its state, and whether it has a transaction."""
    async with system.sql(SHARD) as connection:
        rows = await connection.fetch(
            "SELECT state, xact_start IS NOT NULL AS busy FROM pg_stat_activity WHERE datname = $1", DATABASE
        )
    return [(row["state"], row["busy"]) for row in rows]


def settled(system: System, pool: Pool, count: int | None = None) -> Callable[[], Awaitable[bool]]:
    """Whether the server has exactly the pool's connections, all of them idle."""

    async def condition() -> bool:
        total = pool.figures.total
        return await backends(system) == [("idle", False)] * total and count in (None, total)

    return condition


@asynccontextmanager
async def busy(pool: Pool, count: int) -> AsyncIterator[None]:
    """So many connections borrowed."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(pool.connection(now() + 5))
        yield


async def test_a_full_queue_refuses_at_once_and_those_in_it_are_served_in_turn(system: System) -> None:
    async with opened(system, 2) as pool:
        waiters_max = 2 * POOL_WAITERS_PER_CONNECTION
        async with busy(pool, 2):
            waiting = [asyncio.create_task(fetch(pool, "SELECT 1")) for _ in range(waiters_max)]
            await until_waiting(pool, waiters_max)
            began = now()
            with pytest.raises(PoolExhausted, match="pool exhausted"):
                await fetch(pool, "SELECT 1")
            assert now() - began < 0.1
            assert pool.figures == PoolFigures(total=2, idle=0, waiting=waiters_max)
        assert await asyncio.gather(*waiting) == [[(1,)]] * waiters_max
        assert pool.figures == PoolFigures(total=2, idle=2, waiting=0)
        assert pool.busy == 0


async def until_waiting(pool: Pool, count: int) -> None:
    async def condition() -> bool:
        return pool.figures.waiting == count

    await until(condition, what=f"{count} wait")


async def test_waiting_for_a_connection_ends_with_the_deadline(system: System) -> None:
    async with opened(system, 1) as pool, busy(pool, 1):
        began = now()
        with pytest.raises(PoolExhausted, match="pool exhausted"):
            await fetch(pool, "SELECT 1", within_s=0.2)
        assert 0.2 <= now() - began < 1.0
        assert pool.figures == PoolFigures(total=1, idle=0, waiting=0)


async def test_who_stops_waiting_leaves_the_queue_and_takes_no_connection_along(system: System) -> None:
    async with opened(system, 1) as pool:
        async with busy(pool, 1):
            waiting = [asyncio.create_task(fetch(pool, "SELECT 1")) for _ in range(5)]
            await until_waiting(pool, 5)
            for task in waiting[:4]:
                task.cancel()
            await until_waiting(pool, 1)
        assert await waiting[4] == [(1,)]
        assert pool.figures == PoolFigures(total=1, idle=1, waiting=0)


@pytest.mark.parametrize(("writes", "error"), [(False, DeadlineExceeded), (True, OutcomeUnknown)])
async def test_a_statement_past_its_deadline_is_ended_on_the_server_too(
    system: System, writes: bool, error: type[MeridianError]
) -> None:
    async with opened(system) as pool:
        began = now()
        with pytest.raises(error):
            await fetch(pool, "SELECT pg_sleep(20)", within_s=0.3, writes=writes)
        assert now() - began < 1.0
        await until(settled(system, pool), within_s=5, what="nothing runs any more")
        assert await fetch(pool, "SELECT 1") == [(1,)]


async def test_a_caller_that_goes_away_leaves_no_statement_no_transaction_and_no_connection_behind(
    system: System,
) -> None:
    random = Random(1124)
    async with opened(system, 4) as pool:
        await fetch(pool, "CREATE TABLE left_behind (n int)")
        statements = ["SELECT pg_sleep(0.02)", "INSERT INTO left_behind SELECT 1 FROM pg_sleep(0.01)", "SELECT 1"]
        for _ in range(25):
            tasks = [asyncio.create_task(fetch(pool, random.choice(statements), writes=True)) for _ in range(6)]
            for _ in range(random.randrange(40)):
                await asyncio.sleep(0)
            await fetch_one_more(pool)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, list | asyncio.CancelledError) for result in results), results
        await until(settled(system, pool), within_s=5, what="the server has only the pool's idle connections")
        assert pool.figures.total <= 4
        assert pool.figures == PoolFigures(pool.figures.total, pool.figures.total, 0)
        assert await asyncio.gather(*(fetch(pool, "SELECT 1") for _ in range(8))) == [[(1,)]] * 8


async def fetch_one_more(pool: Pool) -> None:
    assert await fetch(pool, "SELECT 1") == [(1,)]


async def test_the_server_never_has_more_connections_of_a_pool_than_its_size_while_cancelled_ones_are_closed(
    system: System,
) -> None:
    async with opened(system, 2) as pool:
        most = 0
        for _ in range(10):
            tasks = [asyncio.create_task(fetch(pool, "SELECT pg_sleep(20)")) for _ in range(2)]

            async def both_run() -> bool:
                return [state for state, _ in await backends(system)].count("active") == 2

            await until(both_run, what="both connections are taken")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await fetch_one_more(pool)
            most = max(most, len(await backends(system)))
        assert most <= 2


async def test_a_transaction_left_open_is_never_handed_on(system: System) -> None:
    async with opened(system, 1) as pool:
        async with pool.connection(now() + 5) as connection:
            mine = await connection.fetchval("SELECT pg_backend_pid()")
            await connection.execute("BEGIN")
        ((other,),) = await fetch(pool, "SELECT pg_backend_pid()")
        assert other != mine
        await until(settled(system, pool, 1), what="the transaction is gone")


async def test_the_statement_timeout_is_the_servers_and_its_connection_is_kept(system: System) -> None:
    async with opened(system, 1, statement_timeout_ms=200) as pool:
        ((before,),) = await fetch(pool, "SELECT pg_backend_pid()")
        began = now()
        with pytest.raises(DeadlineExceeded, match="DB_STATEMENT_TIMEOUT"):
            await fetch(pool, "SELECT pg_sleep(20)", writes=True)
        assert 0.2 <= now() - began < 2.0
        assert await fetch(pool, "SELECT pg_backend_pid()") == [(before,)]
        assert await fetch(pool, "SHOW statement_timeout") == [("200ms",)]


async def test_a_lock_is_not_waited_for_longer_than_its_bound(system: System) -> None:
    async with opened(system, 2) as pool:
        assert await fetch(pool, "SHOW lock_timeout") == [(f"{LOCK_WAIT_MS // 1000}s",)]
        await fetch(pool, "CREATE TABLE locked (n int)")
        async with pool.connection(now() + 5) as connection, connection.transaction():
            await connection.execute("LOCK TABLE locked")
            with pytest.raises(Conflict, match="another request is changing this"):
                await fetch(pool, "INSERT INTO locked VALUES (1)", writes=True)


async def test_every_connection_is_read_committed_whatever_the_servers_default_or_the_guard_were_blind(
    system: System,
) -> None:
    async with opened(system) as pool:
        assert await fetch(pool, "SHOW transaction_isolation") == [("read committed",)]


async def test_the_floor_of_connections_is_there_from_the_start_and_restored_after_they_were_cut(
    system: System,
) -> None:
    async with opened(system, 5, size_min=3) as pool:
        assert pool.figures == PoolFigures(total=3, idle=3, waiting=0)
        async with system.sql(SHARD) as connection:
            cut = "SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity WHERE datname = $1"
            assert await connection.fetchval(cut, DATABASE) == 3
        await until(settled(system, pool, 3), what="the floor is restored")
        assert await fetch(pool, "SELECT 1") == [(1,)]


async def test_idle_connections_above_the_floor_are_closed_and_those_of_the_floor_are_kept(system: System) -> None:
    async with opened(system, 5, size_min=2, idle_timeout_ms=200) as pool:
        async with busy(pool, 5):
            assert pool.figures == PoolFigures(total=5, idle=0, waiting=0)
            assert len(await backends(system)) == 5
        await until(settled(system, pool, 2), what="the rest is closed")
        began = now()

        async def twice_as_long_as_the_idle_time() -> bool:
            assert pool.figures.total == 2
            return now() - began > 0.4

        await until(twice_as_long_as_the_idle_time)


async def test_the_figures_are_what_the_server_sees(system: System) -> None:
    async with opened(system, 4, size_min=1) as pool:
        for count in (0, 1, 3, 4):
            async with busy(pool, count):
                figures = pool.figures
                assert figures.total - figures.idle == count == pool.busy
                assert figures.total == len(await backends(system))
        tasks = [asyncio.create_task(fetch(pool, "SELECT pg_sleep(0.3)")) for _ in range(6)]
        await until_waiting(pool, 2)
        assert pool.figures == PoolFigures(total=4, idle=0, waiting=2)
        assert pool.busy == 6
        await asyncio.gather(*tasks)
        assert (pool.figures.waiting, pool.busy) == (0, 0)


async def test_a_connection_cut_in_the_middle_is_a_lost_node_and_the_next_statement_has_a_new_one(
    system: System,
) -> None:
    async with opened(system, 1) as pool:
        running = asyncio.create_task(fetch(pool, "SELECT pg_sleep(20)", writes=True))
        async with system.sql(SHARD) as connection:

            async def cut() -> bool:
                sql = """SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity
                         WHERE datname = $1 AND wait_event = 'PgSleep'"""
                return bool(await connection.fetchval(sql, DATABASE))

            await until(cut, what="the statement's connection is cut")
        with pytest.raises(NodeLost) as lost:
            await running
        assert lost.value.sent, "a write that was on its way may have happened"
        assert await fetch(pool, "SELECT 1") == [(1,)]
        assert pool.figures == PoolFigures(total=1, idle=1, waiting=0)


async def test_nobody_listening_is_a_lost_node_to_which_nothing_was_sent() -> None:
    pool = Pool(
        Address("127.0.0.1", free_port()),
        login=Login(DATABASE, USER, PASSWORD),
        settings=DatabaseSettings(),
        size_min=1,
        size_max=2,
        read_only=False,
    )
    with pytest.raises(NodeLost) as lost:
        await pool.open(2.0)
    assert not lost.value.sent
    await pool.close(1.0)


async def test_a_replicas_pool_writes_nothing(system: System) -> None:
    async with opened(system, 1, read_only=True) as pool:
        with pytest.raises(RoleChanged):
            await fetch(pool, "CREATE TABLE never (n int)")
        assert await fetch(pool, "SELECT to_regclass('never')::text") == [(None,)]


async def test_an_argument_that_does_not_fit_is_a_bug_of_ours_and_costs_no_connection(system: System) -> None:
    async with opened(system, 1) as pool:
        ((before,),) = await fetch(pool, "SELECT pg_backend_pid()")
        with pytest.raises(InternalFault, match=r"argument \$1") as fault:
            await fetch(pool, "SELECT $1::smallint", "+97455001234", writes=True)
        assert "+974" not in fault.value.detail
        assert await fetch(pool, "SELECT pg_backend_pid()") == [(before,)]


async def test_expired_connections_are_replaced_as_they_come_back(system: System) -> None:
    async with opened(system, 1) as pool:
        async with pool.connection(now() + 5) as connection:
            old = await connection.fetchval("SELECT pg_backend_pid()")
            await pool.expire()
            assert await connection.fetchval("SELECT 1") == 1, "who has one may end"
        ((new,),) = await fetch(pool, "SELECT pg_backend_pid()")
        assert new != old
        await until(settled(system, pool, 1), what="the old one is closed")


async def test_closing_lets_what_runs_end_for_its_time_and_then_cuts_it(system: System) -> None:
    async with opened(system, 2) as pool:
        short = asyncio.create_task(fetch(pool, "SELECT 7 FROM pg_sleep(0.2)"))
        await until_running(system, 1)
        await pool.close(5.0)
        assert await short == [(7,)]
    async with opened(system, 2) as pool:
        long = asyncio.create_task(fetch(pool, "SELECT pg_sleep(20)"))
        await until_running(system, 1)
        began = now()
        await pool.close(0.2)
        assert now() - began < 3.0
        with pytest.raises(NodeLost):
            await long


async def until_running(system: System, count: int) -> None:
    async def condition() -> bool:
        return [state for state, _ in await backends(system)].count("active") == count

    await until(condition, what=f"{count} statements run")
