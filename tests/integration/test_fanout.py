"""A whole region asked at once: one order, one deadline, and an honest word about who did not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database.settings import DatabaseSettings
from core.database.shard import Consistency
from core.database.statement import Query
from core.database.token import Token
from core.errors import DeadlineExceeded, MeridianError, ShardUnavailable
from core.limits import BUCKETS_PER_REGION
from core.region import Ask, Gathered, Region
from core.shard_map.model import Address, RegionSpec, ShardName
from tests.system import Client, System, free_port

BLOCKED = "CASE WHEN (SELECT name FROM meridian.shard) = ANY($1) THEN 30 ELSE 0 END"


def region_of(client: Client) -> Region:
    """The live Saudi region, of two shards."""
    assert client.runtime is not None
    return next(region for region in client.runtime.fleet.regions.values() if region.spec.name == "sa")


def ask(within_s: float = 10.0, *, consistency: Consistency = Consistency.SESSION, token: Token | None = None) -> Ask:
    """What a caller with so much time left asks."""
    return Ask(asyncio.get_running_loop().time() + within_s, consistency, token or Token())


def buckets(*, modulus: int = 1, limit: int = BUCKETS_PER_REGION, descending: bool = False) -> Query[int]:
    """Each shard's own buckets in order: together they are every number once."""
    return Query(
        f"""SELECT bucket FROM meridian.bucket WHERE bucket % $1::int = 0
            ORDER BY bucket {"DESC" if descending else ""} LIMIT $2""",
        (modulus, limit),
        lambda row: int(row["bucket"]),
    )


def slow_on(*shards: str) -> Query[str]:
    """The name of each shard, which some take half a minute to say."""
    return Query(f"SELECT name, pg_sleep({BLOCKED}) FROM meridian.shard", (list(shards),), lambda row: str(row["name"]))


async def gather_names(region: Region, query: Query[str], asked: Ask) -> Gathered[str]:
    return await region.gather(query, asked, key=str, limit=10)


@given(modulus=st.integers(1, 5000), limit=st.integers(0, 300), descending=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_merged_answer_is_what_one_sort_of_everything_would_be(
    gateway: Client, modulus: int, limit: int, descending: bool
) -> None:
    query = buckets(modulus=modulus, limit=limit, descending=descending)
    found = await region_of(gateway).gather(query, ask(), key=int, limit=limit, descending=descending)
    everything = sorted(range(0, BUCKETS_PER_REGION, modulus), reverse=descending)
    assert found.items == everything[:limit]
    assert found.missing == ()


async def test_a_fan_out_shows_where_on_each_shard_it_read_and_later_ones_do_not_go_back(gateway: Client) -> None:
    region = region_of(gateway)
    found = await region.gather(buckets(), ask(), key=int, limit=5)
    assert {position.shard for position in found.positions} == {"sa-1", "sa-2"}
    token = Token()
    for position in found.positions:
        token = token.seeing(position)
    again = await region.gather(buckets(), ask(token=token), key=int, limit=5)
    for position in again.positions:
        before = token.entry(position.shard)
        assert before is not None
        assert position.lsn >= before.lsn


async def test_a_late_shard_is_named_and_the_rest_is_shown_before_the_deadline(gateway: Client) -> None:
    asked = ask(1.0)
    found = await gather_names(region_of(gateway), slow_on("sa-2"), asked)
    assert (found.items, found.missing) == (["sa-1"], ("sa-2",))
    assert asyncio.get_running_loop().time() < asked.deadline


async def test_a_shard_whose_table_is_locked_is_named_and_the_rest_is_shown(system: System, gateway: Client) -> None:
    requests = Query("SELECT 1 AS n FROM marketplace.request LIMIT 1", (), lambda row: int(row["n"]))
    async with system.sql("sa-1") as connection, connection.transaction():
        await connection.execute("LOCK TABLE marketplace.request IN ACCESS EXCLUSIVE MODE")
        asked = ask(0.5, consistency=Consistency.STRONG)
        found = await region_of(gateway).gather(requests, asked, key=int, limit=5)
        assert found.missing == ("sa-1",)
        assert asyncio.get_running_loop().time() < asked.deadline


async def test_when_no_shard_answers_in_time_that_is_the_answer(gateway: Client) -> None:
    asked = ask(0.5)
    with pytest.raises(DeadlineExceeded):
        await gather_names(region_of(gateway), slow_on("sa-1", "sa-2"), asked)
    assert asyncio.get_running_loop().time() < asked.deadline


async def test_when_every_shard_fails_the_first_failure_is_raised(gateway: Client) -> None:
    missing = Query("SELECT name FROM meridian.nowhere", (), lambda row: str(row["name"]))
    with pytest.raises(ShardUnavailable, match="not migrated"):
        await gather_names(region_of(gateway), missing, ask())


async def test_a_mistake_in_understanding_the_rows_is_never_called_a_missing_shard(gateway: Client) -> None:
    def mistaken(row: object) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await gather_names(region_of(gateway), replace(slow_on(), row=mistaken), ask())


@asynccontextmanager
async def opened(like: Region, *dead: str) -> AsyncIterator[Region]:
    """A region of its own, with nothing listening where some shards should be."""
    region = Region(
        with_dead(like.spec, *dead),
        settings=DatabaseSettings(pool_min=1),
        sessions=like.sessions,
        storage=like.storage,
        clock=asyncio.get_running_loop().time,
        on_event=lambda name, details: None,
    )
    try:
        await region.open()
        yield region
    finally:
        await region.close(1.0)


def with_dead(spec: RegionSpec, *shards: str) -> RegionSpec:
    """The region with nothing listening where some shards should be."""
    changed = (
        replace(s, primary=Address("127.0.0.1", free_port()), replicas=()) if s.name in shards else s
        for s in spec.shards
    )
    return replace(spec, shards=tuple(changed))


async def test_a_dead_shard_is_named_at_once_and_the_living_one_is_shown(gateway: Client) -> None:
    async with opened(region_of(gateway), "sa-1") as region:
        assert set(region.faults) == {"sa-1"}
        began = asyncio.get_running_loop().time()
        found = await region.gather(buckets(), ask(10.0), key=int, limit=BUCKETS_PER_REGION)
        assert asyncio.get_running_loop().time() - began < 2.0, "nobody waits for who is known to be dead"
        assert found.missing == ("sa-1",)
        assert found.items == [b for b in range(BUCKETS_PER_REGION) if region.ownership.owner(b) == "sa-2"]
        mine = found.items[0]
        assert (await region.read(mine, buckets(limit=1), ask())).shard == "sa-2"
        lost = next(b for b in range(BUCKETS_PER_REGION) if region.ownership.owner(b) is None)
        with pytest.raises(ShardUnavailable, match="sa-1 could not be asked yet"):
            await region.read(lost, buckets(limit=1), ask())


async def test_a_dead_region_says_so(gateway: Client) -> None:
    async with opened(region_of(gateway), "sa-1", "sa-2") as region:
        with pytest.raises(ShardUnavailable):
            await region.gather(buckets(), ask(), key=int, limit=5)
        with pytest.raises(ShardUnavailable, match="login key is not known"):
            region.login_hash("+966500000000")


async def test_shards_begun_apart_are_not_both_believed_because_a_login_would_live_in_two_places(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(region_of(gateway)) as region:
        assert region.faults == {}
        monkeypatch.setattr(region, "_login_key", b"another key than that of the shards")
        await region.refresh()
        assert "login key differs" in region.faults[ShardName("sa-1")]
        with pytest.raises(MeridianError):
            region.owner(0)


async def test_refreshes_asked_for_at_the_same_time_are_shared(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = region_of(gateway)
    asked, really_ask, gate = 0, region._ask, asyncio.Event()

    async def counted(shard: object) -> None:
        nonlocal asked
        asked += 1
        await gate.wait()
        await really_ask(shard)  # type: ignore[arg-type]

    monkeypatch.setattr(region, "_ask", counted)
    refreshes = [asyncio.create_task(region.refresh()) for _ in range(50)]
    while asked < 2:  # noqa: ASYNC110  until the first has begun
        await asyncio.sleep(0)
    late = [asyncio.create_task(region.refresh()) for _ in range(50)]
    gate.set()
    await asyncio.gather(*refreshes, *late)
    assert asked <= 3 * len(region.shards), "a hundred callers, three refreshes at most"
