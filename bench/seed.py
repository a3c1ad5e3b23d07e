"""A database as it might look after a year: a PostgreSQL of its own, filled in a few minutes, kept for `bench.plans`.

    python -m bench.seed [--rows 1000000] [--folder .meridian/bench]

`--rows` is how many requests there are; the rest is in proportion. The server itself makes all of it, by
`bench/seed.sql`. What is open is open for some hours after: look at the plans soon.
"""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from core.database.settings import DatabaseSettings
from core.ids import Placement, make_id
from core.shard_map import single_server
from gateway import logs, migrations
from gateway.local import LocalCluster, LocalShardSpec, Search
from gateway.local.ports import LOOPBACK

DATABASE: Final = "bench"
USER: Final = "postgres"
PASSWORD: Final = "bench"  # noqa: S105  of a server that lives for a few minutes, on loopback
PORT: Final = 7621
FOLDER: Final = Path(".meridian/bench")
TABLES: Final = ("account", "vehicle", "address", "request", "bid", "counter_offer", "orders", "order_history")
LATER: Final = ("payment", "dispute", "review", "notification")


@dataclass(frozen=True, slots=True)
class Known:
    """The people whom a listing is asked as; they have more of everything than others."""

    customer: UUID
    garage: UUID
    driver: UUID
    staff: UUID


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is: `open` of the `requests` are of today, the rest of the `days` before.

    Every `known_every`-th request is the known customer's, with a bid of the known garage; the known driver brings it.
    """

    requests: int
    open: int
    days: int
    customers: int
    garages: int
    drivers: int
    known_every: int


def scale_of(requests: int) -> Scale:
    """A year of a region with so many requests."""
    return Scale(
        requests=requests,
        open=max(200, requests // 365),
        days=365,
        customers=max(20, requests // 10),
        garages=max(20, requests // 2000),
        drivers=max(20, requests // 20000),
        known_every=max(1, min(1000, requests // 1000)),
    )


def known_of(region_code: int, bucket: int) -> Known:
    """Known people of one bucket, the same every time."""
    made = datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000
    place = Placement(region_code, bucket)
    return Known(*(make_id(place, now_ms=int(made), random_bits=bits) for bits in range(1, 5)))


async def seed(
    connection: "asyncpg.Connection[asyncpg.Record]",
    scale: Scale,
    known: Known,
    *,
    region_code: int,
    prefix: str = "ZZ",
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Fill a migrated shard. The connection must be a superuser's and do nothing else meanwhile."""
    facts = {name: getattr(scale, name) for name in Scale.__slots__}
    since = f"timestamptz '{datetime.now(UTC):%Y-%m-%d}' - interval '{scale.days + 30} days'"
    await connection.execute(
        "SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '256MB'"
    )
    await connection.execute("SET statement_timeout = 0; SET jit = off; SET TIME ZONE 'UTC'")
    for part in (Path(__file__).parent / "seed.sql").read_text().split("-- part: ")[1:]:
        name, _, sql = part.partition("\n")
        began = time.monotonic()
        await connection.execute(sql.format(known=known, since=since, code=region_code, prefix=prefix, **facts))
        tell(f"{name}: {time.monotonic() - began:.0f} s")
    await connection.execute("RESET ALL; DISCARD TEMP")
    await connection.execute("; ".join(f"ANALYZE marketplace.{table}" for table in (*TABLES, *LATER)))


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[None]:
    """The bench's PostgreSQL, with whatever an earlier run has left in the folder."""
    cluster = LocalCluster(
        folder,
        shards=[LocalShardSpec("bench", PORT, PORT + 1, DATABASE, USER, PASSWORD)],
        search=Search(path=os.environ.get("PATH", "")),
    )
    async with cluster:
        await cluster.node("bench", "replica").stop()
        await cluster.node("bench", "primary").drop_slot()
        yield


async def connected(port: int = PORT) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection of the superuser to the bench's database."""
    return await asyncpg.connect(host=LOOPBACK, port=port, user=USER, password=PASSWORD, database=DATABASE)


async def main(rows: int, folder: Path) -> None:
    """Fill a new database, and say how long it took and how large it is."""
    shard_map = single_server(host=LOOPBACK, port=PORT, database=DATABASE, user=USER, password=PASSWORD)
    async with server(folder):
        await migrations.migrate(shard_map, DatabaseSettings())
        connection = await connected()
        if await connection.fetchval("SELECT EXISTS (SELECT FROM marketplace.request)"):
            raise SystemExit(f"{folder} is filled already; delete it to begin anew")
        began = time.monotonic()
        await seed(connection, scale_of(rows), known_of(1, 7), region_code=1, tell=lambda said: print(said, flush=True))
        print(f"all: {time.monotonic() - began:.0f} s")
        for table in (*TABLES, *LATER):
            name = f"marketplace.{table}"
            count = await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608  names of ours
            size = await connection.fetchval("SELECT pg_size_pretty(pg_total_relation_size($1::regclass))", name)
            print(f"| {table} | {count:,} | {size} |")
        await connection.close()


if __name__ == "__main__":
    logs.configure(level="error", form="console")
    parser = argparse.ArgumentParser(prog="python -m bench.seed", description="Fill a database for bench.plans.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.rows, chosen.folder))
