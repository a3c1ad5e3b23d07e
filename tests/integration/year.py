"""A year of a region's data, on databases of its own beside the tests' other ones: what reads are tested on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
A_MONTH = Scale(requests=3000, open=200, days=30, customers=50, garages=40, drivers=5, known_every=2)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Year:
    """A region of its own data: who asks, and a connection to each of its primaries, by port."""

    spec: RegionSpec
    asker: Asker
    primaries: Mapping[int, "asyncpg.Connection[asyncpg.Record]"]
    shards: Mapping[int, str]

    async def rows(self, sql: str, *args: object) -> list[Row]:
        """Rows of every shard, as the primaries have them."""
        parts = [await connection.fetch(sql, *args) for connection in self.primaries.values()]
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


async def filled(port: int, scale: Scale, known: Known, code: int, prefix: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection to a primary whose part of the region is filled."""
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD, database=DATABASE)
    await seed(connection, scale, known, region_code=code, prefix=prefix)
    return connection


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
            primaries = await asyncio.gather(
                *(
                    filled(port, scale, known, spec.code, f"Z{n}")
                    for n, (port, known) in enumerate(zip(ports, knowns, strict=True))
                )
            )
            for shard in spec.shards:
                await system.replicated(shard.name)
            places = await places_of(primaries[-1], runtime, spec.name, knowns[-1], days=scale.days)
            asker = Asker(runtime, session, spec.name, knowns[-1], places)
            shards = {port: s.name for s in spec.shards for port in system.ports(s.name).values()}
            found[spec.name] = Year(spec, asker, dict(zip(ports, primaries, strict=True)), shards)
        yield found
        for year in found.values():
            for connection in year.primaries.values():
                await connection.close()
