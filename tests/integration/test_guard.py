"""The guard: a shard's own database refuses rows that do not belong to it, in any race with a fence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest

from core.database.shard import Consistency
from core.database.statement import Write
from core.database.token import Token
from core.errors import MeridianError
from core.ids import Placement, make_id, placement_of
from core.region import Ask
from core.shard_map import ShardMap
from tests.system import SHARDS, Client, Person, Phones, System, until

LOCK_CLASS = 1297237070
MD001 = "MD001"

INSERT = """INSERT INTO marketplace.request (bucket, id, customer, car_make, car_model, car_year, part_description,
    condition_required, expires_at) VALUES ($1, $2, $3, 'Toyota', 'Hilux', 2020, 'Mirror', 'any', now())"""


def new_id(bucket: int, region_code: int = 2) -> UUID:
    return make_id(Placement(region_code, bucket), now_ms=1_790_000_000_000, random_bits=uuid4().int)


async def owned(connection: asyncpg.Connection) -> set[int]:
    return {row["bucket"] for row in await connection.fetch("SELECT bucket FROM meridian.bucket WHERE state = 'owned'")}


async def free_bucket(connection: asyncpg.Connection) -> int:
    """A bucket that this shard owns and no account lives in, so that a test may fence it."""
    sql = """SELECT bucket FROM meridian.bucket WHERE state = 'owned' AND bucket NOT IN
             (SELECT bucket FROM marketplace.account) ORDER BY random() LIMIT 1"""
    return int(await connection.fetchval(sql))


async def insert(connection: asyncpg.Connection, bucket: int, *, region_code: int = 2) -> UUID:
    id = new_id(bucket, region_code)
    await connection.execute(INSERT, bucket, id, id)
    return id


async def refusal(connection: asyncpg.Connection, sql: str, *arguments: object) -> str | None:
    """The SQLSTATE with which a statement was refused, or None; nothing of it stays."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(sql, *arguments)
    except asyncpg.PostgresError as exc:
        return exc.sqlstate
    finally:
        await transaction.rollback()
    return None


@pytest.mark.parametrize("shard", SHARDS)
async def test_every_table_with_buckets_is_guarded_and_keyed_by_bucket_first(system: System, shard: str) -> None:
    async with system.sql(shard) as connection:
        rows = await connection.fetch(
            """SELECT c.oid::regclass::text AS name,
                      (SELECT array_agg(t.tgname::text ORDER BY 1) FROM pg_trigger t
                       WHERE t.tgrelid = c.oid AND t.tgenabled = 'O' AND NOT t.tgisinternal) AS triggers,
                      (SELECT a2.attname FROM pg_index i JOIN pg_attribute a2
                         ON a2.attrelid = c.oid AND a2.attnum = i.indkey[0]
                       WHERE i.indrelid = c.oid AND i.indisprimary) AS leads
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'bucket'
               WHERE c.relkind = 'r' AND c.relnamespace IN ('meridian'::regnamespace, 'marketplace'::regnamespace)
                 AND c.oid <> 'meridian.bucket'::regclass"""
        )
    assert len(rows) >= 8
    for row in rows:
        assert {"guard", "guard_delete"} <= set(row["triggers"] or ()), row["name"]
        assert row["leads"] == "bucket", row["name"]


async def test_a_direct_insert_with_a_bucket_of_another_shard_is_refused_by_the_database(system: System) -> None:
    async with system.sql("sa-1") as one, system.sql("sa-2") as two:
        foreign = min(await owned(two))
        assert foreign not in await owned(one)
        assert await refusal(one, INSERT, foreign, new_id(foreign), new_id(foreign)) == MD001
        assert await refusal(two, INSERT, foreign, new_id(foreign), new_id(foreign)) is None
        receipt = (
            "INSERT INTO meridian.receipt (bucket, owner, key, fingerprint, outcome) VALUES ($1, $2, 'k', '', '{}')"
        )
        assert await refusal(one, receipt, foreign, uuid4()) == MD001


async def test_a_row_can_not_lie_about_its_bucket_or_its_region_and_never_changes_its_bucket(system: System) -> None:
    async with system.sql("sa-1") as connection:
        mine, other = sorted(await owned(connection))[:2]
        check_violation = "23514"
        assert await refusal(connection, INSERT, mine, new_id(other), new_id(mine)) == check_violation
        assert await refusal(connection, INSERT, mine, new_id(mine, region_code=1), new_id(mine)) == check_violation
        id = await insert(connection, mine)
        move = "UPDATE marketplace.request SET bucket = $1 WHERE bucket = $2 AND id = $3"
        assert await refusal(connection, move, other, mine, id) == MD001
        await connection.execute("DELETE FROM marketplace.request WHERE bucket = $1 AND id = $2", mine, id)


async def test_sql_and_python_read_the_same_placement_from_an_id(system: System) -> None:
    random = Random(7)
    ids = [
        make_id(
            Placement(random.randint(1, 255), random.randrange(4096)),
            now_ms=random.getrandbits(48),
            random_bits=random.getrandbits(54),
        )
        for _ in range(500)
    ]
    async with system.sql("qa-1") as connection:
        rows = await connection.fetch(
            """SELECT id, meridian.region_of(id) AS region, meridian.bucket_of(id) AS bucket
               FROM unnest($1::uuid[]) AS id""",
            ids,
        )
    assert {row["id"]: (row["region"], row["bucket"]) for row in rows} == {id: tuple(placement_of(id)) for id in ids}


@asynccontextmanager
async def fenced(connection: asyncpg.Connection, bucket: int) -> AsyncIterator[None]:
    """Fence a bucket as a move does: the state, under the exclusive lock; given back in the end."""
    await fence(connection, bucket)
    try:
        yield
    finally:
        await connection.execute("UPDATE meridian.bucket SET state = 'owned' WHERE bucket = $1", bucket)


async def fence(connection: asyncpg.Connection, bucket: int) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK_CLASS, bucket)
        await connection.execute("UPDATE meridian.bucket SET state = 'fenced' WHERE bucket = $1", bucket)


async def test_a_fence_waits_for_writers_that_came_before_it_and_refuses_those_after(system: System) -> None:
    async with system.sql("sa-1") as writer, system.sql("sa-1") as mover:
        bucket = await free_bucket(writer)
        transaction = writer.transaction()
        await transaction.start()
        id = await insert(writer, bucket)
        fencing = asyncio.create_task(fence(mover, bucket))
        async with system.sql("sa-1") as observer:

            async def waits() -> bool:
                sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                return bool(await observer.fetchval(sql))

            await until(waits, what="the fence waits for the writer")
            late = await refusal(observer, INSERT, bucket, new_id(bucket), new_id(bucket))
            assert late == MD001, "a writer that comes while the fence waits is refused, it does not queue behind it"
        await transaction.commit()
        await fencing
        assert await refusal(writer, INSERT, bucket, new_id(bucket), new_id(bucket)) == MD001
        update = "UPDATE marketplace.request SET car_year = 2021 WHERE bucket = $1 AND id = $2"
        assert await refusal(writer, update, bucket, id) == MD001
        remove = "DELETE FROM marketplace.request WHERE bucket = $1 AND id = $2"
        assert await refusal(writer, remove, bucket, id) == MD001
        await mover.execute("UPDATE meridian.bucket SET state = 'owned' WHERE bucket = $1", bucket)
        await writer.execute(remove, bucket, id)


async def test_no_write_is_acknowledged_after_the_fence_in_any_interleaving(system: System) -> None:
    """Writers insert without pause while the bucket is fenced and given back, many times, at random moments.

    The truth is in the rows: while the bucket is fenced their number must not change.
    """
    random = Random(20261124)
    stop = asyncio.Event()

    async def write(bucket: int) -> int:
        acknowledged = 0
        async with system.sql("sa-2") as connection:
            while not stop.is_set():
                try:
                    await insert(connection, bucket)
                    acknowledged += 1
                except asyncpg.PostgresError as exc:
                    if exc.sqlstate != MD001:
                        raise
        return acknowledged

    async with system.sql("sa-2") as mover:
        bucket = await free_bucket(mover)
        count = "SELECT count(*) FROM marketplace.request WHERE bucket = $1"
        writers = [asyncio.create_task(write(bucket)) for _ in range(3)]
        for _ in range(60):
            for _ in range(random.randrange(12)):
                await mover.fetchval("SELECT 1")
            async with fenced(mover, bucket):
                at_the_fence = await mover.fetchval(count, bucket)
                for _ in range(random.randrange(12)):
                    await mover.fetchval("SELECT 1")
                assert await mover.fetchval(count, bucket) == at_the_fence
        stop.set()
        acknowledged = sum(await asyncio.gather(*writers))
        assert acknowledged > 0
        assert await mover.fetchval(count, bucket) == acknowledged, "what was acknowledged is there, and nothing else"
        await mover.execute("DELETE FROM marketplace.request WHERE bucket = $1", bucket)


def with_weights(shard_map: ShardMap, weights: dict[str, int]) -> ShardMap:
    """The same map with other weights: another idea of where buckets should live."""
    regions = tuple(
        replace(region, shards=tuple(replace(s, weight=weights.get(s.name, s.weight)) for s in region.shards))
        for region in shard_map.regions
    )
    return replace(shard_map, regions=regions)


def creation(bucket: int, id: UUID) -> tuple[Write[UUID], Ask]:
    """A write of a row, and the asking for it."""
    write = Write(bucket, INSERT + " RETURNING id", (bucket, id, id), lambda row: UUID(str(row["id"])))
    return write, Ask(asyncio.get_running_loop().time() + 10, Consistency.SESSION, Token())


async def add_vehicle(client: Client, person: Person) -> str:
    """Where a new vehicle of a person went."""
    vehicle = {"make": "Toyota", "model": "Hilux", "year": 2020}
    answer = await client.call("POST", "/vehicles", user=person, json=vehicle)
    assert answer.status == 201, answer
    return answer.headers["Meridian-Route"].split("/")[0]


async def test_two_gateways_with_different_weights_write_a_bucket_to_the_same_shard(
    system: System, gateway: Client, phones: Phones
) -> None:
    async with system.gateway(with_weights(system.shard_map, {"sa-1": 1, "sa-2": 50})) as other:
        for _ in range(6):
            person = await gateway.register(phones.saudi())
            assert await add_vehicle(gateway, person) == await add_vehicle(other, person)


async def test_a_gateway_whose_map_swaps_two_shards_addresses_writes_nowhere(system: System, phones: Phones) -> None:
    qa, sa = system.shard_map.regions
    one, two = sa.shards
    swapped = (
        replace(one, primary=two.primary, replicas=two.replicas),
        replace(two, primary=one.primary, replicas=one.replicas),
    )
    lying = replace(system.shard_map, regions=(qa, replace(sa, shards=swapped)))
    async with system.gateway(lying) as client:
        body = {"full_name": "A", "phone_number": phones.saudi(), "password": "a-good-password", "role": "customer"}
        assert (await client.call("POST", "/auth/register", json=body)).status == 503
        health = (await client.call("GET", "/health/regions/sa")).json
        assert "say they are sa-2" in health["shards"]["sa-1"]["trouble"]


async def test_a_gateway_that_has_not_heard_of_a_move_is_refused_looks_again_and_writes_to_the_new_owner(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with system.gateway() as client, system.sql("sa-1") as one, system.sql("sa-2") as two:
        assert client.runtime is not None
        region = next(r for r in client.runtime.fleet.regions.values() if r.spec.code == 2)
        for node in (node for shard in region.shards.values() for node in shard.nodes.values()):
            monkeypatch.setattr(node.watch, "_buckets_changed", lambda: None)
        bucket = await free_bucket(one)
        place = Placement(2, bucket)
        try:
            await fence(one, bucket)
            await two.execute("INSERT INTO meridian.bucket VALUES ($1, 'owned', 2, NULL)", bucket)
            await one.execute(
                "UPDATE meridian.bucket SET state = 'moved', epoch = 2, moved_to = 'sa-2' WHERE bucket = $1", bucket
            )
            assert region.ownership.owner(bucket) == "sa-1", "the gateway does not know yet"
            id = make_id(place, now_ms=1, random_bits=5)
            answer = await region.write(*creation(bucket, id))
            assert (answer.shard, answer.epoch) == ("sa-2", 2)
            assert await two.fetchval("SELECT count(*) FROM marketplace.request WHERE id = $1", id) == 1
            await two.execute("DELETE FROM marketplace.request WHERE id = $1", id)
        finally:
            await two.execute("DELETE FROM meridian.bucket WHERE bucket = $1", bucket)
            await one.execute(
                "UPDATE meridian.bucket SET state = 'owned', epoch = 1, moved_to = NULL WHERE bucket = $1", bucket
            )


async def test_a_bucket_fenced_and_owned_by_nobody_else_answers_503_not_a_wrong_place(
    system: System, gateway: Client
) -> None:
    assert gateway.runtime is not None
    region = next(r for r in gateway.runtime.fleet.regions.values() if r.spec.code == 2)
    async with system.sql("sa-1") as one:
        bucket = await free_bucket(one)
        id = new_id(bucket)
        async with fenced(one, bucket):
            with pytest.raises(MeridianError) as refused:
                await region.write(*creation(bucket, id))
        assert refused.value.retryable
        assert (await region.write(*creation(bucket, id))).shard == "sa-1"
        await one.execute("DELETE FROM marketplace.request WHERE id = $1", id)
