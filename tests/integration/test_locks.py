"""Writes that lock a row first see what is true while they hold it; ids that SQL makes are placed like all others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from core.database.shard import Shard, Terms
from core.database.statement import Lock, ReceiptKey, Write
from core.errors import Conflict
from core.ids import Placement, placement_of
from tests.integration.http.asking import made, new_person, region_of
from tests.system import Client, Person, Phones, System, until

SHARD = "qa-1"


@pytest.fixture(scope="module")
async def person(gateway: Client, phones: Phones) -> Person:
    """Whose vehicles are counted."""
    return await new_person(gateway, phones, SHARD)


def counting(person: Person, lock: Lock | None) -> Write[int]:
    """Renames somebody to the number of their vehicles: waits for the account's row, and reads another table."""
    id = UUID(person.id)
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql="""UPDATE marketplace.account a SET full_name = (
                   SELECT count(*)::text FROM marketplace.vehicle v WHERE v.bucket = $1 AND v.owner = $2)
               WHERE a.bucket = $1 AND a.id = $2 RETURNING full_name""",
        args=(bucket, id),
        row=lambda row: int(row["full_name"]),
        lock=lock,
    )


def account(person: Person) -> Lock:
    return Lock("marketplace.account", UUID(person.id))


def shard(gateway: Client, person: Person) -> Shard:
    return region_of(gateway, person).shards[SHARD]  # type: ignore[index]


async def write(gateway: Client, person: Person, write: Write[int], key: ReceiptKey | None = None) -> int:
    at = shard(gateway, person)
    return (await at.write(write, Terms(at.now() + 10), key)).value


@asynccontextmanager
async def held(system: System, person: Person) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's transaction that holds the account's row until the block ends, and then commits."""
    async with system.sql(SHARD) as sql, sql.transaction():
        await sql.execute("SELECT FROM marketplace.account WHERE id = $1 FOR UPDATE", UUID(person.id))
        yield sql


async def until_somebody_waits(system: System) -> None:
    async def waits() -> bool:
        async with system.sql(SHARD) as sql:
            return bool(await sql.fetchval("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    await until(waits, what="somebody waits for a lock")


async def one_more_vehicle(sql: asyncpg.Connection, person: Person) -> None:
    """What the transaction that is waited for does, past the gateway."""
    id = UUID(person.id)
    await sql.execute(
        """INSERT INTO marketplace.vehicle (bucket, id, owner, make, model, year)
           VALUES ($1, meridian.new_id($1), $2, 'Kia', 'Rio', 2020)""",
        placement_of(id).bucket,
        id,
    )


async def test_only_a_write_with_a_lock_sees_what_was_done_while_it_waited(
    gateway: Client, system: System, person: Person
) -> None:
    found = {}
    for lock in (None, account(person)):
        before = await write(gateway, person, counting(person, None))
        async with held(system, person) as sql:
            waiting = asyncio.create_task(write(gateway, person, counting(person, lock)))
            await until_somebody_waits(system)
            await one_more_vehicle(sql, person)
        found[lock] = await waiting - before
    assert found == {None: 0, account(person): 1}


async def test_the_row_may_be_named_by_what_belongs_to_it(gateway: Client, system: System, person: Person) -> None:
    vehicle = await made(gateway, person, "/vehicles", {"make": "Kia", "model": "Rio", "year": 2020})
    lock = Lock("marketplace.account", UUID(vehicle["id"]), through=("marketplace.vehicle", "owner"))
    async with held(system, person) as sql:
        waiting = asyncio.create_task(write(gateway, person, counting(person, lock)))
        await until_somebody_waits(system)
        await one_more_vehicle(sql, person)
    assert await waiting == await write(gateway, person, counting(person, None))


async def test_a_locked_write_that_is_refused_changes_nothing_and_keeps_its_connection(
    gateway: Client, system: System, person: Person
) -> None:
    await write(gateway, person, counting(person, account(person)))
    refused = replace(
        counting(person, account(person)),
        sql="UPDATE marketplace.account SET vehicles = 11 WHERE bucket = $1 AND id = $2 RETURNING full_name",
        refusals={"ten_vehicles": "ten"},
    )
    nodes = shard(gateway, person).nodes.values()
    before = [node.figures for node in nodes]
    for _ in range(5):
        with pytest.raises(Conflict, match="ten"):
            await write(gateway, person, refused)
    assert [node.figures for node in nodes] == before
    async with system.sql(SHARD) as sql:
        open_ones = await sql.fetchval("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
    assert open_ones == 0


async def test_who_waits_too_long_for_a_lock_is_told_that_another_is_at_it(
    gateway: Client, system: System, person: Person
) -> None:
    async with held(system, person):
        with pytest.raises(Conflict, match="another request is changing this"):
            await write(gateway, person, counting(person, account(person)))


async def test_a_locked_write_with_a_key_that_is_cut_off_while_waiting_is_done_once(
    gateway: Client, system: System, person: Person
) -> None:
    key = ReceiptKey(UUID(person.id), "cut-off", b"the same")
    async with held(system, person) as sql:
        waiting = asyncio.create_task(write(gateway, person, counting(person, account(person)), key))
        await until_somebody_waits(system)
        await one_more_vehicle(sql, person)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        async with system.sql(SHARD) as other:
            await other.execute(cut)
    done = await waiting
    assert done == await write(gateway, person, counting(person, account(person)), key), "the stored outcome"
    assert done == await write(gateway, person, counting(person, None))


async def test_ids_that_sql_makes_are_placed_and_of_now(system: System) -> None:
    for name, region in (("qa-1", 1), ("sa-2", 2)):
        async with system.sql(name) as sql:
            rows = await sql.fetch(
                """SELECT b::int AS bucket, meridian.new_id(b::smallint) AS id,
                          (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
                   FROM unnest(ARRAY[0, 7, 255, 256, 4095] || (SELECT array_agg(n) FROM generate_series(1, 500) n)) b"""
            )
        ids = [UUID(str(row["id"])) for row in rows]
        assert len(set(ids)) == len(ids)
        for row, id in zip(rows, ids, strict=True):
            assert placement_of(id) == Placement(region, row["bucket"])
            assert (id.version, abs((id.int >> 80) - row["ms"]) < 1000) == (7, True)
        assert len({id.int & ((1 << 54) - 1) for id in ids}) == len(ids), "54 random bits"
