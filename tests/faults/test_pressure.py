"""Ten times the load that a pool can take: the excess is told so at once, nothing breaks, and it ends with the load."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import structlog

from core.database.shard import Consistency, Shard, Terms
from core.database.statement import Query
from core.errors import DeadlineExceeded, PoolExhausted
from core.ids import placement_of
from core.limits import POOL_WAITERS_PER_CONNECTION
from tests.faults.proxy import Proxy
from tests.system import Client, Person, Phones, System, until

POOL = 4
ROOM = POOL * (1 + POOL_WAITERS_PER_CONNECTION)
_SLEEP: Query[int] = Query("SELECT 1 AS one FROM pg_sleep(0.2)", (), lambda row: int(row["one"]))
_ONE: Query[int] = Query("SELECT 1 AS one", (), lambda row: int(row["one"]))


@pytest.fixture
async def small(system: System) -> AsyncIterator[Client]:
    """A gateway with small pools."""
    async with system.gateway(None, DB_POOL_MAX=str(POOL), DB_POOL_MIN="1", DB_READ_POOL_MAX=str(POOL)) as client:
        yield client


@pytest.fixture
async def person(small: Client, phones: Phones) -> Person:
    return await small.register(phones.qatar())


def shard_of(client: Client, person: Person) -> Shard:
    assert client.runtime is not None
    code, bucket = placement_of(UUID(person.id))
    return client.runtime.fleet.by_code[code].owner(bucket)


def strong(within_s: float = 10.0) -> Terms:
    return Terms(asyncio.get_running_loop().time() + within_s, Consistency.STRONG)


async def connections(system: System) -> list[tuple[str, str]]:
    """State and statement of each of the gateways' connections to the primary of qa-1, but watchers."""
    async with system.sql("qa-1") as sql:
        rows = await sql.fetch("SELECT state, query FROM pg_stat_activity WHERE application_name = 'meridian'")
    return [(row["state"], row["query"]) for row in rows]


async def test_a_burst_is_refused_beyond_the_queue_and_is_over_at_once(
    system: System, small: Client, person: Person
) -> None:
    shard = shard_of(small, person)
    with structlog.testing.capture_logs() as logs:
        burst = [asyncio.create_task(shard.read(_SLEEP, strong())) for _ in range(10 * ROOM)]
        await asyncio.sleep(0)
        over_http = await small.call("PATCH", "/me", user=person, json={"full_name": "Busy"})
        assert (over_http.status, over_http.json["code"]) == (503, "pool_exhausted")
        assert over_http.headers["Retry-After"]
        assert "pool exhausted" in over_http.json["detail"]
        health = (await small.call("GET", "/health")).json["regions"]["qa"]["shards"]["qa-1"]
        assert health["primary"]["connected"], "saturated is not dead"
        assert health["primary"]["waiting"] > 0
        results = await asyncio.gather(*burst, return_exceptions=True)
        refused = [result for result in results if isinstance(result, PoolExhausted)]
        served = [result for result in results if not isinstance(result, BaseException)]
        assert len(refused) + len(served) == len(results), "nobody is told anything else"
        assert ROOM - 2 * POOL <= len(served) <= ROOM + POOL, "as many as fit are served, the rest is told at once"
        began = time.monotonic()
        for _ in range(50):
            assert (await small.call("PATCH", "/me", user=person, json={"full_name": "Calm"})).status == 200
        assert time.monotonic() - began < 5, "throughput is back at once"
    told = [line["event"] for line in logs if line["event"].startswith("pool ")]
    assert told == ["pool exhausted", "pool no longer exhausted"], "one line for each change, not for each request"
    assert {str(node.breaker.state) for node in shard.nodes.values()} == {"closed"}
    figures = shard.nodes[shard.spec.primary].figures
    assert (figures.waiting, figures.total) == (0, POOL)


async def test_callers_who_leave_keep_no_slot_and_leave_no_statement(
    system: System, small: Client, person: Person
) -> None:
    shard = shard_of(small, person)
    long: Query[int] = Query("SELECT 1 AS one FROM pg_sleep(30)", (), lambda row: int(row["one"]))
    for _ in range(3):
        leaving = [asyncio.create_task(shard.read(long, strong(30))) for _ in range(2 * POOL)]
        await asyncio.sleep(0.2)
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving)
        late = await asyncio.gather(*(shard.read(long, strong(0.2)) for _ in range(POOL)), return_exceptions=True)
        assert all(isinstance(each, DeadlineExceeded | PoolExhausted) for each in late), late

    async def gone() -> bool:
        found = await connections(system)
        return not [query for state, query in found if "pg_sleep(30)" in query and state == "active"]

    await until(gone, what="no statement of theirs runs on the server")
    served = await asyncio.gather(*(shard.read(_ONE, strong()) for _ in range(4 * POOL)))
    assert len(served) == 4 * POOL
    assert not [state for state, _ in await connections(system) if (state or "").startswith("idle in transaction")]


async def test_statements_that_do_not_get_through_open_the_breaker_and_one_trial_closes_it(
    system: System, phones: Phones
) -> None:
    ports = system.ports("qa-1")
    async with Proxy(ports["replica"]) as proxy:
        variables = {**system.variables, "QA_1_REPLICA": f"127.0.0.1:{proxy.port}"}
        own = System(system.cluster, system.folder, system.map_file, variables)
        async with own.gateway() as client:
            person = await client.register(phones.qatar())
            shard = shard_of(client, person)
            replica = next(node for at, node in shard.nodes.items() if at.port == proxy.port)

            async def from_replica() -> bool:
                answer = await client.call("GET", "/me", user=person, headers={"Consistency": "eventual"})
                assert answer.status == 200
                return "replica" in answer.headers["Meridian-Route"]

            await until(from_replica, what="reads are on the replica")
            await proxy.refuse()
            for _ in range(20):
                await from_replica()
            assert str(replica.breaker.state) != "closed" or replica.state.reach == "unreachable"
            await proxy.heal()
            await until(from_replica, what="reads return to the replica")
            assert str(replica.breaker.state) == "closed"
