"""Rotating any secret logs nobody out; public keys are published; an outside issuer's tokens are honoured."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.keys import Key, keys_of_set, private_key
from tests.integration.http.asking import VEHICLE, cookies_of, is_problem, log_in, made, person_of
from tests.servers.issuer import IssuerServer
from tests.system import SECRET, Answer, Client, Person, Phones, System, until

NEW_SECRET, NEW_SESSION_SECRET = "another-secret-of-tests-" + "n" * 32, "another-session-secret-" + "n" * 32
ED25519, RSA = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
SESSION = "meridian_session"


def pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


STEPS: list[dict[str, str]] = [
    {},
    {"JWT_SECRET_PREVIOUS": NEW_SECRET, "SESSION_SECRET_PREVIOUS": NEW_SESSION_SECRET},
    {
        "JWT_SECRET": NEW_SECRET,
        "JWT_SECRET_PREVIOUS": SECRET,
        "SESSION_SECRET": NEW_SESSION_SECRET,
        "SESSION_SECRET_PREVIOUS": SECRET[::-1],
    },
    {"JWT_PUBLIC_KEYS": public_pem(ED25519)},
    {"JWT_PRIVATE_KEY": pem(ED25519).replace("\n", "\\n")},
    {"JWT_PRIVATE_KEY": pem(RSA), "JWT_PUBLIC_KEYS": public_pem(ED25519)},
]
ROTATIONS = [(0, 1), (1, 2), (2, 1), (0, 3), (3, 4), (4, 3), (0, 4), (4, 5)]
"""From one step to the next; and back, as a request may still come to a server that is not yet restarted."""


@pytest.mark.parametrize(("before", "after"), ROTATIONS)
async def test_what_was_given_out_before_a_rotation_is_good_after_it(
    system: System, phones: Phones, before: int, after: int
) -> None:
    async with system.gateway(None, **STEPS[before]) as client:
        person = await client.register(phones.qatar())
        await made(client, person, "/vehicles", VEHICLE)
        await made(client, person, "/vehicles", {**VEHICLE, "nickname": "Blue", "vin": None})
        cursor = (await client.call("GET", "/vehicles", user=person, params={"limit": 1})).json["next"]
        cookie = cookies_of(await log_in(client, person.phone, cookie=True))[SESSION].value
    async with system.gateway(None, **STEPS[after]) as client:
        assert (await client.call("GET", "/me", user=person)).status == 200
        rest = await client.call("GET", "/vehicles", user=person, params={"limit": 1, "cursor": cursor})
        assert (rest.status, len(rest.json["items"])) == (200, 1)
        by_cookie = await client.call("GET", "/auth/session", headers={"Cookie": f"{SESSION}={cookie}"})
        assert by_cookie.json["by"] == "cookie"
        renewed = await refreshed(client, person)
        assert (await client.call("GET", "/me", user=renewed)).status == 200


async def refreshed(client: Client, person: Person) -> Person:
    return person_of(await client.call("POST", "/auth/refresh", json={"refresh_token": person.refresh_token}))


async def test_cookies_signed_for_want_of_a_session_secret_outlive_a_rotation_too(
    system: System, phones: Phones
) -> None:
    async with system.gateway(None, SESSION_SECRET="") as client:
        person = await client.register(phones.qatar())
        cookie = cookies_of(await log_in(client, person.phone, cookie=True))[SESSION].value
    async with system.gateway(None, SESSION_SECRET="", JWT_SECRET=NEW_SECRET, JWT_SECRET_PREVIOUS=SECRET) as client:
        answer = await client.call("GET", "/auth/session", headers={"Cookie": f"{SESSION}={cookie}"})
    assert answer.status == 200


async def published(client: Client) -> tuple[dict[str, Key], bytes]:
    async with client.session.get("/.well-known/jwks.json") as response:
        assert (response.status, response.headers["Cache-Control"].partition(",")[0]) == (200, "max-age=300")
        assert response.headers["Content-Type"].startswith("application/jwk-set+json")
        body = await response.read()
    return (keys_of_set(body, keys_max=9) if b"kid" in body else {}), body


async def test_another_service_can_verify_our_tokens_by_the_published_keys(
    system: System, phones: Phones, tmp_path: Path
) -> None:
    file = tmp_path / "jwt.pem"
    file.write_text(pem(RSA))
    async with system.gateway(None, JWT_PRIVATE_KEY_FILE=str(file), JWT_PUBLIC_KEYS=public_pem(ED25519)) as client:
        person = await client.register(phones.qatar())
        keys, body = await published(client)
    assert len(keys) == 2
    key = keys[jwt.get_unverified_header(person.access_token)["kid"]]
    claims = jwt.decode(person.access_token, key.verifies, algorithms=[key.algorithm])
    assert claims["sub"] == person.id
    assert b'"d"' not in body
    assert SECRET.encode() not in body


async def test_without_public_keys_the_published_set_is_empty(gateway: Client) -> None:
    assert (await published(gateway))[1] == b'{"keys":[]}'


async def test_an_outside_issuers_users_are_let_in_while_it_is_up_and_down(system: System, phones: Phones) -> None:
    first, second = private_key(pem(ED25519)), private_key(pem(RSA))
    server = IssuerServer([first])
    await server.start()
    outside = {"JWT_JWKS_URL": server.url, "JWT_ISSUER": "https://login.example/", "JWT_AUDIENCE": "qscrap"}
    try:
        async with system.gateway(None, **outside) as client:
            person = await client.register(phones.qatar())
            await let_in(client, person, first)
            server.keys = [first, second]
            await let_in(client, person, second)
            is_problem(await asked(client, person, second, aud="another"), 401, "unauthenticated")
            is_problem(await asked(client, person, second, iss="https://evil.example/"), 401, "unauthenticated")
            assert (await client.call("GET", "/me", user=person)).status == 200
            health = (await client.call("GET", "/health")).json
            assert (health["issuer"]["connected"], health["issuer"]["keys"]) == (True, 2)
            await server.stop()
            await let_in(client, person, first)
    finally:
        await server.stop()


async def let_in(client: Client, person: Person, key: Key) -> None:
    """The first request may come before the issuer's keys do."""

    async def is_in() -> bool:
        return (await asked(client, person, key)).status == 200

    await until(is_in, what="the issuer's user is let in")


async def asked(client: Client, person: Person, key: Key, **more: Any) -> Answer:
    now = time.time()
    claims = {"sub": person.id, "role": "customer", "region": "qa", "iat": now, "exp": now + 60}
    said = {**claims, "iss": "https://login.example/", "aud": "qscrap", **more}
    token = jwt.encode(said, key.signs, algorithm=key.algorithm, headers={"kid": key.kid})
    return await client.call("GET", "/me", headers={"Authorization": f"Bearer {token}"})
