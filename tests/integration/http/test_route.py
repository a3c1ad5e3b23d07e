"""Why a request goes where it goes: GET /route, and who may influence it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from tests.integration.http.asking import REGION_OF, Json, is_problem, log_in, phone_of, shard_of
from tests.system import Client, Person, Phones, System

RIYADH, DOHA = "212.118.128.1", "37.210.1.1"


async def asked(
    client: Client, user: Person | None = None, *, headers: Mapping[str, str] | None = None, **question: str
) -> Json:
    """The decision for a question (`country=`, `id=`, `phone=`), or without one for this very request."""
    answer = await client.call("GET", "/route", user=user, headers=headers, params=question)
    assert answer.status == 200, answer
    found: Json = answer.json
    return found


def notes(found: Json) -> dict[str, str]:
    return {f"{seen['signal']} {seen['value']}": seen["note"] for seen in found["seen"]}


@pytest.fixture(scope="module")
async def behind_proxy(system: System) -> AsyncIterator[Client]:
    """A gateway that believes what the loopback's peers say of their clients."""
    async with system.gateway(TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8") as client:
        yield client


@pytest.mark.parametrize(("country", "region", "by"), [("QA", "qa", "country"), ("sa", "sa", "country")])
async def test_a_country_has_its_region(gateway: Client, country: str, region: str, by: str) -> None:
    found = await asked(gateway, country=country)
    assert (found["region"], found["by"], found["bucket"], found["shard"]) == (region, by, None, None)


async def test_an_id_has_its_region_bucket_and_shard(gateway: Client, customer: Person, shard: str) -> None:
    found = await asked(gateway, id=customer.id)
    assert (found["region"], found["by"], found["shard"]) == (REGION_OF[shard], "id", shard)
    assert 0 <= found["bucket"] < 4096
    assert found["epoch"] >= 1


async def test_a_phone_has_its_region_and_is_not_repeated(gateway: Client, phones: Phones, shard: str) -> None:
    phone = phone_of(phones, shard)
    found = await asked(gateway, phone=phone)
    assert (found["region"], found["by"]) == (REGION_OF[shard], "phone")
    assert phone[4:] not in str(found)


async def test_one_thing_is_asked_at_a_time_and_it_must_make_sense(gateway: Client, customer: Person) -> None:
    two = await gateway.call("GET", "/route", params={"country": "QA", "id": customer.id})
    is_problem(two, 422, "invalid", "country", "id")
    wrong = await gateway.call("GET", "/route", params={"id": "x", "colour": "red", "country": "QATAR"})
    is_problem(wrong, 422, "invalid", "country", "id", "colour")
    foreign = await gateway.call("GET", "/route", params={"id": "01234567-0123-4123-8123-0123456789ab"})
    is_problem(foreign, 404, "not_found")


async def test_ones_own_request_goes_home_by_the_token(gateway: Client, customer: Person, shard: str) -> None:
    found = await asked(gateway, customer)
    assert (found["region"], found["by"], found["shard"]) == (REGION_OF[shard], "user", shard)
    elsewhere = await asked(gateway, customer, headers={"X-Region": "qa"})
    assert (elsewhere["region"], elsewhere["by"]) == (REGION_OF[shard], "user")


async def test_a_request_of_nobody_goes_where_it_says_or_to_the_default(gateway: Client) -> None:
    assert [(await asked(gateway, headers={"X-Region": name}))["region"] for name in ("qa", "sa")] == ["qa", "sa"]
    found = await asked(gateway)
    assert (found["region"], found["by"]) == ("qa", "default")


async def test_an_unknown_region_is_refused_whatever_else_is_known(gateway: Client, customer: Person) -> None:
    for user in (None, customer):
        answer = await gateway.call("GET", "/route", user=user, headers={"X-Region": "atlantis"})
        is_problem(answer, 400, "malformed")
        assert "qa, sa" in answer.json["detail"]
    answer = await log_in(gateway, customer.phone, headers={"X-Region": "QA"})
    is_problem(answer, 400, "malformed")


@pytest.mark.parametrize("headers", [{"CF-IPCountry": "SA"}, {"X-Forwarded-For": RIYADH}])
async def test_a_stranger_cannot_say_where_a_client_is(gateway: Client, headers: dict[str, str]) -> None:
    found = await asked(gateway, headers=headers)
    assert (found["region"], found["by"]) == ("qa", "default")
    ignored = [note for note in notes(found).values() if note.startswith("ignored")]
    assert ignored == ["ignored: peer 127.0.0.1 is not in TRUSTED_PROXIES"]
    assert RIYADH not in str(found), "of an address only its prefix is shown"


async def test_a_stranger_cannot_place_a_registration(gateway: Client, behind_proxy: Client, phones: Phones) -> None:
    body = {"full_name": "A", "password": "a-good-password", "role": "customer", "phone_number": phones.saudi()[4:]}
    spoofed = {"CF-IPCountry": "SA"}
    refused = await gateway.call("POST", "/auth/register", json=body, headers=spoofed)
    is_problem(refused, 422, "invalid", "phone_number")
    taken = await behind_proxy.call("POST", "/auth/register", json=body, headers=spoofed)
    assert (taken.status, taken.json["user"]["region"]) == (201, "sa")


PROXIED = [
    ({"CF-IPCountry": "SA"}, "sa", "country"),
    ({"CF-IPCountry": "XX", "X-Forwarded-For": RIYADH}, "sa", "address"),
    ({"X-Forwarded-For": f"{DOHA}, {RIYADH}, 10.1.1.1"}, "sa", "address"),
    ({"X-Forwarded-For": f"{RIYADH}, {DOHA}"}, "qa", "address"),
    ({"X-Forwarded-For": f"{RIYADH}, nonsense"}, "qa", "default"),
    ({"CF-IPCountry": "SA", "X-Region": "qa"}, "qa", "explicit"),
]


@pytest.mark.parametrize(("headers", "region", "by"), PROXIED)
async def test_a_trusted_proxy_says_where_its_client_is(
    behind_proxy: Client, headers: dict[str, str], region: str, by: str
) -> None:
    found = await asked(behind_proxy, headers=headers)
    assert (found["region"], found["by"]) == (region, by)


async def test_the_edges_header_may_have_another_name(system: System) -> None:
    async with system.gateway(TRUSTED_PROXIES="127.0.0.1", COUNTRY_HEADER="X-Country") as client:
        assert (await asked(client, headers={"X-Country": "SA"}))["by"] == "country"
        assert (await asked(client, headers={"CF-IPCountry": "SA"}))["by"] == "default"


async def test_a_country_that_no_region_serves_goes_to_the_default_or_is_refused_as_the_map_says(
    gateway: Client, system: System
) -> None:
    assert (await asked(gateway, country="FR"))["region"] == "qa"
    async with system.gateway(replace(system.shard_map, unlisted_countries="refuse")) as strict:
        is_problem(await strict.call("GET", "/route", params={"country": "FR"}), 421, "region_unavailable")


async def test_every_answer_says_where_it_came_from(gateway: Client, customer: Person, shard: str) -> None:
    written = await gateway.call("PATCH", "/me", user=customer, json={"full_name": "New"})
    assert written.headers["Meridian-Route"].startswith(f"{shard}/primary; by=user; epoch=")
    read = await gateway.call("GET", "/me", user=customer)
    assert read.headers["Meridian-Route"].split("; ")[0] in (f"{shard}/replica", f"{shard}/primary")
    assert (await gateway.call("GET", "/route")).headers["Meridian-Route"] == "qa/none; by=default; epoch=0"
    assert shard_of(gateway, customer) == shard
