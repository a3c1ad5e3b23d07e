"""Idempotency-Key: a request that is sent again does its work once and answers the same."""

import asyncio
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from tests.integration.http.asking import (
    PASSWORD,
    REQUEST,
    VEHICLE,
    is_problem,
    listed,
    made,
    person_of,
    phone_of,
    shard_of,
)
from tests.system import Answer, Client, Person, Phones, System

_numbers = count(1)


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return f"key-{next(_numbers)}"


async def post(client: Client, user: Person | None, path: str, body: Any, key: str) -> Answer:
    return await client.call("POST", path, user=user, json=body, headers={"Idempotency-Key": key})


def is_replay(again: Answer, first: Answer) -> bool:
    """Assert that an answer is the stored one, to the byte, and says so."""
    assert "Idempotent-Replayed" not in first.headers
    assert (again.status, again.body, again.headers.get("Idempotent-Replayed")) == (first.status, first.body, "true")
    assert again.headers["Consistency-Token"]
    return True


@pytest.mark.parametrize(("path", "body"), [("/requests", REQUEST), ("/vehicles", VEHICLE)])
async def test_the_same_request_again_is_answered_the_same_and_done_once(
    gateway: Client, customer: Person, key: str, path: str, body: Any
) -> None:
    first = await post(gateway, customer, path, body, key)
    assert first.status == 201
    is_replay(await post(gateway, customer, path, body, key), first)
    assert [item["id"] for item in await listed(gateway, customer, path)] == [first.json["id"]]


async def test_a_replay_tells_the_world_nothing_new(
    gateway: Client, system: System, customer: Person, key: str
) -> None:
    id = (await made(gateway, customer, "/requests", REQUEST))["id"]
    first = await post(gateway, customer, f"/requests/{id}/cancel", None, key)
    is_replay(await post(gateway, customer, f"/requests/{id}/cancel", None, key), first)
    async with system.sql(shard_of(gateway, customer)) as sql:
        kinds = await sql.fetch("SELECT kind FROM meridian.outbox WHERE subject = $1 ORDER BY id", UUID(id))
    assert [row["kind"] for row in kinds] == ["request.created", "request.cancelled"]


async def test_the_key_with_another_request_is_refused(gateway: Client, customer: Person, key: str) -> None:
    assert (await post(gateway, customer, "/vehicles", VEHICLE, key)).status == 201
    for path, body in (("/vehicles", {**VEHICLE, "year": 2021}), ("/requests", REQUEST)):
        is_problem(await post(gateway, customer, path, body, key), 422, "invalid", "Idempotency-Key")
    assert len(await listed(gateway, customer, "/vehicles")) == 1
    assert await listed(gateway, customer, "/requests") == []


async def test_the_same_request_side_by_side_is_done_once(gateway: Client, customer: Person, key: str) -> None:
    answers = await asyncio.gather(*(post(gateway, customer, "/requests", REQUEST, key) for _ in range(6)))
    answered = [answer for answer in answers if answer.status == 201]
    for refused in (answer for answer in answers if answer.status != 201):
        is_problem(refused, 409, "conflict")
    assert len({answer.body for answer in answered}) == 1
    assert len([answer for answer in answered if "Idempotent-Replayed" not in answer.headers]) == 1
    assert len(await listed(gateway, customer, "/requests")) == 1


async def test_a_key_counts_in_every_gateway(
    gateway: Client, other_gateway: Client, customer: Person, key: str
) -> None:
    first, second = await asyncio.gather(
        *(post(client, customer, "/requests", REQUEST, key) for client in (gateway, other_gateway))
    )
    assert (first.status, first.body) == (second.status, second.body)
    changed = await post(other_gateway, customer, "/requests", {**REQUEST, "car_year": 2001}, key)
    is_problem(changed, 422, "invalid", "Idempotency-Key")
    assert len(await listed(gateway, customer, "/requests")) == 1


async def test_a_key_is_its_users_own(gateway: Client, phones: Phones, customer: Person, shard: str, key: str) -> None:
    other = await gateway.register(phone_of(phones, shard))
    first, second = [await post(gateway, person, "/requests", REQUEST, key) for person in (customer, other)]
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"]
    assert "Idempotent-Replayed" not in second.headers


async def test_a_request_that_failed_may_be_sent_again_with_its_key(
    gateway: Client, customer: Person, key: str
) -> None:
    invalid = await post(gateway, customer, "/vehicles", {**VEHICLE, "year": 1}, key)
    is_problem(invalid, 422, "invalid", "year")
    ids = [(await made(gateway, customer, "/vehicles", VEHICLE))["id"] for _ in range(10)]
    is_problem(await post(gateway, customer, "/vehicles", VEHICLE, key), 409, "conflict")
    await gateway.call("DELETE", f"/vehicles/{ids[0]}", user=customer)
    done = await post(gateway, customer, "/vehicles", VEHICLE, key)
    assert (done.status, "Idempotent-Replayed" in done.headers) == (201, False)
    is_replay(await post(gateway, customer, "/vehicles", VEHICLE, key), done)


async def test_the_eleventh_vehicle_that_is_the_tenth_again_is_a_replay(
    gateway: Client, customer: Person, key: str
) -> None:
    for _ in range(9):
        await made(gateway, customer, "/vehicles", VEHICLE)
    tenth = await post(gateway, customer, "/vehicles", VEHICLE, key)
    is_replay(await post(gateway, customer, "/vehicles", VEHICLE, key), tenth)


async def test_a_registration_whose_answer_was_lost_may_be_repeated(
    gateway: Client, phones: Phones, shard: str, key: str
) -> None:
    body = {
        "full_name": "Aisha",
        "phone_number": phone_of(phones, shard),
        "password": PASSWORD,
        "role": "customer",
    }
    first, again = [await post(gateway, None, "/auth/register", body, key) for _ in range(2)]
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert again.json["user"] == first.json["user"]
    sessions = [
        (await gateway.call("GET", "/auth/session", user=person_of(answer))).json["session"]
        for answer in (first, again)
    ]
    assert sessions[0] == sessions[1], "both answers are of one login"
    is_problem(await post(gateway, None, "/auth/register", body, f"{key}-other"), 409, "conflict")


async def test_a_login_with_its_key_again_is_the_same_session(gateway: Client, customer: Person, key: str) -> None:
    body = {"phone_number": customer.phone, "password": PASSWORD}
    answers = [await post(gateway, None, "/auth/login", body, key) for _ in range(2)]
    seen = [(await gateway.call("GET", "/auth/session", user=person_of(a))).json["session"] for a in answers]
    assert seen[0] == seen[1]
    wrong = await post(gateway, None, "/auth/login", {**body, "password": "a-bad-password"}, key)
    is_problem(wrong, 401, "unauthenticated")


@pytest.mark.parametrize("bad", ["", "k" * 201, "é", "two\twords"])
async def test_a_key_that_is_none_is_refused(gateway: Client, phones: Phones, bad: str) -> None:
    person = await gateway.register(phones.qatar())
    is_problem(await post(gateway, person, "/requests", REQUEST, bad), 422, "invalid", "Idempotency-Key")
    assert await listed(gateway, person, "/requests") == []


async def test_a_key_may_be_as_long_as_the_bound(gateway: Client, customer: Person, key: str) -> None:
    assert (await post(gateway, customer, "/requests", REQUEST, key.ljust(200, "k"))).status == 201
