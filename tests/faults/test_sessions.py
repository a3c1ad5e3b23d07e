"""Redis is killed, paused, started again: no call waits long, and nothing that happened meanwhile is lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from redis.asyncio import Redis

from core.sessions import Answer, Revoked, Session, SessionStore, open_sessions
from tests.contract.sessions.sample import new_session
from tests.contract.sessions.valkey import Valkey, until

FRACTION_S = 0.5


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    server = Valkey(tmp_path)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[SessionStore]:
    async with open_sessions(redis_url=valkey.url, region="qa", clock=now) as opened:
        yield opened


async def healed(store: SessionStore) -> None:
    await until(lambda: store.health().store == "redis" and store.health().connected, what="back on Redis")


async def answer(store: SessionStore, id: UUID) -> Answer:
    """What the store says of a session it knows; a fallback that starts by itself on a busy machine is waited out."""
    async with asyncio.timeout(5.0):
        while (found := await store.get(id)) is None:
            await healed(store)
    return found


async def in_redis(valkey: Valkey, session: Session) -> dict[str, str]:
    """What Redis itself holds for a session."""
    client = Redis.from_url(valkey.url, decode_responses=True)
    try:
        held = await client.hgetall(f"meridian:qa:session:{session.id}")
        return {str(name): str(value) for name, value in held.items()}
    finally:
        await client.aclose()


async def work_goes_on(store: SessionStore) -> Session:
    """Fifty clients at once log in and come back, each within a fraction of a second; returns one of them.

    As the caller does, a session that the store does not know is put back: it may have fallen back between the two.
    """

    async def one() -> tuple[Session, float]:
        began = time.monotonic()
        session = new_session(now())
        assert await store.put(session) == session
        assert isinstance(await store.get(session.id) or await store.put(session), Session)
        return session, time.monotonic() - began

    done = await asyncio.gather(*(one() for _ in range(50)))
    assert max(took for _, took in done) < FRACTION_S
    return done[0][0]


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_work_goes_on_and_redis_is_told_when_it_is_back(valkey: Valkey, store: SessionStore, fault: str) -> None:
    kept, ended, family = (new_session(now()) for _ in range(3))
    for session in (kept, ended, family):
        await store.put(session)
    assert store.health().connected
    if fault == "killed":
        await valkey.kill()
    else:
        valkey.pause()

    made = await work_goes_on(store)
    began = time.monotonic()
    await store.revoke(ended.id)
    await store.revoke_all(family.user)
    assert time.monotonic() - began < FRACTION_S
    health = store.health()
    assert (health.store, health.connected, health.degraded) == ("memory", False, True)
    assert await store.get(ended.id) == Revoked(ended.id)
    assert await store.put(family) == Revoked(family.id)
    assert await store.get(kept.id) is None  # the caller reads its row and puts it back
    assert await store.put(kept) == kept

    if fault == "killed":
        await valkey.start()
    else:
        valkey.resume()
    await healed(store)
    assert (await in_redis(valkey, made))["user"] == str(made.user)
    assert (await in_redis(valkey, ended))["revoked"] == "1"
    assert "revoked" not in await in_redis(valkey, family)  # still held as live: the user's mark must win over it
    assert isinstance(await answer(store, kept.id), Session)
    assert isinstance(await answer(store, made.id), Session)
    assert await answer(store, ended.id) == Revoked(ended.id)
    assert await answer(store, family.id) == Revoked(family.id)


async def test_redis_that_is_not_there_at_the_start_is_used_when_it_comes(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path)
    with structlog.testing.capture_logs() as logs:
        began = time.monotonic()
        async with open_sessions(redis_url=valkey.url, region="qa", clock=now) as store:
            assert time.monotonic() - began < FRACTION_S
            made = await work_goes_on(store)
            await valkey.start()
            try:
                await healed(store)
                assert (await in_redis(valkey, made))["user"] == str(made.user)
            finally:
                await valkey.kill()
    events = [(line["log_level"], line["event"]) for line in logs]
    assert events[:2] == [
        ("warning", "Falling back to in-memory session store"),
        ("info", "Session store is back on Redis"),
    ]
    assert valkey.url not in str(logs)
    assert str(valkey.port) not in str(logs)


async def test_two_processes_share_what_one_of_them_revoked_in_the_outage(valkey: Valkey, store: SessionStore) -> None:
    async with open_sessions(redis_url=valkey.url, region="qa", clock=now) as other:
        session = new_session(now())
        await store.put(session)
        assert isinstance(await answer(other, session.id), Session)
        valkey.pause()
        await asyncio.gather(store.revoke(session.id), other.put(session))
        valkey.resume()
        await healed(store)
        await healed(other)
        assert await answer(store, session.id) == Revoked(session.id)
        assert await answer(other, session.id) == Revoked(session.id)


async def test_a_kill_with_many_calls_under_way_fails_none_of_them(valkey: Valkey, store: SessionStore) -> None:
    sessions = [new_session(now()) for _ in range(300)]
    for session in sessions[:20]:
        await store.put(session)
    working = asyncio.gather(*(store.put(session) for session in sessions))
    await valkey.kill()
    assert await working == sessions
    await valkey.start()
    await healed(store)
    for session in sessions:
        assert isinstance(await answer(store, session.id), Session)


async def test_leaving_while_redis_is_paused_does_not_wait(valkey: Valkey) -> None:
    async with open_sessions(redis_url=valkey.url, region="qa", clock=now) as store:
        await work_goes_on(store)
        valkey.pause()
        await work_goes_on(store)
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    valkey.resume()
