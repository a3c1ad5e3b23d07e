"""Small pools under a crowd, over HTTP: what each client is told, what servers are left with, how soon it is over."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from aiohttp import ClientSession, TCPConnector

from core.limits import POOL_WAITERS_PER_CONNECTION
from tests.system import Answer, Client, Person, Phones, System, running_system, until

POOL = 4
ROOM = POOL * (1 + POOL_WAITERS_PER_CONNECTION)
SHARD = "qa-1"
CALM_S = 5.0


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """Servers that no other gateway has connections to: every connection is one of ours."""
    async with running_system() as running:
        yield running


@asynccontextmanager
async def crowd(system: System, **more: str) -> AsyncIterator[Client]:
    """A gateway with pools of four, and a client that opens as many connections as it is asked for."""
    sizes = {"DB_POOL_MAX": str(POOL), "DB_POOL_MIN": "1", "DB_READ_POOL_MAX": str(POOL)}
    async with (
        system.gateway(None, **sizes, **more) as client,
        ClientSession(str(client.session._base_url), connector=TCPConnector(limit=0)) as session,
    ):
        yield Client(session, client.runtime)


@pytest.fixture
async def small(system: System) -> AsyncIterator[Client]:
    async with crowd(system) as client:
        yield client


@pytest.fixture
async def person(small: Client, phones: Phones) -> Person:
    return await small.register(phones.qatar())


@asynccontextmanager
async def account_locked(system: System, person: Person) -> AsyncIterator[None]:
    """While the block runs, every change of the person's account waits."""
    async with system.sql(SHARD) as sql, sql.transaction():
        await sql.execute("SELECT FROM marketplace.account WHERE id = $1 FOR UPDATE", UUID(person.id))
        yield


async def change(client: Client, person: Person, within_s: float | None = None) -> Answer:
    """One change of the account."""
    headers = {"X-Request-Timeout": str(within_s)} if within_s else {}
    # Without the person's consistency token, which answers that overtake each other would race to set.
    headers["Authorization"] = f"Bearer {person.access_token}"
    return await client.call("PATCH", "/me", headers=headers, json={"full_name": "Somebody Else"})


async def states(system: System) -> Counter[str]:
    """The states of the pools' connections to the primary of the shard."""
    async with system.sql(SHARD) as sql:
        rows = await sql.fetch("SELECT state FROM pg_stat_activity WHERE application_name = 'meridian'")
    return Counter(str(row["state"]) for row in rows)


async def only_idle(system: System, client: Client) -> None:
    """Wait until the server runs nothing of the pool's, and the pool has all its connections to give."""
    assert client.runtime is not None
    shards = (shard for region in client.runtime.fleet.regions.values() for shard in region.shards.values())
    shard = next(shard for shard in shards if shard.name == SHARD)

    async def condition() -> bool:
        figures = shard.nodes[shard.spec.primary].figures
        found = await states(system)
        return set(found) <= {"idle"} and (figures.waiting, figures.idle) == (0, figures.total)

    await until(condition, what="nothing of the pool's runs, waits or is in a transaction")


async def all_change_at_once(client: Client, person: Person) -> None:
    """Every connection of the pool is used again, by requests that all succeed."""
    began = time.monotonic()
    answers = await asyncio.gather(*(change(client, person) for _ in range(4 * POOL)))
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert time.monotonic() - began < CALM_S


async def test_ten_times_more_clients_than_fit_are_all_answered_and_the_servers_never_notice(
    system: System, small: Client, person: Person
) -> None:
    roles = (await small.call("GET", "/health")).json["regions"]["qa"]["shards"][SHARD]
    async with account_locked(system, person):
        burst = [asyncio.create_task(change(small, person)) for _ in range(10 * ROOM)]

        async def the_excess_is_told() -> bool:
            return sum(task.done() for task in burst) >= 9 * ROOM

        await until(the_excess_is_told, within_s=30, what="who does not fit has an answer")
        during = await states(system)
        health = (await small.call("GET", "/health")).json["regions"]["qa"]["shards"][SHARD]
    answers = await asyncio.gather(*burst)
    counts = Counter((answer.status, answer.json.get("code")) for answer in answers)
    assert set(counts) <= {(200, None), (409, "conflict"), (503, "pool_exhausted")}, counts
    assert counts[503, "pool_exhausted"] >= 8 * ROOM
    assert counts[200, None] >= POOL
    refused = [answer for answer in answers if answer.status == 503]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert during.total() <= POOL, during
    assert not [state for state in during if state.startswith("idle in transaction")], during
    assert health["primary"]["connected"]
    assert health["primary"]["address"] == roles["primary"]["address"]
    assert [node["connected"] for node in health["replicas"]] == [True]
    await all_change_at_once(small, person)
    await only_idle(system, small)


async def test_clients_who_hang_up_leave_no_statement_and_take_no_connection_with_them(
    system: System, small: Client, person: Person
) -> None:
    for _ in range(3):
        async with account_locked(system, person):
            leaving = [asyncio.create_task(change(small, person)) for _ in range(2 * POOL)]

            async def they_wait_on_the_server() -> bool:
                return (await states(system))["active"] >= 1

            await until(they_wait_on_the_server, what="their statements run")
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)
            await only_idle(system, small)
    await all_change_at_once(small, person)
    await only_idle(system, small)
    assert (await states(system)).total() <= POOL


async def test_callers_in_a_hurry_do_not_close_the_server_to_everybody_else(
    system: System, small: Client, person: Person
) -> None:
    async with account_locked(system, person):
        hurried = await asyncio.gather(*(change(small, person, within_s=1.0) for _ in range(3 * POOL)))
    codes = {answer.json["code"] for answer in hurried}
    assert codes <= {"outcome_unknown", "pool_exhausted", "deadline"}, codes
    health = (await small.call("GET", "/health")).json["regions"]["qa"]["shards"][SHARD]
    assert health["primary"]["breaker"] == "closed"
    await all_change_at_once(small, person)
    await only_idle(system, small)


async def test_the_server_itself_ends_a_statement_at_its_bound_and_the_connection_serves_on(
    system: System, phones: Phones
) -> None:
    async with crowd(system, DB_STATEMENT_TIMEOUT="300") as client:
        person = await client.register(phones.qatar())
        async with account_locked(system, person):
            answers = await asyncio.gather(*(change(client, person) for _ in range(3 * POOL)))
            await only_idle(system, client)
        assert {(answer.status, answer.json["code"]) for answer in answers} == {(504, "deadline")}
        assert "DB_STATEMENT_TIMEOUT" in answers[0].json["detail"]
        await all_change_at_once(client, person)
