"""A browser's session cookie: how it is set, replaced, protected and ended, and that the store may forget it."""

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from redis.asyncio import Redis

from tests.integration.http.asking import cookies_of, is_problem, log_in, new_person, shard_of
from tests.system import SECRET, SHARDS, Answer, Client, Person, Phones, System

SESSION, CONSISTENCY = "meridian_session", "meridian_consistency"
OURS = {"X-Requested-With": "fetch"}


async def cookie_of(client: Client, person: Person, **headers: str) -> str:
    """The cookie of a new login."""
    answer = await log_in(client, person.phone, cookie=True, headers=headers)
    assert answer.status == 200, answer
    return cookies_of(answer)[SESSION].value


def sent(cookie: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"{SESSION}={cookie}", **headers}


async def who(client: Client, cookie: str) -> Answer:
    return await client.call("GET", "/auth/session", headers={"Cookie": f"{SESSION}={cookie}"})


async def forget_everything(system: System) -> None:
    """Lose what Redis held, as a failover of it would."""
    async with Redis.from_url(system.variables["REDIS_URL"]) as redis:
        await redis.flushall()


async def age(system: System, shard: str, session: str, *, begun: timedelta, used: timedelta) -> None:
    """Move a session's beginning and last use into the past."""
    async with system.sql(shard) as sql:
        changed = await sql.execute(
            "UPDATE marketplace.login_session SET created_at = now() - $2::interval,"
            " refreshed_at = now() - $3::interval WHERE id = $1",
            UUID(session),
            begun,
            used,
        )
    assert changed == "UPDATE 1"


async def test_a_login_by_cookie_answers_without_tokens(gateway: Client, customer: Person) -> None:
    answer = await log_in(gateway, customer.phone, cookie=True)
    assert set(answer.json) == {"user", "expires_in"}
    cookie = cookies_of(answer)[SESSION]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert (int(cookie["max-age"]), cookie["secure"], cookie["domain"]) == (answer.json["expires_in"], "", "")
    found = await who(gateway, cookie.value)
    assert (found.json["user"]["id"], found.json["by"]) == (customer.id, "cookie")


async def test_in_production_the_cookie_is_secure_and_of_the_domain(system: System, phones: Phones) -> None:
    async with system.gateway(NODE_ENV="production", COOKIE_DOMAIN=".qscrap.qa", SESSION_SECRET=SECRET) as client:
        person = await client.register(phones.qatar())
        set_by_login = cookies_of(await log_in(client, person.phone, cookie=True))
    for cookie in (set_by_login[SESSION], set_by_login[CONSISTENCY]):
        assert (cookie["secure"], cookie["domain"], cookie["httponly"]) == (True, ".qscrap.qa", True)


async def test_registering_may_ask_for_a_cookie_too(gateway: Client, phones: Phones) -> None:
    body = {"full_name": "A", "phone_number": phones.qatar(), "password": "a-good-password", "role": "customer"}
    answer = await gateway.call("POST", "/auth/register", json={**body, "cookie": True})
    assert (answer.status, set(answer.json)) == (201, {"user", "expires_in"})
    assert (await who(gateway, cookies_of(answer)[SESSION].value)).status == 200


async def test_a_login_replaces_the_cookie_that_came_with_it_for_good(
    gateway: Client, system: System, customer: Person
) -> None:
    old = await cookie_of(gateway, customer)
    new = await cookie_of(gateway, customer, **sent(old, **OURS))
    assert old != new
    is_problem(await who(gateway, old), 401, "unauthenticated")
    assert (await who(gateway, new)).status == 200
    await forget_everything(system)
    is_problem(await who(gateway, old), 401, "unauthenticated")
    assert (await who(gateway, new)).status == 200


CSRF: list[tuple[Mapping[str, str], bool]] = [
    ({}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "cross-site", "X-Requested-With": "fetch"}, False),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "http://["}, False),
    ({"Origin": "https://evil.example", "X-Requested-With": "fetch"}, False),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "same-site"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "http://HOST"}, True),
    ({"X-Requested-With": "fetch"}, True),
]


@pytest.fixture
async def browser(gateway: Client, phones: Phones) -> str:
    """A new login by cookie."""
    return await cookie_of(gateway, await gateway.register(phones.qatar()))


@pytest.mark.parametrize(("headers", "allowed"), CSRF)
async def test_a_change_by_cookie_must_come_from_our_own_site(
    gateway: Client, browser: str, headers: Mapping[str, str], allowed: bool
) -> None:
    host = urlsplit(str(gateway.session._base_url)).netloc
    named = {name: value.replace("HOST", host) for name, value in headers.items()}
    answer = await gateway.call("PATCH", "/me", json={"full_name": "New"}, headers=sent(browser, **named))
    if allowed:
        assert answer.status == 200
    else:
        is_problem(answer, 403, "forbidden")
    assert (await gateway.call("GET", "/me", headers=sent(browser, **named))).status == 200, "reading is always allowed"


async def test_a_bearer_token_needs_no_proof_of_site(gateway: Client, customer: Person) -> None:
    headers = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    assert (await gateway.call("PATCH", "/me", user=customer, json={"full_name": "New"}, headers=headers)).status == 200


async def test_leaving_by_cookie_ends_the_session_and_takes_the_cookie_away(
    gateway: Client, system: System, customer: Person
) -> None:
    cookie = await cookie_of(gateway, customer)
    answer = await gateway.call("POST", "/auth/logout", headers=sent(cookie, **OURS))
    assert answer.status == 204
    assert (cookies_of(answer)[SESSION].value, cookies_of(answer)[SESSION]["max-age"]) == ("", "0")
    is_problem(await who(gateway, cookie), 401, "unauthenticated")
    await forget_everything(system)
    is_problem(await who(gateway, cookie), 401, "unauthenticated")


async def test_another_process_refuses_an_ended_cookie_at_once(
    gateway: Client, other_gateway: Client, customer: Person
) -> None:
    cookie = await cookie_of(gateway, customer)
    assert (await who(other_gateway, cookie)).status == 200
    await gateway.call("POST", "/auth/logout-all", user=customer)
    is_problem(await who(other_gateway, cookie), 401, "unauthenticated")


async def test_a_cookie_that_has_ended_is_nobody_for_public_calls(gateway: Client, customer: Person) -> None:
    cookie = await cookie_of(gateway, customer)
    await gateway.call("POST", "/auth/logout", headers=sent(cookie, **OURS))
    for dead in (cookie, "nonsense", cookie[:-4] + "AAAA"):
        assert (await gateway.call("GET", "/route", headers=sent(dead))).status == 200
        assert (await log_in(gateway, customer.phone, cookie=True, headers=sent(dead))).status == 200


async def test_a_session_outlives_a_restart_and_what_redis_forgets(system: System, phones: Phones) -> None:
    async with system.gateway() as before:
        people = [await new_person(before, phones, shard) for shard in SHARDS]
        cookies = [await cookie_of(before, person) for person in people]
    async with system.gateway() as after:
        for _ in range(2):
            await forget_everything(system)
            found = [await who(after, cookie) for cookie in cookies]
            assert [answer.json["user"]["id"] for answer in found] == [person.id for person in people]


async def test_a_session_in_use_lives_on_past_a_week_and_an_idle_one_ends(
    gateway: Client, system: System, customer: Person
) -> None:
    at, used, idle = shard_of(gateway, customer), *[await cookie_of(gateway, customer) for _ in range(2)]
    sessions = [(await who(gateway, cookie)).json["session"] for cookie in (used, idle)]
    await age(system, at, sessions[0], begun=timedelta(days=20), used=timedelta(days=6))
    await age(system, at, sessions[1], begun=timedelta(days=20), used=timedelta(days=8))
    await forget_everything(system)
    assert (await gateway.call("GET", "/me", headers=sent(used))).status == 200
    is_problem(await gateway.call("GET", "/me", headers=sent(idle)), 401, "unauthenticated")
    async with system.sql(at) as sql:
        seen = "SELECT refreshed_at > now() - interval '1 hour' FROM marketplace.login_session WHERE id = $1"
        assert await sql.fetchval(seen, UUID(sessions[0])), "its use was noted where it lasts"


async def test_a_browser_sees_its_own_writes_by_its_consistency_cookie(gateway: Client, customer: Person) -> None:
    login = cookies_of(await log_in(gateway, customer.phone, cookie=True))
    jar = {name: morsel.value for name, morsel in login.items()}
    assert set(jar) == {SESSION, CONSISTENCY}
    for n in range(10):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()), **OURS}
        changed = await gateway.call("PATCH", "/me", json={"full_name": f"Name {n}"}, headers=headers)
        jar |= {name: morsel.value for name, morsel in cookies_of(changed).items()}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        assert (await gateway.call("GET", "/me", headers=headers)).json["full_name"] == f"Name {n}"


async def test_a_consistency_cookie_that_is_not_ours_is_ignored(gateway: Client, browser: str) -> None:
    cookie = f"{SESSION}={browser}; {CONSISTENCY}=nonsense"
    assert (await gateway.call("GET", "/me", headers={"Cookie": cookie})).status == 200
