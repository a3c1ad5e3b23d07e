"""Migrations over all shards: numbered .sql files, a ledger with hashes, one runner at a time, safe to run again.

A region is begun here too. The first run finds no shard introduced: it makes the region's permanent login key, and each
shard claims its share of the ring in the transaction that introduces it. A run that is cut off goes on later,
because every introduced shard carries the key and the list of founders.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg

from core.database.connect import Conn, arguments, prepare
from core.database.settings import DatabaseSettings, Login
from core.database.translate import BROKEN
from core.errors import Conflict, ShardUnavailable
from core.limits import MIGRATION_LOCK_WAIT_S
from core.shard_map.model import RegionSpec, ShardName, ShardSpec
from core.shard_map.ring import ring_table

_LOCK_ID = 0x4D52444E  # the same "MRDN" as the guard's lock class; a one-argument lock is another key space

_FAILURES = (Conflict, ShardUnavailable, asyncpg.PostgresError, *BROKEN)

_LEDGER_SQL = """
CREATE SCHEMA IF NOT EXISTS meridian;
CREATE TABLE IF NOT EXISTS meridian.migration (
    source text NOT NULL, number int NOT NULL, name text NOT NULL, sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (source, number))
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One .sql file named `0001_words.sql`, of a source (`meridian` or a service's name)."""

    source: str
    number: int
    name: str
    sql: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text: a file that changes after it was applied is refused."""
        return sha256(self.sql.encode()).digest()


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """Where one shard stands: names of applied and pending migrations, and why it could not be brought further."""

    shard: ShardName
    applied: tuple[str, ...]
    pending: tuple[str, ...]
    fault: str = ""


def migrations_in(folder: Traversable, source: str) -> list[Migration]:
    """The migrations of a folder in order. Raises Conflict when two files have one number."""
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    found = [Migration(source, int(f.name.split("_")[0]), f.name, f.read_text(encoding="utf-8")) for f in files]
    if len({migration.number for migration in found}) != len(found):
        raise Conflict(f"two migrations of {source} have the same number")
    return found


async def migrate_region(
    region: RegionSpec,
    *,
    engine: Sequence[Migration],
    service: Sequence[Migration],
    new_key: Callable[[], bytes],
    settings: DatabaseSettings,
) -> list[ShardStatus]:
    """Bring every reachable shard of a region up to date.

    The engine's first file makes introduction possible; introduction comes next, because the files after it, the
    engine's and the service's, make sharded tables, which carry the region's code.

    A shard that cannot be reached or refuses is reported with its fault; the others go on. A region can only be begun
    when all its shards are reachable.
    """
    async with AsyncExitStack() as stack:
        open_shards: dict[ShardName, Conn] = {}
        faults: dict[ShardName, str] = {}
        # In one order, whatever the map's: two runs that lock each other's next shard would wait in vain.
        for shard in sorted(region.shards, key=lambda shard: shard.name):
            try:
                open_shards[shard.name] = await stack.enter_async_context(_locked_primary(shard, settings))
                await _apply(open_shards[shard.name], engine[:1])
            except _FAILURES as exc:
                open_shards.pop(shard.name, None)
                faults[shard.name] = str(exc)
        try:
            await _introduce(region, open_shards, new_key)
        except _FAILURES as exc:
            return [
                await _status(s.name, open_shards, [*engine, *service], {s.name: str(exc)} | faults)
                for s in region.shards
            ]
        for name, connection in open_shards.items():
            try:
                await _apply(connection, [*engine[1:], *service])
            except _FAILURES as exc:
                faults[name] = str(exc)
        return [await _status(s.name, open_shards, [*engine, *service], faults) for s in region.shards]


async def region_status(
    region: RegionSpec, *, migrations: Sequence[Migration], settings: DatabaseSettings
) -> list[ShardStatus]:
    """Where every shard of a region stands, changing nothing."""
    statuses = []
    for shard in region.shards:
        try:
            async with _primary(shard, settings) as connection:
                statuses.append(await _status(shard.name, {shard.name: connection}, migrations, {}))
        except _FAILURES as exc:
            statuses.append(ShardStatus(shard.name, (), tuple(m.name for m in migrations), str(exc)))
    return statuses


async def _status(
    name: ShardName, open_shards: Mapping[ShardName, Conn], wanted: Sequence[Migration], faults: Mapping[ShardName, str]
) -> ShardStatus:
    connection = open_shards.get(name)
    done = {} if connection is None or connection.is_closed() else await _ledger(connection)
    applied = tuple(m.name for m in wanted if (m.source, m.number) in done)
    pending = tuple(m.name for m in wanted if (m.source, m.number) not in done)
    changed = [m.name for m in wanted if done.get((m.source, m.number), m.digest) != m.digest]
    fault = faults.get(name, "") or (f"{', '.join(changed)} changed after it was applied" if changed else "")
    return ShardStatus(name, applied, pending, fault)


@asynccontextmanager
async def _primary(shard: ShardSpec, settings: DatabaseSettings) -> AsyncIterator[Conn]:
    """A connection to the one writable node of a shard. Raises ShardUnavailable when there is none, or more."""
    login = Login(shard.database, shard.user, shard.password.reveal())
    patient = replace(settings, statement_timeout_ms=0)
    tried = await asyncio.gather(
        *(asyncpg.connect(**arguments(at, login, patient, "meridian migrate")) for at in shard.addresses),
        return_exceptions=True,
    )
    connections: list[Conn] = [c for c in tried if not isinstance(c, BaseException)]
    try:
        writable = [c for c in connections if not await c.fetchval("SELECT pg_is_in_recovery()")]
        if len(writable) != 1:
            reasons = "; ".join(
                f"{at}: {c}" for at, c in zip(shard.addresses, tried, strict=True) if isinstance(c, BaseException)
            )
            raise ShardUnavailable(f"shard {shard.name} has {len(writable)} writable nodes ({reasons or 'all answer'})")
        await prepare(writable[0])
        yield writable[0]
    finally:
        for connection in connections:
            connection.terminate()


@asynccontextmanager
async def _locked_primary(shard: ShardSpec, settings: DatabaseSettings) -> AsyncIterator[Conn]:
    async with _primary(shard, settings) as connection:
        try:
            await connection.execute(f"SET lock_timeout = '{MIGRATION_LOCK_WAIT_S}s'")
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_ID)
            await connection.execute("SET lock_timeout = '5s'")
        except asyncpg.LockNotAvailableError as exc:
            raise ShardUnavailable(f"another migration of shard {shard.name} is running") from exc
        yield connection


async def _ledger(connection: Conn) -> dict[tuple[str, int], bytes]:
    if await connection.fetchval("SELECT to_regclass('meridian.migration')") is None:
        return {}
    rows = await connection.fetch("SELECT source, number, sha256 FROM meridian.migration")
    return {(row["source"], row["number"]): row["sha256"] for row in rows}


async def _apply(connection: Conn, migrations: Sequence[Migration]) -> None:
    """Apply what is pending, each file in a transaction with its ledger row."""
    await connection.execute(_LEDGER_SQL)
    done = await _ledger(connection)
    for migration in migrations:
        known = done.get((migration.source, migration.number))
        if known is None:
            try:
                await _run(connection, migration)
            except asyncpg.PostgresError as exc:
                raise Conflict(f"{migration.name} of {migration.source} failed and was undone: {exc}") from exc
        elif known != migration.digest:
            raise Conflict(f"{migration.name} of {migration.source} changed after it was applied; restore the file")


async def _run(connection: Conn, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO meridian.migration (source, number, name, sha256) VALUES ($1, $2, $3, $4)",
            migration.source,
            migration.number,
            migration.name,
            migration.digest,
        )


async def _introduce(region: RegionSpec, shards: Mapping[ShardName, Conn], new_key: Callable[[], bytes]) -> None:
    known = {name: await c.fetchrow("SELECT * FROM meridian.shard") for name, c in shards.items()}
    rows = {name: row for name, row in known.items() if row is not None}
    for name, row in rows.items():
        if (row["region"], row["region_code"], row["name"]) != (region.name, region.code, name):
            raise Conflict(
                f"the servers of {name} say they are {row['name']} of region {row['region']}; correct the shard map"
            )
    if len({row["login_key"] for row in rows.values()}) > 1:
        raise Conflict(f"the shards of region {region.name} were begun apart: their login keys differ")
    missing = [name for name in shards if name not in rows]
    if not missing:
        return
    if not rows and len(shards) < len(region.shards):
        raise ShardUnavailable(f"region {region.name} cannot be begun until all its shards are reachable")
    founder = next(iter(rows.values()), None)
    key = founder["login_key"] if founder else new_key()
    founders: dict[str, int] = founder["founders"] if founder else {s.name: s.weight for s in region.shards}
    for name in missing:
        await _claim(region, name, shards[name], key, founders)


async def _claim(region: RegionSpec, name: ShardName, connection: Conn, key: bytes, founders: dict[str, Any]) -> None:
    """Introduce one shard, with its buckets if it is a founder. A shard added later owns nothing until a move."""
    table = ring_table(replace(region, shards=tuple(_founder(region, n, w) for n, w in founders.items())))
    buckets = [bucket for bucket, owner in enumerate(table) if owner == name]
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO meridian.shard (region, region_code, name, login_key, founders) VALUES ($1, $2, $3, $4, $5)",
            region.name,
            region.code,
            name,
            key,
            founders,
        )
        await connection.execute(
            "INSERT INTO meridian.bucket (bucket, state, epoch) SELECT b, 'owned', 1 FROM unnest($1::smallint[]) AS b",
            buckets,
        )


def _founder(region: RegionSpec, name: str, weight: int) -> ShardSpec:
    return replace(region.shards[0], name=ShardName(name), weight=weight)
