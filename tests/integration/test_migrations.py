"""Migrations: every shard, one runner at a time, safe to run again, and a region that is begun exactly once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from core.database import migrate
from core.database.migrate import Migration, ShardStatus, migrate_region, migrations_in, region_status
from core.database.settings import DatabaseSettings
from core.errors import Conflict
from core.limits import BUCKETS_PER_REGION
from core.shard_map.model import Address, RegionSpec, ShardSpec
from core.shard_map.ring import ring_table
from gateway.migrations import engine, service
from tests.system import PASSWORD, USER, System, free_port

NAMES = ("sa-1", "sa-2")
_numbers = count(1)


@dataclass
class Fresh:
    """A region of two empty databases, one on each Saudi primary."""

    system: System
    spec: RegionSpec
    database: str
    keys_made: int = 0

    def new_key(self) -> bytes:
        """Another key at every call."""
        self.keys_made += 1
        return bytes([self.keys_made]) * 32

    async def run(
        self,
        spec: RegionSpec | None = None,
        *,
        service: Sequence[Migration] = (),
        engine: Sequence[Migration] | None = None,
    ) -> dict[str, ShardStatus]:
        """Migrate; by default the engine's files alone."""
        statuses = await migrate_region(
            spec or self.spec,
            engine=ENGINE if engine is None else engine,
            service=service,
            new_key=self.new_key,
            settings=DatabaseSettings(),
        )
        return {status.shard: status for status in statuses}

    async def status(self, spec: RegionSpec | None = None) -> dict[str, ShardStatus]:
        """Where it stands, changing nothing."""
        statuses = await region_status(spec or self.spec, migrations=ENGINE, settings=DatabaseSettings())
        return {status.shard: status for status in statuses}

    @asynccontextmanager
    async def sql(self, shard: str) -> AsyncIterator[asyncpg.Connection]:
        """A plain connection to one of the two databases."""
        connection = await _connect(self.system, shard, self.database)
        try:
            yield connection
        finally:
            await connection.close()

    async def each(self, sql: str) -> dict[str, list[asyncpg.Record]]:
        """The rows of a query in both databases."""
        found = {}
        for name in NAMES:
            async with self.sql(name) as connection:
                found[name] = await connection.fetch(sql)
        return found

    def but(self, shard: str, **changes: object) -> RegionSpec:
        """The region with one shard changed."""
        changed = (replace(s, **changes) if s.name == shard else s for s in self.spec.shards)  # type: ignore[arg-type]
        return replace(self.spec, shards=tuple(changed))


ENGINE = engine()


async def _connect(system: System, shard: str, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=system.ports(shard)["primary"], user=USER, password=PASSWORD, database=database
    )


@pytest.fixture
async def fresh(system: System) -> AsyncIterator[Fresh]:
    database = f"migrations_{next(_numbers)}"
    region = next(region for region in system.shard_map.regions if region.name == "sa")
    shards = tuple(replace(shard, database=database, replicas=()) for shard in region.shards)
    for name in NAMES:
        async with system.sql(name) as connection:
            await connection.execute(f"CREATE DATABASE {database} STRATEGY file_copy")
    yield Fresh(system, replace(region, shards=shards), database)
    for name in NAMES:
        async with system.sql(name) as connection:
            await connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


def file(number: int, sql: str) -> Migration:
    """A migration of a service."""
    return Migration("shop", number, f"{number:04d}_shop.sql", sql)


LEDGER = "SELECT source, number, name, sha256, applied_at FROM meridian.migration ORDER BY source, number"
BUCKETS = "SELECT bucket, state, epoch, moved_to FROM meridian.bucket ORDER BY bucket"


def names(migrations: Sequence[Migration]) -> tuple[str, ...]:
    return tuple(migration.name for migration in migrations)


async def assert_begun_once(fresh: Fresh) -> None:
    """One login key, and every bucket owned exactly once, where the ring of the founders says."""
    keys = {
        row["login_key"] for rows in (await fresh.each("SELECT login_key FROM meridian.shard")).values() for row in rows
    }
    assert len(keys) == 1
    owners = {
        row["bucket"]: shard
        for shard, rows in (await fresh.each("SELECT bucket FROM meridian.bucket WHERE state = 'owned'")).items()
        for row in rows
    }
    counts = [len(rows) for rows in (await fresh.each(BUCKETS)).values()]
    assert sum(counts) == BUCKETS_PER_REGION == len(owners)
    assert tuple(owners[bucket] for bucket in range(BUCKETS_PER_REGION)) == ring_table(fresh.spec)


async def test_the_first_run_applies_everything_begins_the_region_and_the_second_does_nothing(fresh: Fresh) -> None:
    wanted = [*ENGINE, *service()]
    for status in (await fresh.run(service=service())).values():
        assert (status.applied, status.pending, status.fault) == (names(wanted), (), "")
    ledger, buckets = await fresh.each(LEDGER), await fresh.each(BUCKETS)
    for rows in ledger.values():
        by_number = {(row["source"], row["number"]): (row["name"], row["sha256"]) for row in rows}
        assert by_number == {(m.source, m.number): (m.name, m.digest) for m in wanted}
    await assert_begun_once(fresh)
    again = await fresh.run(service=service())
    assert [status.fault for status in again.values()] == ["", ""]
    assert await fresh.each(LEDGER) == ledger
    assert await fresh.each(BUCKETS) == buckets
    assert fresh.keys_made == 1, "a key is made once in the life of a region"


async def test_runs_at_the_same_time_wait_for_each_other_and_do_the_work_once(fresh: Fresh) -> None:
    slow = [file(1, "SELECT pg_sleep(0.2); CREATE TABLE public.once (n int)")]
    other_way_round = replace(fresh.spec, shards=fresh.spec.shards[::-1])
    runs = await asyncio.gather(
        fresh.run(service=slow), fresh.run(other_way_round, service=slow), fresh.run(service=slow)
    )
    for statuses in runs:
        assert [(status.fault, status.pending) for status in statuses.values()] == [("", ()), ("", ())]
    await assert_begun_once(fresh)
    for rows in (await fresh.each(LEDGER)).values():
        assert len(rows) == len(ENGINE) + 1


async def test_a_file_that_changed_after_it_was_applied_is_refused_by_name_and_nothing_after_it_runs(
    fresh: Fresh,
) -> None:
    good = file(1, "CREATE TABLE public.one (n int)")
    await fresh.run(service=[good])
    changed = replace(good, sql=good.sql + " -- a harmless word")
    for status in (await fresh.run(service=[changed, file(2, "CREATE TABLE public.two (n int)")])).values():
        assert good.name in status.fault
        assert "changed after it was applied" in status.fault
        assert status.pending == ("0002_shop.sql",)
    engine_changed = [replace(ENGINE[0], sql=ENGINE[0].sql + "\n"), *ENGINE[1:]]
    for status in (await fresh.run(engine=engine_changed)).values():
        assert ENGINE[0].name in status.fault
    assert [s.fault for s in (await fresh.run(service=[good])).values()] == ["", ""], "the file restored is good again"


async def test_a_file_that_fails_is_named_leaves_the_earlier_ones_and_is_gone_on_from_when_mended(fresh: Fresh) -> None:
    first, third = file(1, "CREATE TABLE public.one (n int)"), file(3, "CREATE TABLE public.three (n int)")
    broken = file(2, "CREATE TABLE public.half (n int); SELECT * FROM nowhere")
    for status in (await fresh.run(service=[first, broken, third])).values():
        assert broken.name in status.fault
        assert "nowhere" in status.fault
        assert status.applied == names([*ENGINE, first])
        assert status.pending == names([broken, third])
    half = "SELECT to_regclass('public.half') AS half, to_regclass('public.one')::text AS one"
    assert {(rows[0]["half"], rows[0]["one"]) for rows in (await fresh.each(half)).values()} == {(None, "one")}
    mended = replace(broken, sql="CREATE TABLE public.half (n int)")
    for status in (await fresh.run(service=[first, mended, third])).values():
        assert (status.pending, status.fault) == ((), "")


async def test_a_connection_lost_in_the_middle_is_reported_and_the_other_shard_goes_on(fresh: Fresh) -> None:
    await fresh.run()
    async with fresh.sql("sa-1") as connection:
        await connection.execute("CREATE TABLE public.suicidal (n int)")
    deadly = file(
        1,
        """DO $$ BEGIN
            IF to_regclass('public.suicidal') IS NOT NULL THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
            END IF;
        END $$""",
    )
    statuses = await fresh.run(service=[deadly])
    assert statuses["sa-1"].fault
    assert deadly.name in statuses["sa-1"].pending
    assert (statuses["sa-2"].pending, statuses["sa-2"].fault) == ((), "")


async def test_asking_for_the_status_changes_nothing(fresh: Fresh) -> None:
    for status in (await fresh.status()).values():
        assert (status.applied, status.pending, status.fault) == ((), names(ENGINE), "")
    schemas = "SELECT to_regnamespace('meridian') AS meridian"
    assert {rows[0]["meridian"] for rows in (await fresh.each(schemas)).values()} == {None}
    await fresh.run(engine=ENGINE[:1])
    for status in (await fresh.status()).values():
        assert (status.applied, status.pending) == (names(ENGINE[:1]), names(ENGINE[1:]))


async def test_a_shard_that_cannot_be_reached_is_reported_and_the_other_goes_on(fresh: Fresh) -> None:
    await fresh.run()
    unreachable = fresh.but("sa-1", primary=Address("127.0.0.1", free_port()))
    new = file(1, "CREATE TABLE public.new (n int)")
    statuses = await fresh.run(unreachable, service=[new])
    assert "has 0 writable nodes" in statuses["sa-1"].fault
    assert (statuses["sa-2"].applied, statuses["sa-2"].fault) == (names([*ENGINE, new]), "")
    shown = await fresh.status(unreachable)
    assert (shown["sa-1"].pending, shown["sa-2"].pending) == (names(ENGINE), ())
    assert shown["sa-1"].fault
    assert [status.fault for status in (await fresh.run(service=[new])).values()] == ["", ""]


async def test_a_region_is_not_begun_before_all_of_its_shards_are_reachable(fresh: Fresh) -> None:
    unreachable = fresh.but("sa-2", primary=Address("127.0.0.1", free_port()))
    statuses = await fresh.run(unreachable)
    assert "cannot be begun until all its shards are reachable" in statuses["sa-1"].fault
    async with fresh.sql("sa-1") as connection:
        assert await connection.fetchval("SELECT count(*) FROM meridian.shard") == 0
        assert await connection.fetchval("SELECT count(*) FROM meridian.bucket") == 0
    await fresh.run()
    await assert_begun_once(fresh)


@pytest.mark.parametrize(
    "weights", [{"sa-1": 1, "sa-2": 1}, {"sa-1": 1, "sa-2": 9}], ids=["same map", "weights edited meanwhile"]
)
async def test_a_region_half_begun_when_its_run_was_killed_is_completed_as_it_was_meant(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, weights: Mapping[str, int]
) -> None:
    claim, claimed = migrate._claim, 0

    async def killed_before_the_second(*arguments: object) -> None:
        nonlocal claimed
        if claimed:
            raise asyncio.CancelledError
        claimed += 1
        await claim(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(migrate, "_claim", killed_before_the_second)
        with pytest.raises(asyncio.CancelledError):
            await fresh.run()
    introduced = {name: len(rows) for name, rows in (await fresh.each("SELECT FROM meridian.shard")).items()}
    assert sorted(introduced.values()) == [0, 1], "it was cut off between the claims"
    edited = replace(fresh.spec, shards=tuple(replace(s, weight=weights[s.name]) for s in fresh.spec.shards))
    assert [status.fault for status in (await fresh.run(edited)).values()] == ["", ""]
    await assert_begun_once(fresh)


async def test_a_shard_added_later_is_introduced_with_the_regions_key_and_owns_nothing(
    fresh: Fresh, system: System
) -> None:
    first = replace(fresh.spec, shards=tuple(s for s in fresh.spec.shards if s.name == "sa-1"))
    assert [status.fault for status in (await fresh.run(first)).values()] == [""]
    assert [status.fault for status in (await fresh.run()).values()] == ["", ""]
    buckets = {name: len(rows) for name, rows in (await fresh.each(BUCKETS)).items()}
    assert buckets == {"sa-1": BUCKETS_PER_REGION, "sa-2": 0}
    keys = await fresh.each("SELECT login_key FROM meridian.shard")
    assert keys["sa-1"] == keys["sa-2"]


async def test_addresses_that_were_swapped_are_refused_and_nothing_is_written(fresh: Fresh) -> None:
    await fresh.run()
    before = await fresh.each(LEDGER)
    one, two = fresh.spec.shards
    swapped = replace(fresh.spec, shards=(replace(one, primary=two.primary), replace(two, primary=one.primary)))
    statuses = await fresh.run(swapped, service=[file(1, "CREATE TABLE public.wrong (n int)")])
    for name, status in statuses.items():
        assert f"the servers of sa-1 say they are sa-2 of region {fresh.spec.name}" in status.fault, name
        assert "correct the shard map" in status.fault
    assert await fresh.each(LEDGER) == before


async def test_a_shard_of_another_region_is_refused(fresh: Fresh) -> None:
    await fresh.run()
    statuses = await fresh.run(replace(fresh.spec, code=77))
    assert all("correct the shard map" in status.fault for status in statuses.values())


async def test_shards_begun_apart_are_refused_because_their_login_keys_differ(fresh: Fresh) -> None:
    def only(name: str) -> tuple[ShardSpec, ...]:
        return tuple(shard for shard in fresh.spec.shards if shard.name == name)

    for name in NAMES:
        await fresh.run(replace(fresh.spec, shards=only(name)))
    statuses = await fresh.run()
    assert all("login keys differ" in status.fault for status in statuses.values())


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_one.sql", "0001_two.sql", "notes.txt"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(Conflict, match="same number"):
        migrations_in(tmp_path, "shop")
    (tmp_path / "0001_two.sql").rename(tmp_path / "0002_two.sql")
    assert [(m.number, m.name) for m in migrations_in(tmp_path, "shop")] == [(1, "0001_one.sql"), (2, "0002_two.sql")]


async def meridian(system: System, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run the program; its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from gateway.cli import main; main()",
        *arguments,
        env={"PATH": os.environ["PATH"], **system.variables, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_command_shows_each_shard_and_its_exit_code_says_whether_all_are_up_to_date(system: System) -> None:
    code, said = await meridian(system, "migrate", "--status")
    lines = said.splitlines()
    assert (code, [line.split()[:2] for line in lines]) == (0, [["qa", "qa-1"], ["sa", "sa-1"], ["sa", "sa-2"]]), said
    assert all("up to date" in line for line in lines)
    code, said = await meridian(system, "migrate", "--status", SA_1_PRIMARY=f"127.0.0.1:{free_port()}")
    assert code == 1, said
    assert "has 0 writable nodes" in said
    assert sum("up to date" in line for line in said.splitlines()) == 2
