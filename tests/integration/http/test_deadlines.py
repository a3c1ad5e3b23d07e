"""X-Request-Timeout: shortens what a request may take, never lengthens it, and all waits inside obey it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from core.limits import DEADLINE_GRACE_S
from tests.integration.http.asking import is_problem, new_person, shard_of
from tests.system import Answer, Client, Person, Phones, System

CHANGE = {"full_name": "New"}


@asynccontextmanager
async def account_locked(system: System, client: Client, person: Person) -> AsyncIterator[None]:
    """While the block runs, another transaction holds the person's account."""
    async with system.sql(shard_of(client, person)) as sql, sql.transaction():
        await sql.execute("SELECT FROM marketplace.account WHERE id = $1 FOR UPDATE", UUID(person.id))
        yield


@asynccontextmanager
async def accounts_unreadable(system: System, shard: str) -> AsyncIterator[None]:
    """While the block runs, nobody reads an account on the shard's primary."""
    async with system.sql(shard) as sql, sql.transaction():
        await sql.execute("LOCK TABLE marketplace.account IN ACCESS EXCLUSIVE MODE")
        yield


async def timed(
    client: Client, method: str, person: Person, timeout_s: str | None, **more: Any
) -> tuple[Answer, float]:
    """An answer to a call of /me, and the seconds that it took."""
    loop = asyncio.get_running_loop()
    headers = {**more.pop("headers", {}), **({"X-Request-Timeout": timeout_s} if timeout_s else {})}
    started = loop.time()
    answer = await client.call(method, "/me", user=person, headers=headers, **more)
    return answer, loop.time() - started


async def test_a_write_that_waits_ends_in_time_and_says_what_is_not_known(
    gateway: Client, system: System, customer: Person
) -> None:
    async with account_locked(system, gateway, customer):
        answer, seconds = await timed(gateway, "PATCH", customer, "0.3", json=CHANGE)
    is_problem(answer, 503, "outcome_unknown")
    assert answer.headers["Retry-After"] == "1"
    assert 0.3 <= seconds < 0.3 + DEADLINE_GRACE_S


async def test_a_read_that_waits_ends_in_time(gateway: Client, system: System, customer: Person, shard: str) -> None:
    async with accounts_unreadable(system, shard):
        answer, seconds = await timed(gateway, "GET", customer, "0.3", headers={"Consistency": "strong"})
    is_problem(answer, 504, "deadline")
    assert 0.3 <= seconds < 0.3 + DEADLINE_GRACE_S
    assert (await gateway.call("GET", "/me", user=customer)).status == 200


async def test_one_who_waits_holds_up_nobody_else(
    gateway: Client, system: System, phones: Phones, customer: Person, shard: str
) -> None:
    other = await new_person(gateway, phones, shard)
    async with account_locked(system, gateway, customer):
        waiting = asyncio.create_task(timed(gateway, "PATCH", customer, "0.5", json=CHANGE))
        answer, seconds = await timed(gateway, "PATCH", other, None, json=CHANGE)
        assert (answer.status, waiting.done()) == (200, False)
        assert seconds < 0.5
        await waiting


async def test_no_client_may_take_longer_than_the_service_allows(
    system: System, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.saudi())
    async with system.gateway(REQUEST_TIMEOUT="0.2") as hasty, account_locked(system, gateway, person):
        for asked in ("60", "inf", None):
            answer, seconds = await timed(hasty, "PATCH", person, asked, json=CHANGE)
            is_problem(answer, 503, "outcome_unknown")
            assert seconds < 0.2 + DEADLINE_GRACE_S


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "", "1s"])
async def test_a_time_that_is_none_is_malformed(gateway: Client, text: str) -> None:
    answer = await gateway.call("GET", "/route", headers={"X-Request-Timeout": text})
    is_problem(answer, 400, "malformed")


@pytest.mark.parametrize("text", ["5", "0.25", "1e-9"])
async def test_a_time_is_a_number_of_seconds(gateway: Client, text: str) -> None:
    assert (await gateway.call("GET", "/route", headers={"X-Request-Timeout": text})).status == 200
