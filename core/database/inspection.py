"""One look at a server by a person: everything `meridian doctor` tells of it, over one short-lived connection."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from core.database.connect import Conn, arguments
from core.database.settings import DatabaseSettings, Login
from core.database.translate import BROKEN, NodeLost
from core.errors import PoolExhausted
from core.shard_map.model import Address

# To a login that is no superuser and not in pg_read_all_stats, PostgreSQL shows other people's rows of these views with
# most columns null: what is null counts as what it most likely is.
_SQL: Final = """
SELECT current_setting('server_version_num')::int AS version,
       role.recovering AS in_recovery,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
       (SELECT count(*) FROM pg_stat_activity
        WHERE coalesce(backend_type, 'client backend') = 'client backend' AND datid IS NOT NULL
          AND application_name NOT LIKE 'meridian%')::int AS others,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       current_setting('wal_level') AS wal_level,
       (SELECT system_identifier FROM pg_control_system()) AS system_id,
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming') AS is_streaming,
       CASE WHEN role.recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END
         - pg_lsn '0/0' AS lsn,
       CASE WHEN role.recovering AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
            THEN coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)
            ELSE 0 END::float8 AS lag_s,
       has_function_privilege('pg_read_file(text, bigint, bigint, boolean)', 'EXECUTE')
         AND pg_has_role('pg_read_all_stats', 'USAGE') AS reads_history,
       extract(epoch FROM clock_timestamp())::float8 AS clock
FROM (SELECT pg_is_in_recovery() AS recovering) AS role
"""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A server as it describes itself.

    `others`: connections that are not Meridian's. `is_streaming`: it receives another server's WAL now. `lsn`: flushed
    on a primary, replayed on a replica. `lag_s`: the age of what a replica replayed last, 0 when it has replayed all it
    received. `reads_history`: this login may see where timelines were left. `shard`: the name it was introduced by, ""
    before. `clock_off_s`: how far its clock is ahead of ours at least, 0 when the round trip may explain it.
    """

    version: int
    in_recovery: bool
    max_connections: int
    reserved: int
    others: int
    synchronous_commit: str
    synchronous_standby_names: str
    wal_level: str
    system_id: int
    is_streaming: bool
    lsn: int
    lag_s: float
    reads_history: bool
    shard: str
    clock_off_s: float


async def inspect(
    at: Address, login: Login, settings: DatabaseSettings, *, timeout_s: float, wall: Callable[[], float]
) -> NodeFacts:
    """Ask one server; `wall` gives our seconds since 1970.

    Raises NodeLost when it does not answer within `timeout_s` or refuses us, PoolExhausted when it has no connection
    left for us.
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await asyncpg.connect(**arguments(at, login, settings, "meridian doctor"))
            try:
                return await _asked(connection, wall)
            finally:
                connection.terminate()
    except TimeoutError as exc:
        raise NodeLost(f"no answer within {timeout_s:g} s", sent=False) from exc
    except asyncpg.TooManyConnectionsError as exc:
        raise PoolExhausted(f"{at} accepts no more connections") from exc
    except (*BROKEN, asyncpg.PostgresError) as exc:
        reason = str(exc) if isinstance(exc, asyncpg.PostgresError) else type(exc).__name__
        raise NodeLost(reason, sent=False) from exc


async def _asked(connection: Conn, wall: Callable[[], float]) -> NodeFacts:
    before = wall()
    row = await connection.fetchrow(_SQL)
    after = wall()
    assert row is not None
    facts: dict[str, Any] = dict(row)
    clock = facts.pop("clock")
    return NodeFacts(
        **facts | {"lsn": int(facts["lsn"])}, shard=await _shard(connection), clock_off_s=_off(clock, before, after)
    )


def _off(clock: float, before: float, after: float) -> float:
    """How far a clock that was read between two moments of ours lies outside them."""
    return round(max(clock - after, 0.0) or min(clock - before, 0.0), 3)


async def _shard(connection: Conn) -> str:
    if await connection.fetchval("SELECT to_regclass('meridian.shard')") is None:
        return ""
    return await connection.fetchval("SELECT name FROM meridian.shard") or ""
