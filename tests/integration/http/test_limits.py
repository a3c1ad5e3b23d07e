"""Rate limits as clients meet them: told in every answer, held over two gateways, and no lock for an owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.integration.http.asking import PASSWORD, is_problem, log_in, new_person, person_of
from tests.system import Answer, Client, Person, Phones, System, until

LIMITS = {
    "RATE_LIMITS": "on",
    "RATE_LIMIT_USER": "20/600s",
    "RATE_LIMIT_ADDRESS": "30/600s",
    "RATE_LIMIT_CREDENTIALS": "5/600s",
    "TRUSTED_PROXIES": "127.0.0.1",
}


class Addresses:
    """Client addresses that no other test has."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self) -> dict[str, str]:
        """The header by which a trusted proxy names a new address, each in a network of its own."""
        self._next += 1
        return {"X-Forwarded-For": f"198.18.{self._next}.7"}


@pytest.fixture(scope="module")
def address() -> Addresses:
    return Addresses()


@asynccontextmanager
async def limited(system: System, **more: str) -> AsyncIterator[Client]:
    async with system.gateway(None, **{**LIMITS, **more}) as client:
        yield client


@pytest.fixture(scope="module")
async def strict(system: System) -> AsyncIterator[Client]:
    async with limited(system) as client:
        yield client


@pytest.fixture(scope="module")
async def other_strict(system: System) -> AsyncIterator[Client]:
    async with limited(system) as client:
        yield client


def is_limited(answer: Answer, policy: str) -> bool:
    """Assert that an answer is the refusal of this policy, with all that a client needs."""
    assert is_problem(answer, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) >= 1
    assert f'"{policy}";q=' in answer.headers["RateLimit-Policy"]
    assert f'"{policy}";r=0;t=' in answer.headers["RateLimit"]
    return True


async def test_every_answer_says_how_its_caller_stands(strict: Client, gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    first = await strict.call("GET", "/me", user=person)
    assert first.headers["RateLimit-Policy"] == '"user";q=20;w=600'
    assert first.headers["RateLimit"] == '"user";r=19;t=30'
    missing = await strict.call("GET", "/vehicles/018f0000-0000-7000-8000-000000000000", user=person)
    assert missing.status >= 400
    assert missing.headers["RateLimit"].startswith('"user";r=18;t=')


async def test_a_user_is_refused_after_the_count_and_told_how_long_to_wait(
    strict: Client, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    answers = [await strict.call("GET", "/me", user=person) for _ in range(21)]
    assert [answer.status for answer in answers] == [200] * 20 + [429]
    assert is_limited(answers[-1], "user")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    other = await gateway.register(phones.qatar())
    assert (await strict.call("GET", "/me", user=other)).status == 200


async def test_a_limit_holds_over_two_gateways(
    strict: Client, other_strict: Client, gateway: Client, phones: Phones
) -> None:
    """The overshoot is what one gateway admits in the time of one exchange: far less than another whole count."""
    person = await gateway.register(phones.saudi())

    async def ask(client: Client) -> int:
        answers = [await client.call("GET", "/me", user=Person(**vars(person))) for _ in range(30)]
        return sum(answer.status == 200 for answer in answers)

    admitted = sum(await asyncio.gather(ask(strict), ask(other_strict)))
    assert 20 <= admitted < 32, admitted


async def test_what_one_gateway_used_up_another_refuses(
    strict: Client, other_strict: Client, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    for _ in range(20):
        await strict.call("GET", "/me", user=person)

    async def refused() -> bool:
        return (await other_strict.call("GET", "/me", user=person)).status == 429

    await until(refused, what="the other gateway has heard")


async def test_callers_who_are_nobody_are_limited_by_address_and_so_are_bad_tokens(
    strict: Client, address: Addresses
) -> None:
    here, there = address(), address()
    first = await strict.call("GET", "/route", headers=here)
    assert first.headers["RateLimit"] == '"address";r=29;t=20'
    bad = {**here, "Authorization": "Bearer nonsense"}
    answers = [await strict.call("GET", "/me", headers=bad) for _ in range(30)]
    assert [answer.status for answer in answers] == [401] * 29 + [429]
    assert is_limited(answers[-1], "address")
    assert (await strict.call("GET", "/route", headers=there)).status == 200


async def test_an_address_that_is_used_up_keeps_nobody_out_who_is_logged_in(
    strict: Client, gateway: Client, phones: Phones, address: Addresses
) -> None:
    person, here = await gateway.register(phones.qatar()), address()
    for _ in range(31):
        last = await strict.call("GET", "/route", headers=here)
    assert is_limited(last, "address")
    assert (await strict.call("GET", "/me", user=person, headers=here)).status == 200


async def test_an_address_is_believed_from_a_trusted_proxy_only(system: System) -> None:
    async with limited(system, TRUSTED_PROXIES="", RATE_LIMIT_ADDRESS="3/600s", REDIS_URL="") as client:
        answers = [
            await client.call("GET", "/route", headers={"X-Forwarded-For": f"198.18.200.{number}"})
            for number in range(4)
        ]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]


async def test_an_ipv6_client_is_its_64(strict: Client) -> None:
    first = await strict.call("GET", "/route", headers={"X-Forwarded-For": "2001:db8:1:2::1"})
    same = await strict.call("GET", "/route", headers={"X-Forwarded-For": "2001:db8:1:2:ffff::2"})
    other = await strict.call("GET", "/route", headers={"X-Forwarded-For": "2001:db8:1:3::1"})
    left = [answer.headers["RateLimit"].partition(";")[2].partition(";")[0] for answer in (first, same, other)]
    assert left == ["r=29", "r=28", "r=29"]


async def test_another_region_is_no_other_bucket(strict: Client, address: Addresses) -> None:
    here = address()
    left = [
        (await strict.call("GET", "/route", headers={**here, "X-Region": region})).headers["RateLimit"]
        for region in ("qa", "sa", "qa")
    ]
    assert [text.partition(";t")[0] for text in left] == [f'"address";r={n}' for n in (29, 28, 27)]


async def test_guessing_at_one_number_from_ever_new_addresses_is_stopped(
    strict: Client, other_strict: Client, gateway: Client, phones: Phones, address: Addresses
) -> None:
    person = await gateway.register(phones.qatar())
    spellings = (person.phone, person.phone.replace("+974", "+974 "), person.phone.replace("+", "00"))
    answers = []
    for number in range(12):
        client = strict if number % 2 else other_strict
        answers.append(await log_in(client, spellings[number % 3], "a-wrong-password", headers=address()))
    statuses = [answer.status for answer in answers]
    assert statuses[0] == 401
    assert 5 <= statuses.count(401) <= 8, statuses
    assert is_limited(answers[-1], "credentials")
    assert is_limited(await log_in(strict, person.phone, PASSWORD, headers=address()), "credentials")


async def test_the_owner_still_gets_in_from_where_they_always_do(
    strict: Client, other_strict: Client, gateway: Client, phones: Phones, address: Addresses
) -> None:
    person, home = await gateway.register(phones.qatar()), address()
    assert (await log_in(strict, person.phone, headers=home)).status == 200
    for _ in range(10):
        last = await log_in(strict, person.phone, "a-wrong-password", headers=address())
    assert is_limited(last, "credentials")
    assert (await log_in(strict, person.phone, headers=home)).status == 200

    async def at_another_gateway() -> bool:
        return (await log_in(other_strict, person.phone, headers=home)).status == 200

    await until(at_another_gateway, what="the other gateway knows the network")
    for _ in range(10):
        last = await log_in(strict, person.phone, "a-wrong-password", headers=home)
    assert is_limited(last, "credentials"), "a familiar network may not guess for ever either"


async def test_one_address_may_not_try_many_numbers(system: System, phones: Phones, address: Addresses) -> None:
    """Ten times the count of one number; without a general limit in the way, which here is lower."""
    async with limited(system, RATE_LIMIT_CREDENTIALS="1/600s") as client:
        here = address()
        answers = [await log_in(client, phones.qatar(), "a-wrong-password", headers=here) for _ in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]
    assert is_limited(answers[-1], "credentials-by-address")


async def test_a_refresh_and_a_new_password_are_attempts_too(
    strict: Client, gateway: Client, phones: Phones, address: Addresses
) -> None:
    person = await gateway.register(phones.qatar())
    change = {"current_password": "a-wrong-password", "new_password": "another-password"}
    answers = [await strict.call("PUT", "/me/password", user=person, json=change) for _ in range(6)]
    assert answers[-2].status != 429
    assert is_limited(answers[-1], "credentials")
    refreshed = await strict.call(
        "POST", "/auth/refresh", json={"refresh_token": person.refresh_token}, headers=address()
    )
    assert person_of(refreshed).id == person.id
    assert '"credentials-by-address";r=49;' in refreshed.headers["RateLimit"]


async def test_health_the_document_and_its_page_are_not_limited(strict: Client, address: Addresses) -> None:
    here = address()
    for path in ("/health", "/health/live", "/api/openapi.json", "/api/docs", "/.well-known/jwks.json"):
        async with strict.session.get(path, headers=here) as response:
            assert (response.status, response.headers.get("RateLimit")) == (200, None)


async def test_health_says_that_limits_are_shared(strict: Client, gateway: Client) -> None:
    async def shared() -> bool:
        regions = (await strict.call("GET", "/health")).json["regions"]
        return all(region["limits"] == {"enabled": True, "shared": True, "since": None} for region in regions.values())

    await until(shared, what="limits are shared")
    off = (await gateway.call("GET", "/health")).json["regions"]["qa"]["limits"]
    assert off == {"enabled": False, "shared": False, "since": None}


async def test_switched_off_nothing_is_counted_or_told(gateway: Client, phones: Phones) -> None:
    person = await new_person(gateway, phones, "qa-1")
    answer = await gateway.call("GET", "/me", user=person)
    assert (answer.headers.get("RateLimit"), answer.headers.get("RateLimit-Policy")) == (None, None)


async def test_no_key_in_redis_is_a_phone_number(
    system: System, strict: Client, gateway: Client, phones: Phones, address: Addresses
) -> None:
    person = await gateway.register(phones.qatar())
    await log_in(strict, person.phone, headers=address())
    async with Redis.from_url(system.variables["REDIS_URL"], decode_responses=True) as redis:

        async def told() -> bool:
            return any(":c:i:" in key for key in await redis.keys("meridian:*:limit:*"))

        await until(told, what="the attempt is told")
        keys = await redis.keys("meridian:*:limit:*")
    assert not any(person.phone.removeprefix("+974") in key for key in keys)
