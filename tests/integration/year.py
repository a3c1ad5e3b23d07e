"""A year of a region's data, on databases of its own beside the tests' other ones: what reads are tested on."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import asyncpg
import pytest

from bench.listings import Asker, gateway, places_of
from bench.seed import Known, Scale, known_of, scale_of, seed
from core.shard_map import ShardMap, load
from core.shard_map.model import RegionSpec
from gateway import migrations
from gateway.settings import Settings
from tests.integration.http.asking import Json
from tests.system import PASSWORD, SHARDS, USER, Answer, System

DATABASE = "listings"
ROWS = 20_000
A_MONTH = Scale(requests=3000, open=200, days=30, customers=50, garages=40, drivers=20, known_every=2)
Row = Mapping[str, Any]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Year:
    """A region of its own data: who asks, the ports of its primaries, and of which shard each node's port is."""

    spec: RegionSpec
    asker: Asker
    primaries: Sequence[int]
    shards: Mapping[int, str]

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[list[Connection]]:
        """One to each primary, for the length of the block: other tests stop the servers now and then."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(connected(port)) for port in self.primaries]

    async def execute(self, sql: str, *args: object) -> None:
        """A statement on the primary of every shard."""
        async with self.connections() as connections:
            for connection in connections:
                await connection.execute(sql, *args)

    async def rows(self, sql: str, *args: object) -> list[Row]:
        """Rows of every shard, as the primaries have them."""
        async with self.connections() as connections:
            parts = [await connection.fetch(sql, *args) for connection in connections]
        return [dict(row) for part in parts for row in part]

    async def get(self, role: str, path: str, **query: str | int) -> Answer:
        """A GET as one of the known people."""
        params = {name.rstrip("_"): value for name, value in query.items()}
        headers = self.asker.credentials(role)
        async with self.asker.session.get("/api/v1" + path, params=params, headers=headers) as response:
            return await Answer.of(response)

    async def pages(self, role: str, path: str, *, limit: int, **query: str | int) -> list[Json]:
        """All items of a list, page after page."""
        items: list[Json] = []
        more: dict[str, str | int] = {}
        while True:
            answer = await self.get(role, path, limit=limit, **query, **more)
            assert (answer.status, answer.json["partial"], answer.json["missing"]) == (200, False, []), answer
            items += answer.json["items"]
            if answer.json["next"] is None:
                return items
            assert len(answer.json["items"]) == limit
            more = {"cursor": answer.json["next"]}


def elsewhere(system: System, **more: str) -> tuple[Settings, ShardMap, Mapping[str, str]]:
    """The same servers with another database, so that nothing here is in the way of other tests."""
    variables = {**system.variables, **more, "DB_NAME": DATABASE}
    return system.settings(**more, DB_NAME=DATABASE), load(system.map_file, environment=variables), variables


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """A connection to the database of a primary."""
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD, database=DATABASE)
    try:
        yield connection
    finally:
        await connection.close()


async def fill(port: int, scale: Scale, known: Known, code: int, prefix: str) -> None:
    """Fill a primary with its part of the region."""
    async with connected(port) as connection:
        await seed(connection, scale, known, region_code=code, prefix=prefix)


@pytest.fixture(scope="session")
async def years(system: System) -> AsyncIterator[Mapping[str, Year]]:
    """A year of `qa`, and on both shards of `sa` a month with the same garage, driver and staff."""
    settings, shard_map, variables = elsewhere(system)
    for name in SHARDS:
        async with system.sql(name) as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    statuses = await migrations.migrate(shard_map, settings.database)
    assert not [s for found in statuses.values() for s in found if s.fault or s.pending]
    async with gateway(settings, shard_map, variables) as (runtime, session):
        found: dict[str, Year] = {}
        for spec, scale in zip(shard_map.regions[:2], (scale_of(ROWS), A_MONTH), strict=True):
            region = runtime.fleet.regions[spec.name]
            buckets = [next(b for b in range(4096) if region.owner(b).name == shard.name) for shard in spec.shards]
            same = known_of(spec.code, buckets[0])
            knowns = [replace(same, customer=known_of(spec.code, bucket).customer) for bucket in buckets]
            ports = [system.ports(shard.name)["primary"] for shard in spec.shards]
            await asyncio.gather(
                *(
                    fill(port, scale, known, spec.code, f"Z{n}")
                    for n, (port, known) in enumerate(zip(ports, knowns, strict=True))
                )
            )
            for shard in spec.shards:
                await system.replicated(shard.name)
            async with connected(ports[-1]) as connection:
                places = await places_of(connection, runtime, spec.name, knowns[-1], days=scale.days)
            asker = Asker(runtime, session, spec.name, knowns[-1], places)
            shards = {port: s.name for s in spec.shards for port in system.ports(s.name).values()}
            found[spec.name] = Year(spec, asker, ports, shards)
        yield found
