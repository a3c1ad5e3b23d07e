"""The guard: a shard's own database refuses rows that do not belong to it, in any race with a fence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database.shard import Consistency
from core.database.statement import Write
from core.database.token import Token
from core.errors import MeridianError
from core.ids import Placement, make_id, placement_of
from core.region import Ask
from core.shard_map import ShardMap
from tests.system import SHARDS, Client, Person, Phones, System, until

pytestmark = pytest.mark.usefixtures("no_jobs")

LOCK_CLASS = 1297237070
MD001 = "MD001"
CHECK_VIOLATION = "23514"

INSERT = """INSERT INTO marketplace.request (bucket, id, customer, car_make, car_model, car_year, part_description,
    condition_required, expires_at) VALUES ($1, $2, $3, 'Toyota', 'Hilux', 2020, 'Mirror', 'any',
    now() + interval '1 day')"""


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


async def sharded_tables(connection: asyncpg.Connection) -> dict[str, set[str]]:
    """Every table that has buckets, except the table of buckets itself, with the names of its columns."""
    rows = await connection.fetch(
        """SELECT c.oid::regclass::text AS name, array_agg(a.attname::text) AS columns
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           WHERE c.relkind = 'r' AND c.relnamespace IN ('meridian'::regnamespace, 'marketplace'::regnamespace)
             AND c.oid <> 'meridian.bucket'::regclass
           GROUP BY c.oid HAVING 'bucket' = ANY(array_agg(a.attname))"""
    )
    return {row["name"]: set(row["columns"]) for row in rows}


@asynccontextmanager
async def stripped(connection: asyncpg.Connection, table: str) -> AsyncIterator[None]:
    """The table with nothing but its guard and its placement to satisfy, for the length of a transaction undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        constraints = await connection.fetch(
            """SELECT quote_ident(conname) AS name FROM pg_constraint
               WHERE conrelid = $1::text::regclass AND contype IN ('p', 'c', 'u', 'f') AND conname <> 'placed'""",
            table,
        )
        for constraint in constraints:
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint['name']} CASCADE")
        columns = await connection.fetch(
            """SELECT quote_ident(attname) AS name FROM pg_attribute
               WHERE attrelid = $1::text::regclass AND attnotnull AND attnum > 0 AND attname <> 'bucket'""",
            table,
        )
        for column in columns:
            await connection.execute(f"ALTER TABLE {table} ALTER COLUMN {column['name']} DROP NOT NULL")
        triggers = await connection.fetch(
            """SELECT quote_ident(tgname) AS name FROM pg_trigger WHERE tgrelid = $1::text::regclass
               AND NOT tgisinternal AND tgname NOT IN ('guard', 'guard_delete')""",
            table,
        )
        for trigger in triggers:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger['name']}")
        yield
    finally:
        await transaction.rollback()


async def test_no_table_takes_changes_or_gives_up_a_row_of_a_bucket_that_its_shard_does_not_own(
    system: System,
) -> None:
    async with system.sql("sa-1") as one, system.sql("sa-2") as two:
        foreign = [min(await owned(two)), -1, 4096, 32767]
        for table, columns in (await sharded_tables(one)).items():
            async with stripped(one, table):
                for bucket in foreign:
                    assert await refusal(one, f"INSERT INTO {table} (bucket) VALUES ($1)", bucket) == MD001, table
                # The way a row gets there all the same: as logical replication writes it, past the guard.
                await one.execute("SET LOCAL session_replication_role = replica")
                await one.execute(f"INSERT INTO {table} (bucket) VALUES ($1)", foreign[0])
                await one.execute("SET LOCAL session_replication_role = origin")
                for column in columns:
                    change = f"UPDATE {table} SET {column} = {column} WHERE bucket = $1"
                    assert await refusal(one, change, foreign[0]) == MD001, (table, column)
                assert await refusal(one, f"DELETE FROM {table} WHERE bucket = $1", foreign[0]) == MD001, table
                assert await one.fetchval(f"SELECT count(*) FROM {table} WHERE bucket = $1", foreign[0]) == 1


async def test_in_no_table_can_an_id_disagree_with_its_bucket_or_its_region_or_a_row_change_its_bucket(
    system: System,
) -> None:
    async with system.sql("sa-1") as connection:
        mine, other = sorted(await owned(connection))[:2]
        for table, columns in (await sharded_tables(connection)).items():
            async with stripped(connection, table):
                await connection.execute(f"INSERT INTO {table} (bucket) VALUES ($1)", mine)
                move = f"UPDATE {table} SET bucket = $1 WHERE bucket = $2"
                assert await refusal(connection, move, other, mine) == MD001, table
                if "id" in columns:
                    row = f"INSERT INTO {table} (bucket, id) VALUES ($1, $2)"
                    assert await refusal(connection, row, mine, new_id(mine)) is None, table
                    for wrong in (new_id(other), new_id(mine, region_code=1), uuid4()):
                        assert await refusal(connection, row, mine, wrong) == CHECK_VIOLATION, (table, wrong)


async def test_the_guards_copy_of_the_buckets_is_never_another_than_the_table(system: System) -> None:
    async with system.sql("sa-1") as connection, system.sql("sa-1") as other:
        bucket, second = await free_bucket(connection), await free_bucket(connection)

        async def agree() -> bool:
            return bool(
                await connection.fetchval(
                    """SELECT bool_and((get_bit(w.buckets, n) = 1) = (b.state IS NOT DISTINCT FROM 'owned'))
                       FROM meridian.writable w, generate_series(0, 4095) n
                       LEFT JOIN meridian.bucket b ON b.bucket = n"""
                )
            )

        assert await agree()
        change = "UPDATE meridian.bucket SET state = $1 WHERE bucket = $2"
        first = connection.transaction()
        await first.start()
        await connection.execute(change, "fenced", bucket)
        later = asyncio.create_task(other.execute(change, "fenced", second))
        async with system.sql("sa-1") as observer:
            await until(lambda: waits_for(observer, "transactionid", "tuple"), what="two changes at once wait")
        await first.commit()
        await later
        assert await agree(), "neither of two changes made at once is lost"
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute("UPDATE meridian.bucket SET state = 'owned' WHERE state = 'fenced'")
        assert await agree(), "nor one made by a session that plays a replica"


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
        assert await refusal(connection, INSERT, mine, new_id(other), new_id(mine)) == CHECK_VIOLATION
        assert await refusal(connection, INSERT, mine, new_id(mine, region_code=1), new_id(mine)) == CHECK_VIOLATION
        id = await insert(connection, mine)
        move = "UPDATE marketplace.request SET bucket = $1 WHERE bucket = $2 AND id = $3"
        assert await refusal(connection, move, other, mine, id) == MD001
        await connection.execute("DELETE FROM marketplace.request WHERE bucket = $1 AND id = $2", mine, id)


@given(
    st.lists(
        st.builds(
            lambda region, bucket, now_ms, bits: make_id(Placement(region, bucket), now_ms=now_ms, random_bits=bits),
            st.integers(1, 255),
            st.integers(0, 4095),
            st.integers(0, (1 << 48) - 1),
            st.integers(0, (1 << 54) - 1),
        ),
        max_size=50,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_sql_and_python_read_the_same_placement_from_an_id(system: System, ids: list[UUID]) -> None:
    async with system.sql("qa-1") as connection:
        rows = await connection.fetch(
            """SELECT id, meridian.region_of(id) AS region, meridian.bucket_of(id) AS bucket
               FROM unnest($1::uuid[]) AS id""",
            ids,
        )
    assert {row["id"]: (row["region"], row["bucket"]) for row in rows} == {id: tuple(placement_of(id)) for id in ids}


@asynccontextmanager
async def fenced(connection: asyncpg.Connection, bucket: int, *, patience: str = "5s") -> AsyncIterator[None]:
    """Fence a bucket as a move does: the state, under the exclusive lock; given back in the end."""
    await fence(connection, bucket, patience=patience)
    try:
        yield
    finally:
        await connection.execute("UPDATE meridian.bucket SET state = 'owned' WHERE bucket = $1", bucket)


async def fence(connection: asyncpg.Connection, bucket: int, *, patience: str = "5s") -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{patience}'")
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK_CLASS, bucket)
        await connection.execute("UPDATE meridian.bucket SET state = 'fenced' WHERE bucket = $1", bucket)


async def waits_for(observer: asyncpg.Connection, *kinds: str) -> bool:
    """Whether some session waits for a lock of these kinds."""
    sql = "SELECT count(*) FROM pg_locks WHERE locktype = ANY($1) AND NOT granted"
    return bool(await observer.fetchval(sql, kinds))


async def test_a_fence_that_meets_a_writer_gives_up_in_time_and_leaves_everything_as_it_was(system: System) -> None:
    async with system.sql("sa-1") as writer, system.sql("sa-1") as mover:
        bucket = await free_bucket(writer)
        transaction = writer.transaction()
        await transaction.start()
        await insert(writer, bucket)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await fence(mover, bucket, patience="20ms")
        assert bucket in await owned(mover)
        await insert(writer, bucket)
        await transaction.rollback()
        async with fenced(mover, bucket, patience="20ms"):
            assert await refusal(writer, INSERT, bucket, new_id(bucket), new_id(bucket)) == MD001


async def test_a_writer_is_refused_at_once_while_a_fence_is_being_put_up_and_goes_on_if_it_is_taken_back(
    system: System,
) -> None:
    async with system.sql("sa-1") as writer, system.sql("sa-1") as mover:
        bucket = await free_bucket(writer)
        transaction = mover.transaction()
        await transaction.start()
        await mover.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK_CLASS, bucket)
        await mover.execute("UPDATE meridian.bucket SET state = 'fenced' WHERE bucket = $1", bucket)
        assert await refusal(writer, INSERT, bucket, new_id(bucket), new_id(bucket)) == MD001
        neighbour = await free_bucket(writer)
        assert await refusal(writer, INSERT, neighbour, new_id(neighbour), new_id(neighbour)) is None
        await transaction.rollback()
        assert await refusal(writer, INSERT, bucket, new_id(bucket), new_id(bucket)) is None


GATED = """INSERT INTO {table} (bucket, id, customer, car_make, car_model, car_year, part_description,
    condition_required, expires_at) SELECT $1, $2, $2, 'Toyota', 'Hilux', 2020, 'Mirror', 'any', now()
    FROM (SELECT pg_advisory_xact_lock($3::int) OFFSET 0) AS gate"""


async def fenced_between_start_and_guard(system: System, table: str) -> str | None:
    """Begin a write, hold it before its guard runs, fence its bucket, let it go on: its refusal, or None."""
    gate = 4242
    async with system.sql("sa-1") as keeper, system.sql("sa-1") as writer, system.sql("sa-1") as mover:
        bucket = await free_bucket(mover)
        await keeper.execute("SELECT pg_advisory_lock($1::int)", gate)
        gated = GATED.format(table=table)
        writing = asyncio.create_task(refusal(writer, gated, bucket, new_id(bucket), gate))
        await until(lambda: waits_for(keeper, "advisory"), what="the write has begun and waits at the gate")
        async with fenced(mover, bucket):
            await keeper.execute("SELECT pg_advisory_unlock($1::int)", gate)
            return await writing


async def test_a_fence_between_the_start_of_a_write_and_its_guard_refuses_the_write(system: System) -> None:
    assert await fenced_between_start_and_guard(system, "marketplace.request") == MD001


async def test_that_race_is_real_the_same_guard_with_the_snapshot_of_the_write_lets_it_slip(system: System) -> None:
    async with system.sql("sa-1") as connection:
        body = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE oid = 'meridian.guard'::regproc")
        await connection.execute(
            f"""CREATE FUNCTION public.stale_guard() RETURNS trigger LANGUAGE plpgsql STABLE AS $guard${body}$guard$;
                CREATE TABLE public.stale (LIKE marketplace.request INCLUDING DEFAULTS);
                CREATE TRIGGER guard BEFORE INSERT ON public.stale
                    FOR EACH ROW EXECUTE FUNCTION public.stale_guard()"""
        )
        try:
            assert await fenced_between_start_and_guard(system, "public.stale") is None
        finally:
            await connection.execute("DROP TABLE public.stale; DROP FUNCTION public.stale_guard")


@dataclass
class Writer:
    """A session that writes to the bucket, and what the rules say of it."""

    connection: asyncpg.Connection
    transaction: asyncpg.transaction.Transaction | None = None
    pending: set[UUID] = field(default_factory=set)


@dataclass
class Race:
    """One bucket, two writers and a mover on real connections, beside the plain rules that they must keep."""

    bucket: int
    writers: list[Writer]
    mover: asyncpg.Connection
    fencing: asyncpg.transaction.Transaction | None = None
    fenced: bool = False
    acknowledged: set[UUID] = field(default_factory=set)

    async def write(self, writer: Writer) -> None:
        """Insert a row: refused exactly when the bucket is fenced, or is being fenced."""
        refused, id = None, new_id(self.bucket)
        try:
            # In a savepoint, so that a refusal leaves the transaction usable.
            async with writer.connection.transaction():
                await writer.connection.execute(INSERT, self.bucket, id, id)
        except asyncpg.PostgresError as exc:
            refused = exc.sqlstate
        assert refused == (MD001 if self.fenced or self.fencing is not None else None)
        if refused is None:
            (self.acknowledged if writer.transaction is None else writer.pending).add(id)

    async def begin(self, writer: Writer) -> None:
        """Open a transaction."""
        if writer.transaction is None:
            writer.transaction = writer.connection.transaction()
            await writer.transaction.start()

    async def end(self, writer: Writer, *, commit: bool = True) -> None:
        """Commit, which acknowledges, or roll back."""
        if writer.transaction is not None:
            await (writer.transaction.commit() if commit else writer.transaction.rollback())
            self.acknowledged |= writer.pending if commit else set()
            writer.transaction, writer.pending = None, set()

    async def put_up(self) -> None:
        """Begin to fence: possible exactly when no open transaction has written to the bucket."""
        if self.fencing is not None or self.fenced:
            return
        transaction = self.mover.transaction()
        await transaction.start()
        free = await self.mover.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", LOCK_CLASS, self.bucket)
        assert free == (not any(writer.pending for writer in self.writers))
        if not free:
            await transaction.rollback()
            return
        await self.mover.execute("UPDATE meridian.bucket SET state = 'fenced' WHERE bucket = $1", self.bucket)
        self.fencing = transaction

    async def settle(self, *, commit: bool = True) -> None:
        """Commit the fence, or take it back."""
        if self.fencing is not None:
            await (self.fencing.commit() if commit else self.fencing.rollback())
            self.fenced, self.fencing = commit, None

    async def give_back(self) -> None:
        """End the fence."""
        if self.fenced:
            await self.mover.execute("UPDATE meridian.bucket SET state = 'owned' WHERE bucket = $1", self.bucket)
            self.fenced = False

    async def act(self, step: str) -> None:
        """One step by its name."""
        name, _, number = step.partition(" ")
        writer = self.writers[int(number or 0)]
        await {
            "write": lambda: self.write(writer),
            "begin": lambda: self.begin(writer),
            "commit": lambda: self.end(writer),
            "abort": lambda: self.end(writer, commit=False),
            "fence": self.put_up,
            "fenced": self.settle,
            "unfenced": lambda: self.settle(commit=False),
            "reopen": self.give_back,
        }[name]()

    async def finish(self) -> set[UUID]:
        """End everything; the rows that are there then, which are taken away."""
        for writer in self.writers:
            await self.end(writer)
        await self.settle()
        await self.give_back()
        rows = await self.mover.fetch("DELETE FROM marketplace.request WHERE bucket = $1 RETURNING id", self.bucket)
        return {row["id"] for row in rows}


STEPS = st.lists(
    st.sampled_from(
        [f"{name} {number}" for name in ("write", "write", "begin", "commit", "abort") for number in (0, 1)]
        + ["fence", "fence", "fenced", "unfenced", "reopen"]
    ),
    min_size=5,
    max_size=25,
)


@pytest.fixture(scope="module")
async def race(system: System) -> AsyncIterator[Race]:
    async with system.sql("sa-1") as one, system.sql("sa-1") as two, system.sql("sa-1") as mover:
        yield Race(await free_bucket(mover), [Writer(one), Writer(two)], mover)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
async def test_in_every_interleaving_a_write_is_refused_exactly_when_its_bucket_is_fenced(
    race: Race, steps: list[str]
) -> None:
    race.acknowledged.clear()
    try:
        for step in steps:
            await race.act(step)
    finally:
        rows = await race.finish()
    assert rows == race.acknowledged, "what was acknowledged is there, and nothing else"


async def test_a_fence_waits_for_writers_that_came_before_it_and_refuses_those_after(system: System) -> None:
    async with system.sql("sa-1") as writer, system.sql("sa-1") as mover:
        bucket = await free_bucket(writer)
        transaction = writer.transaction()
        await transaction.start()
        id = await insert(writer, bucket)
        fencing = asyncio.create_task(fence(mover, bucket))
        async with system.sql("sa-1") as observer:
            await until(lambda: waits_for(observer, "advisory"), what="the fence waits for the writer")
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


async def test_a_transaction_that_keeps_one_snapshot_cannot_write_past_a_fence(system: System) -> None:
    async with system.sql("sa-1") as writer, system.sql("sa-1") as mover:
        bucket = await free_bucket(writer)
        transaction = writer.transaction(isolation="repeatable_read")
        await transaction.start()
        assert await writer.fetchval("SELECT state FROM meridian.bucket WHERE bucket = $1", bucket) == "owned"
        async with fenced(mover, bucket):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await insert(writer, bucket)
            assert refused.value.sqlstate == MD001
        await transaction.rollback()
