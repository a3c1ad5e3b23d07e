"""Who somebody is: registering, logging in, refreshing and leaving, by tokens."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.http.asking import (
    PASSWORD,
    REGION_OF,
    is_problem,
    log_in,
    new_person,
    person_of,
    phone_of,
    shard_of,
)
from tests.system import SHARDS, Answer, Client, Person, Phones, System

REGISTRATION = {"full_name": "Aisha", "password": PASSWORD, "role": "customer"}


async def register(client: Client, phone: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    body = {**REGISTRATION, "phone_number": phone, **more}
    return await client.call("POST", "/auth/register", json=body, headers=headers)


async def refresh(client: Client, token: str, **headers: str) -> Answer:
    return await client.call("POST", "/auth/refresh", json={"refresh_token": token}, headers=headers)


async def session(client: Client, person: Person) -> Answer:
    return await client.call("GET", "/auth/session", user=person)


@pytest.mark.parametrize("role", ["customer", "garage"])
async def test_registering_answers_with_the_user_and_tokens_that_work(
    gateway: Client, phones: Phones, shard: str, role: str
) -> None:
    phone = phone_of(phones, shard)
    more: dict[str, Any] = {"garage_name": "Parts"} if role == "garage" else {"email": "aisha@example.com"}
    answer = await register(gateway, phone, role=role, **more)
    assert answer.status == 201
    assert set(answer.json) == {"user", "access_token", "refresh_token", "expires_in"}
    user, person = answer.json["user"], person_of(answer)
    assert {name: user[name] for name in ("role", "full_name", "region", "phone_number")} == {
        "role": role,
        "full_name": "Aisha",
        "region": REGION_OF[shard],
        "phone_number": phone,
    }
    assert (user["email"], user["garage_name"]) == (more.get("email"), more.get("garage_name"))
    assert answer.json["expires_in"] == 900
    assert answer.headers["Meridian-Route"].startswith(f"{shard_of(gateway, person)}/primary; by=phone; epoch=")
    assert (await gateway.call("GET", "/me", user=person)).json == user
    assert (await session(gateway, person)).json["user"] == user


async def test_only_garages_have_a_garage_name_and_all_have_one(gateway: Client, phones: Phones) -> None:
    is_problem(await register(gateway, phones.qatar(), role="garage"), 422, "invalid", "garage_name")
    is_problem(await register(gateway, phones.qatar(), garage_name="Parts"), 422, "invalid", "garage_name")


async def test_a_role_that_one_cannot_give_oneself_is_refused(gateway: Client, phones: Phones) -> None:
    for role in ("staff", "admin", "driver", "Customer"):
        is_problem(await register(gateway, phones.qatar(), role=role), 422, "invalid", "role")


async def test_everything_wrong_with_a_registration_is_told_at_once(gateway: Client) -> None:
    wrong: dict[str, Any] = {
        "full_name": " ",
        "password": "short",
        "role": "garage",
        "email": "nobody",
        "colour": "red",
    }
    answer = await register(gateway, "1", **wrong)
    is_problem(answer, 422, "invalid", "phone_number", "garage_name", *(set(wrong) - {"role"}))
    assert "short" not in answer.body.decode()


async def test_a_number_is_taken_in_whatever_form_it_is_written(gateway: Client, phones: Phones, shard: str) -> None:
    phone = phone_of(phones, shard)
    assert (await register(gateway, phone)).status == 201
    national, home = phone[4:], {"X-Region": REGION_OF[shard]}
    arabic = phone.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    for form in (phone, f"00{phone[1:]}", f"{phone[:4]} {phone[4:7]}-{phone[7:]}", arabic):
        is_problem(await register(gateway, form), 409, "conflict")
    is_problem(await register(gateway, national, headers=home), 409, "conflict")


async def test_two_who_claim_a_number_at_once_do_not_both_get_it(gateway: Client, phones: Phones, shard: str) -> None:
    phone = phone_of(phones, shard)
    answers = await asyncio.gather(*(register(gateway, phone, full_name=f"Twin {n}") for n in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]


async def test_a_national_number_is_read_for_the_region_that_was_chosen(
    gateway: Client, phones: Phones, shard: str
) -> None:
    phone, home = phone_of(phones, shard), {"X-Region": REGION_OF[shard]}
    answer = await register(gateway, phone[4:], headers=home)
    assert (answer.status, answer.json["user"]["phone_number"]) == (201, phone)
    assert "by=explicit" in answer.headers["Meridian-Route"]
    assert (await log_in(gateway, phone[4:], headers=home)).status == 200
    assert (await log_in(gateway, phone)).status == 200


async def test_a_region_takes_only_the_numbers_of_its_rule(gateway: Client, phones: Phones) -> None:
    answer = await register(gateway, phones.qatar(), headers={"X-Region": "sa"})
    is_problem(answer, 422, "invalid", "phone_number")


async def test_a_wrong_password_and_an_unknown_number_look_the_same(
    gateway: Client, phones: Phones, customer: Person, shard: str
) -> None:
    wrong, unknown = (
        await log_in(gateway, customer.phone, "a-bad-password"),
        await log_in(gateway, phone_of(phones, shard)),
    )
    for answer in (wrong, unknown):
        is_problem(answer, 401, "unauthenticated")
        answer.json.pop("request_id")
    assert wrong.json == unknown.json
    assert set(wrong.headers) == set(unknown.headers)
    assert "Consistency-Token" not in wrong.headers


@pytest.mark.parametrize("elsewhere", ["qa", "sa"])
async def test_a_user_logs_in_from_any_region_and_is_at_home(gateway: Client, customer: Person, elsewhere: str) -> None:
    answer = await log_in(gateway, customer.phone, headers={"X-Region": elsewhere})
    assert answer.status == 200
    assert answer.json["user"]["id"] == customer.id
    assert answer.headers["Meridian-Route"].startswith(shard_of(gateway, customer))


async def test_leaving_ends_the_session_at_once_and_no_other(gateway: Client, customer: Person) -> None:
    other = person_of(await log_in(gateway, customer.phone))
    assert (await gateway.call("POST", "/auth/logout", user=customer)).status == 204
    is_problem(await gateway.call("GET", "/me", user=customer), 401, "unauthenticated")
    is_problem(await refresh(gateway, customer.refresh_token), 401, "unauthenticated")
    assert (await session(gateway, other)).status == 200


async def test_leaving_everywhere_ends_every_session_and_not_the_account(gateway: Client, customer: Person) -> None:
    others = [person_of(await log_in(gateway, customer.phone)) for _ in range(2)]
    assert (await gateway.call("POST", "/auth/logout-all", user=others[0])).status == 204
    for person in (customer, *others):
        is_problem(await gateway.call("GET", "/me", user=person), 401, "unauthenticated")
        is_problem(await refresh(gateway, person.refresh_token), 401, "unauthenticated")
    assert (await log_in(gateway, customer.phone)).status == 200


async def test_another_process_knows_an_ended_session_where_it_is_asked_for(
    gateway: Client, other_gateway: Client, customer: Person
) -> None:
    assert (await session(other_gateway, customer)).status == 200
    await gateway.call("POST", "/auth/logout", user=customer)
    is_problem(await session(other_gateway, customer), 401, "unauthenticated")


async def test_a_refresh_gives_new_tokens_each_time(gateway: Client, customer: Person) -> None:
    first = person_of(await refresh(gateway, customer.refresh_token))
    second = person_of(await refresh(gateway, first.refresh_token))
    tokens = [p.refresh_token for p in (customer, first, second)] + [p.access_token for p in (customer, first, second)]
    assert len(set(tokens)) == 6
    assert (await session(gateway, second)).json["user"]["id"] == customer.id


async def test_a_refresh_token_that_comes_back_ends_the_whole_family(gateway: Client, customer: Person) -> None:
    other = person_of(await log_in(gateway, customer.phone))
    thief = person_of(await refresh(gateway, customer.refresh_token))
    is_problem(await refresh(gateway, customer.refresh_token), 401, "unauthenticated")
    is_problem(await refresh(gateway, thief.refresh_token), 401, "unauthenticated")
    for person in (customer, thief):
        is_problem(await gateway.call("GET", "/me", user=person), 401, "unauthenticated")
    assert (await session(gateway, other)).status == 200, "another login is another family"


async def test_a_refresh_with_a_key_may_be_repeated_when_its_answer_was_lost(gateway: Client, customer: Person) -> None:
    first = await refresh(gateway, customer.refresh_token, **{"Idempotency-Key": "r-1"})
    again = await refresh(gateway, customer.refresh_token, **{"Idempotency-Key": "r-1"})
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (200, 200, "true")
    assert "Idempotent-Replayed" not in first.headers
    assert (await session(gateway, person_of(first))).status == 200
    onward = person_of(await refresh(gateway, person_of(again).refresh_token))
    assert (await session(gateway, onward)).status == 200


async def test_of_refreshes_side_by_side_at_most_one_goes_on(gateway: Client, customer: Person) -> None:
    answers = await asyncio.gather(*(refresh(gateway, customer.refresh_token) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]


async def test_tokens_do_only_their_own_work(gateway: Client, customer: Person) -> None:
    is_problem(await refresh(gateway, customer.access_token), 401, "unauthenticated")
    as_access = {"Authorization": f"Bearer {customer.refresh_token}"}
    is_problem(await gateway.call("GET", "/me", headers=as_access), 401, "unauthenticated")


@pytest.mark.parametrize("value", ["Basic abc", "Bearer", "Bearer ", "Bearer nonsense", "", "Bearer é"])
async def test_a_credential_that_is_not_good_is_never_nobody(gateway: Client, value: str) -> None:
    answer = await gateway.call("GET", "/route", headers={"Authorization": value})
    is_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_session_survives_a_restart_of_the_gateway(system: System, phones: Phones) -> None:
    async with system.gateway() as before:
        people = [await new_person(before, phones, shard) for shard in SHARDS]
    async with system.gateway() as after:
        for person in people:
            assert (await session(after, person)).json["user"]["id"] == person.id
            assert (await refresh(after, person.refresh_token)).status == 200


async def test_a_token_of_another_system_is_refused(system: System, gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    async with system.gateway(JWT_SECRET="another-secret-" * 3, JWT_SECRET_PREVIOUS="") as strange:
        stranger = Person(person.id, person.phone, person.access_token, person.refresh_token)
        is_problem(await strange.call("GET", "/me", user=stranger), 401, "unauthenticated")
