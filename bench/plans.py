"""How PostgreSQL answers every statement of every listing: by which index, reading how many rows, in what time.

    python -m bench.seed && python -m bench.plans [--folder .meridian/bench] [--generic]

Calls every listing of `bench.listings` on the seeded database and explains what it sent. Exits with 1 if a statement
reads a whole table, or sorts more than SORT_ROWS_MAX rows. `--generic` explains the plan that is made without knowing
the arguments, which a connection may go over to after five times.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench.listings import LISTINGS, Asker, Sent, gateway, places_of, recorded
from bench.seed import DATABASE, FOLDER, PASSWORD, PORT, USER, connected, known_of, server
from core.database.connect import prepare
from core.shard_map import single_server
from core.shard_map.single import QATAR
from gateway import logs
from gateway.local.ports import LOOPBACK
from gateway.settings import Settings

SORT_ROWS_MAX: Final = 50_000
SMALL_TABLES: Final = frozenset({"transition", "order_block", "order_count", "bucket", "shard", "writable"})
"""What is read whole because it is a handful of rows, whatever the region's size."""

Plan = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Explained:
    """One statement's plan: the indexes it uses, what is wrong with it, its cost (planner's units) and time (ms)."""

    indexes: Sequence[str]
    faults: Sequence[str]
    cost: float
    took_ms: float


async def explain(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: Sent, *, generic: bool = False
) -> Explained:
    """Run a statement under EXPLAIN ANALYZE, with its arguments as a gateway sends them."""
    options = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)"
    if generic:
        text = await _generic(connection, statement, options)
    else:
        text = await connection.fetchval(f"{options} {statement.sql}", *statement.args)
    found = (json.loads(text) if isinstance(text, str) else text)[0]
    nodes = list(_nodes(found["Plan"]))
    return Explained(
        indexes=sorted({node["Index Name"] for node in nodes if "Index Name" in node}),
        faults=[fault for node in nodes for fault in _faults(node)],
        cost=found["Plan"]["Total Cost"],
        took_ms=found["Execution Time"],
    )


async def _generic(connection: "asyncpg.Connection[asyncpg.Record]", statement: Sent, options: str) -> Any:
    """The plan for any arguments, run with these."""
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE listing AS {statement.sql}")
    try:
        count = max((int(n) for n in re.findall(r"\$(\d+)", statement.sql)), default=0)
        types = await connection.fetchval(
            "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'listing'"
        )
        literals = [
            await connection.fetchval(f"SELECT quote_nullable($1::{types[n]}::text)", statement.args[n])
            for n in range(count)
        ]
        given = f"({', '.join(literals)})" if literals else ""
        return await connection.fetchval(f"{options} EXECUTE listing{given}")
    finally:
        await connection.execute("DEALLOCATE listing; RESET plan_cache_mode")


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _faults(node: Plan) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in SMALL_TABLES:
        yield f"reads all of {node['Relation Name']}"
    if node["Node Type"] in ("Sort", "Incremental Sort"):
        rows = node["Plans"][0]["Actual Rows"] * node["Plans"][0]["Actual Loops"]
        if rows > SORT_ROWS_MAX:
            yield f"sorts {rows:,} rows by {', '.join(node['Sort Key'])}"


async def explained(
    asker: Asker, connection: "asyncpg.Connection[asyncpg.Record]", *, ports: Container[int], generic: bool = False
) -> dict[str, list[Explained]]:
    """The plan of every statement that every listing sends to the shard of these ports, by what was called."""
    await prepare(connection)
    found: dict[str, list[Explained]] = {}
    for name, ways in LISTINGS.items():
        for listing in ways:
            with recorded(asker.database) as sent:
                await asker.ask(listing)
            query = " ".join(f"{key}={value}" for key, value in listing.query.items())
            called = f"{name} as {listing.role} {query}".strip()
            found[called] = [await explain(connection, s, generic=generic) for s in sent if s.port in ports]
    return found


def printed(found: dict[str, list[Explained]]) -> int:
    """Print a table; how many faults there are."""
    print("| listing | ms | cost | indexes | faults |\n|---|---|---|---|---|")
    for called, plans in found.items():
        for plan in plans:
            indexes, faults = ", ".join(plan.indexes), "; ".join(plan.faults)
            print(f"| {called} | {plan.took_ms:.1f} | {plan.cost:,.0f} | {indexes} | {faults} |")
    return sum(len(plan.faults) for plans in found.values() for plan in plans)


async def main(folder: Path, *, generic: bool) -> int:
    """Explain everything; how many faults there are."""
    shard_map = single_server(host=LOOPBACK, port=PORT, database=DATABASE, user=USER, password=PASSWORD)
    with tempfile.TemporaryDirectory(prefix="meridian-bench-") as uploads:
        settings = Settings.from_environment(
            {
                "HOST": LOOPBACK,
                "PORT": str(PORT + 2),
                "ADMIN_PORT": str(PORT + 3),
                "RATE_LIMITS": "off",
                "UPLOAD_FOLDER": uploads,
                "MIGRATE_ON_START": "off",
                "JWT_SECRET": "a-secret-of-the-bench-that-is-long-enough",
            }
        )
        async with server(folder), gateway(settings, shard_map, {}) as (runtime, session):
            connection, known = await connected(), known_of(1, 7)
            await connection.execute("SET jit = off; SET TIME ZONE 'UTC'")
            places = await places_of(connection, runtime, QATAR, known, days=360)
            asker = Asker(runtime, session, QATAR, known, places)
            faults = printed(await explained(asker, connection, ports=[PORT], generic=generic))
            await connection.close()
    return faults


if __name__ == "__main__":
    logs.configure(level="error", form="console")
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description="Explain every listing's statements.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--generic", action="store_true")
    chosen = parser.parse_args()
    sys.exit(1 if asyncio.run(main(chosen.folder, generic=chosen.generic)) else 0)
