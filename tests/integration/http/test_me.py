"""One's own account: reading and changing it, the password, and the phone number that one logs in with."""

from uuid import UUID

import pytest

from tests.integration.http.asking import (
    PASSWORD,
    REGION_OF,
    is_problem,
    log_in,
    new_person,
    person_of,
    phone_of,
    region_of,
    shard_of,
)
from tests.system import Answer, Client, Person, Phones, System


async def move(client: Client, person: Person, phone: str, password: str = PASSWORD) -> Answer:
    """Change a person's phone number."""
    body = {"phone_number": phone, "password": password}
    return await client.call("PUT", "/me/phone", user=person, json=body)


async def claim(system: System, client: Client, person: Person, phone: str, *, minutes_ago: int) -> None:
    """Leave what a phone change leaves that was cut off after its first step: the new identity, claimed and no more."""
    region = region_of(client, person)
    identity = region.login_hash(phone)
    async with system.sql(region.owner(identity.bucket).name) as sql:
        await sql.execute(
            "INSERT INTO marketplace.identity (bucket, digest, account, claimed_at)"
            " VALUES ($1, $2, $3, now() - make_interval(mins => $4))",
            identity.bucket,
            identity.digest,
            UUID(person.id),
            minutes_ago,
        )


async def test_what_is_named_changes_and_the_rest_stays(gateway: Client, customer: Person) -> None:
    before = (await gateway.call("GET", "/me", user=customer)).json
    changed = await gateway.call("PATCH", "/me", user=customer, json={"email": "a@b.example"})
    assert (changed.status, changed.json) == (200, {**before, "email": "a@b.example"})
    changed = await gateway.call("PATCH", "/me", user=customer, json={"full_name": " Aisha ", "email": None})
    assert changed.json == {**before, "full_name": "Aisha"}
    assert (await gateway.call("GET", "/me", user=customer)).json == changed.json


WRONG_CHANGES: list[tuple[dict[str, object], str]] = [
    ({}, "body"),
    ({"full_name": None}, "full_name"),
    ({"full_name": ""}, "full_name"),
    ({"email": "nobody"}, "email"),
    ({"garage_name": "Parts"}, "garage_name"),
    ({"role": "admin"}, "role"),
    ({"phone_number": "+97455001234"}, "phone_number"),
]


@pytest.mark.parametrize(("change", "field"), WRONG_CHANGES)
async def test_a_change_that_cannot_be_made_is_refused(
    gateway: Client, phones: Phones, change: dict[str, object], field: str
) -> None:
    person = await gateway.register(phones.qatar())
    is_problem(await gateway.call("PATCH", "/me", user=person, json=change), 422, "invalid", field)


async def test_a_garage_renames_itself_and_is_never_nameless(gateway: Client, phones: Phones, shard: str) -> None:
    garage = await new_person(gateway, phones, shard, "garage")
    changed = await gateway.call("PATCH", "/me", user=garage, json={"garage_name": "Spares"})
    assert changed.json["garage_name"] == "Spares"
    is_problem(
        await gateway.call("PATCH", "/me", user=garage, json={"garage_name": None}), 422, "invalid", "garage_name"
    )


async def test_a_new_password_ends_the_other_sessions_and_the_old_password(gateway: Client, customer: Person) -> None:
    other = person_of(await log_in(gateway, customer.phone))
    body = {"current_password": PASSWORD, "new_password": "a-better-password"}
    assert (await gateway.call("PUT", "/me/password", user=customer, json=body)).status == 204
    is_problem(await gateway.call("GET", "/me", user=other), 401, "unauthenticated")
    refreshed = await gateway.call("POST", "/auth/refresh", json={"refresh_token": other.refresh_token})
    is_problem(refreshed, 401, "unauthenticated")
    assert (await gateway.call("GET", "/auth/session", user=customer)).status == 200
    is_problem(await log_in(gateway, customer.phone), 401, "unauthenticated")
    assert (await log_in(gateway, customer.phone, "a-better-password")).status == 200


async def test_only_who_knows_the_password_changes_it_or_the_phone(gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    body = {"current_password": "a-bad-password", "new_password": "a-better-password"}
    is_problem(await gateway.call("PUT", "/me/password", user=person, json=body), 403, "forbidden")
    is_problem(await move(gateway, person, phones.qatar(), "a-bad-password"), 403, "forbidden")
    assert (await log_in(gateway, person.phone)).status == 200


async def test_a_new_number_logs_in_and_the_old_one_is_free_again(
    gateway: Client, phones: Phones, customer: Person, shard: str
) -> None:
    new = phone_of(phones, shard)
    answer = await move(gateway, customer, new)
    assert (answer.status, answer.json["id"], answer.json["phone_number"]) == (200, customer.id, new)
    assert person_of(await log_in(gateway, new)).id == customer.id
    is_problem(await log_in(gateway, customer.phone), 401, "unauthenticated")
    heir = await gateway.register(customer.phone)
    assert heir.id != customer.id
    assert (await gateway.call("GET", "/me", user=customer)).json["phone_number"] == new


async def test_a_number_that_somebody_has_cannot_be_taken(
    gateway: Client, phones: Phones, customer: Person, shard: str
) -> None:
    other = await gateway.register(phone_of(phones, shard))
    answer = await move(gateway, customer, other.phone)
    is_problem(answer, 409, "conflict")
    assert "phone number" in answer.json["detail"]
    assert person_of(await log_in(gateway, other.phone)).id == other.id
    assert person_of(await log_in(gateway, customer.phone)).id == customer.id


async def test_changing_to_ones_own_number_changes_nothing(gateway: Client, customer: Person) -> None:
    spaced = f"{customer.phone[:4]} {customer.phone[4:]}"
    assert (await move(gateway, customer, spaced)).json["phone_number"] == customer.phone
    assert (await log_in(gateway, customer.phone)).status == 200


async def test_there_and_back_again(gateway: Client, phones: Phones, customer: Person, shard: str) -> None:
    there = phone_of(phones, shard)
    for phone in (there, customer.phone, there):
        assert (await move(gateway, customer, phone)).status == 200
    assert person_of(await log_in(gateway, there)).id == customer.id


async def test_a_number_must_be_of_the_users_own_region(gateway: Client, phones: Phones) -> None:
    riyadh = await gateway.register(phones.saudi())
    is_problem(await move(gateway, riyadh, phones.qatar()), 422, "invalid", "phone_number")


@pytest.mark.parametrize("by", ["registering", "moving"])
async def test_a_claim_that_was_cut_off_is_freed_after_ten_minutes(
    gateway: Client, system: System, phones: Phones, customer: Person, shard: str, by: str
) -> None:
    wanted, taker = phone_of(phones, shard), await gateway.register(phone_of(phones, shard))

    async def take() -> Answer:
        if by == "moving":
            return await move(gateway, taker, wanted)
        body = {"full_name": "Heir", "phone_number": wanted, "password": PASSWORD, "role": "customer"}
        return await gateway.call("POST", "/auth/register", json=body)

    await claim(system, gateway, customer, wanted, minutes_ago=9)
    is_problem(await log_in(gateway, wanted), 401, "unauthenticated")
    is_problem(await take(), 409, "conflict")
    region = region_of(gateway, customer)
    async with system.sql(region.owner(region.login_hash(wanted).bucket).name) as sql:
        await sql.execute(
            "UPDATE marketplace.identity SET claimed_at = now() - interval '11 minutes' WHERE account = $1",
            UUID(customer.id),
        )
    assert (await take()).status in (200, 201)
    assert person_of(await log_in(gateway, wanted)).id != customer.id
    assert person_of(await log_in(gateway, customer.phone)).id == customer.id, "the claimant keeps their own number"


async def test_who_was_cut_off_may_finish_at_once(
    gateway: Client, system: System, phones: Phones, customer: Person, shard: str
) -> None:
    wanted = phone_of(phones, shard)
    await claim(system, gateway, customer, wanted, minutes_ago=0)
    assert (await move(gateway, customer, wanted)).status == 200
    assert person_of(await log_in(gateway, wanted)).id == customer.id
    assert shard_of(gateway, customer).startswith(REGION_OF[shard])
