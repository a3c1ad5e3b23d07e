"""One look at a server by a person: everything `meridian doctor` tells of it, over one short-lived connection."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import asyncpg

from core.database.connect import arguments
from core.database.settings import DatabaseSettings, Login
from core.database.translate import BROKEN, NodeLost
from core.shard_map.model import Address

_SQL: Final = """
SELECT current_setting('server_version_num')::int AS version,
       pg_is_in_recovery() AS in_recovery,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
       (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name NOT LIKE 'meridian%')::int AS others,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       extract(epoch FROM clock_timestamp())::float8 AS clock,
       (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming')::int AS followers
"""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A server as it describes itself. `clock_off_s`: how far its clock is ahead of ours."""

    version: int
    in_recovery: bool
    max_connections: int
    reserved: int
    others: int
    synchronous_commit: str
    synchronous_standby_names: str
    followers: int
    clock_off_s: float


async def inspect(at: Address, login: Login, settings: DatabaseSettings, *, timeout_s: float) -> NodeFacts:
    """Ask one server. Raises NodeLost when it does not answer within `timeout_s` or refuses us."""
    try:
        async with asyncio.timeout(timeout_s):
            connection = await asyncpg.connect(**arguments(at, login, settings, "meridian doctor"))
            try:
                row = await connection.fetchrow(_SQL)
            finally:
                connection.terminate()
    except TimeoutError as exc:
        raise NodeLost(f"no answer within {timeout_s:g} s", sent=False) from exc
    except (*BROKEN, asyncpg.PostgresError) as exc:
        reason = str(exc) if isinstance(exc, asyncpg.PostgresError) else type(exc).__name__
        raise NodeLost(reason, sent=False) from exc
    assert row is not None
    facts = dict(row)
    clock_off_s = facts.pop("clock") - time.time()
    return NodeFacts(**facts, clock_off_s=round(clock_off_s, 3))
