"""An outside issuer on a real server: its keys are fetched, kept while it is down, and looked for when one is new."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import ClientSession, web

from core.limits import ISSUER_BODY_BYTES_MAX, ISSUER_KEY_WAIT_S
from gateway.jwks import Issuer, IssuerSettings, jwk_set
from gateway.keys import Key, private_key, secret_key
from tests.servers.issuer import IssuerServer
from tests.system import until
from tests.unit.gateway.test_keys import ED25519, RSA, pem

FIRST, SECOND = private_key(pem(ED25519)), private_key(pem(RSA))


@pytest.fixture
async def server() -> AsyncIterator[IssuerServer]:
    found = IssuerServer([FIRST])
    await found.start()
    yield found
    await found.stop()


@dataclass
class Seen:
    """What an issuer told; its clock is a little ahead of the real one when a test says so."""

    events: list[str] = field(default_factory=list)
    changes: int = 0
    ahead_s: float = 0.0

    def tell(self, name: str, details: dict[str, object]) -> None:
        self.events.append(name)

    def change(self) -> None:
        self.changes += 1

    def clock(self) -> float:
        return time.monotonic() + self.ahead_s


@asynccontextmanager
async def following(server: IssuerServer, seen: Seen) -> AsyncIterator[Issuer]:
    settings = IssuerSettings(server.url, "https://login.example/", "qscrap")
    async with ClientSession() as session:
        issuer = Issuer(settings, session=session, clock=seen.clock, wall=lambda: datetime.now(UTC), on_event=seen.tell)
        issuer.changed = seen.change
        task = asyncio.create_task(issuer.run())
        try:
            yield issuer
        finally:
            task.cancel()
            await asyncio.wait([task])


async def has(issuer: Issuer, *keys: Key) -> None:
    async def known() -> bool:
        return set(issuer.keys) == {key.kid for key in keys}

    await until(known, what="the issuer's keys are known")


async def down(issuer: Issuer) -> None:
    async def seen() -> bool:
        return issuer.health().since is not None

    await until(seen, what="the issuer is seen to be down")


def test_the_published_set_has_public_keys_only() -> None:
    body = jwk_set([secret_key(b"a-secret"), FIRST, SECOND])
    assert [key["kid"] for key in orjson.loads(body)["keys"]] == [FIRST.kid, SECOND.kid]
    assert b"a-secret" not in body


async def test_keys_are_fetched_at_the_start(server: IssuerServer) -> None:
    seen = Seen()
    async with following(server, seen) as issuer:
        await has(issuer, FIRST)
        assert (issuer.health().connected, issuer.health().keys, issuer.health().since) == (True, 1, None)
    assert (seen.events, seen.changes) == (["issuer_keys_changed"], 1)


async def test_a_key_that_is_not_known_is_fetched_when_it_is_needed_but_not_for_every_stranger(
    server: IssuerServer,
) -> None:
    seen = Seen()
    async with following(server, seen) as issuer:
        await has(issuer, FIRST)
        server.keys = [FIRST, SECOND]
        await issuer.wait_for(SECOND.kid)
        assert SECOND.kid in issuer.keys
        asked = server.asked
        began = time.monotonic()
        for number in range(50):
            await issuer.wait_for(f"made-up-{number}")
        assert server.asked == asked
        assert time.monotonic() - began < 50 * ISSUER_KEY_WAIT_S
        seen.ahead_s = 31
        await issuer.wait_for("made-up")
        assert server.asked == asked + 1


async def test_the_wait_for_a_key_is_bounded_when_the_issuer_hangs(server: IssuerServer) -> None:
    server.holds = asyncio.Event()
    async with following(server, Seen()) as issuer:
        began = time.monotonic()
        await asyncio.gather(*(issuer.wait_for(SECOND.kid) for _ in range(10)))
        assert time.monotonic() - began < 3 * ISSUER_KEY_WAIT_S + 2
        server.holds.set()
        await has(issuer, FIRST)


async def test_while_the_issuer_is_down_its_keys_stay_good_and_it_is_found_again(server: IssuerServer) -> None:
    seen = Seen()
    async with following(server, seen) as issuer:
        await has(issuer, FIRST)
        await server.stop()
        await issuer.wait_for("made-up")
        await down(issuer)
        assert (issuer.health().connected, set(issuer.keys)) == (False, {FIRST.kid})
        server.keys = [SECOND]
        await server.start()
        await has(issuer, SECOND)
        assert (issuer.health().connected, issuer.health().since) == (True, None)
    assert seen.events == ["issuer_keys_changed", "issuer_unreachable", "issuer_answers", "issuer_keys_changed"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=500),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(text="<html>"),
        lambda: web.json_response({"keys": []}),
        lambda: web.Response(body=b" " * (ISSUER_BODY_BYTES_MAX + 1)),
    ],
)
async def test_an_answer_without_keys_is_no_answer(server: IssuerServer, answer: type[web.Response]) -> None:
    async with following(server, Seen()) as issuer:
        await has(issuer, FIRST)
        server.answer = answer()
        await issuer.wait_for("made-up")
        await down(issuer)
        assert set(issuer.keys) == {FIRST.kid}
