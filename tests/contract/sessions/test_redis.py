"""What only Redis promises: keys, expiry, bounds, secrecy."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection

from core.sessions import Lifetimes, RedisStore, StoreUnreachable
from tests.contract.sessions.sample import StoppedClock, new_session
from tests.contract.sessions.valkey import Valkey

LIFETIMES = Lifetimes(idle_s=600, recheck_s=900)


@pytest.fixture
async def redis(valkey: Valkey, clock: StoppedClock) -> AsyncIterator[RedisStore]:
    async with RedisStore(valkey.url, region="qa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0) as store:
        yield store


@pytest.fixture
async def inside(valkey: Valkey) -> AsyncIterator[Redis]:
    """The server itself, asked without the store."""
    client = Redis.from_url(valkey.url, decode_responses=True)
    yield client
    await client.aclose()


async def test_keys_carry_the_region_and_end_with_the_session(
    redis: RedisStore, inside: Redis, clock: StoppedClock
) -> None:
    idle, short = new_session(clock()), new_session(clock(), lasts_s=60)
    await redis.put(idle)
    await redis.put(short)
    assert 590_000 < await inside.pttl(f"meridian:qa:session:{idle.id}") <= 600_000
    assert 50_000 < await inside.pttl(f"meridian:qa:session:{short.id}") <= 60_000
    await redis.revoke(idle.id)
    await redis.revoke_all(idle.user)
    assert 900_000 < await inside.pttl(f"meridian:qa:session:{idle.id}") <= 945_000
    assert 900_000 < await inside.pttl(f"meridian:qa:sessions-ended:{idle.user}") <= 945_000


async def test_regions_in_one_redis_do_not_see_each_other(
    redis: RedisStore, valkey: Valkey, clock: StoppedClock
) -> None:
    session = new_session(clock())
    await redis.put(session)
    async with RedisStore(valkey.url, region="sa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0) as other:
        assert await other.get(session.id) is None


async def test_what_cannot_be_read_is_not_known(redis: RedisStore, inside: Redis, clock: StoppedClock) -> None:
    session = new_session(clock())
    await redis.put(session)
    await inside.hset(f"meridian:qa:session:{session.id}", "session", '{"v": 2}')
    assert await redis.get(session.id) is None


async def test_many_more_calls_than_connections_are_all_answered(redis: RedisStore, clock: StoppedClock) -> None:
    sessions = [new_session(clock()) for _ in range(200)]
    assert await asyncio.gather(*(redis.put(session) for session in sessions)) == sessions


async def test_a_busy_redis_is_not_taken_for_a_dead_one(valkey: Valkey, clock: StoppedClock) -> None:
    session = new_session(clock())
    async with RedisStore(valkey.url, region="qa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0) as store:
        await store.put(session)
        answered = [0] * 48

        async def hammer(number: int) -> None:
            while min(answered) < 40:
                assert await store.get(session.id) == session
                answered[number] += 1

        await asyncio.gather(*(hammer(number) for number in range(48)), store.ping())
        assert max(answered) < 2 * min(answered)


async def test_scripts_forgotten_by_the_server_are_sent_again(
    redis: RedisStore, inside: Redis, clock: StoppedClock
) -> None:
    session = new_session(clock())
    await redis.put(session)
    await inside.script_flush()
    assert await redis.get(session.id) == session


async def test_health_says_only_what_was_just_seen(valkey: Valkey, clock: StoppedClock) -> None:
    now = 100.0
    async with RedisStore(
        valkey.url, region="qa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0, monotonic=lambda: now
    ) as store:
        assert not store.health().connected
        await store.ping()
        now += 4.0
        assert store.health().connected
        assert store.health().age_s == 4.0
        now += 1.5
        assert not store.health().connected


async def test_a_server_that_is_not_there_is_found_out_in_time(tmp_path: Path, clock: StoppedClock) -> None:
    async with RedisStore(Valkey(tmp_path).url, region="qa", clock=clock, lifetimes=LIFETIMES) as store:
        began = time.monotonic()
        with pytest.raises(StoreUnreachable):
            await store.ping()
        assert time.monotonic() - began < 1.0
        assert store.health().connected is False
        assert store.health().detail == "ConnectionError"


async def test_a_full_server_is_not_called_reachable(redis: RedisStore, inside: Redis) -> None:
    await inside.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnreachable, match="OutOfMemoryError"):
            await redis.ping()
    finally:
        await inside.config_set("maxmemory", "0")
    await redis.ping()


async def test_a_wrong_password_is_unreachable_and_never_shown(tmp_path: Path, clock: StoppedClock) -> None:
    server = Valkey(tmp_path, password="right")
    await server.start()
    try:
        url = server.url.replace("right", "wr0ng-secret")
        async with RedisStore(url, region="qa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0) as store:
            with pytest.raises(StoreUnreachable) as failure:
                await store.ping()
            assert "secret" not in f"{failure.value}{failure.value.__cause__}{store.health()}{store!r}"
        async with RedisStore(server.url, region="qa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0) as store:
            await store.ping()
    finally:
        await server.kill()


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "http://:secret@localhost",
        "redis://u:se/cret@localhost:6379",
        "redis://:secret@localhost:port",
        "redis://localhost?no_such_option=secret",
        "redis://localhost?socket_timeout=secret",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str, clock: StoppedClock) -> None:
    with pytest.raises(ValueError, match="Redis URL cannot be used") as refused:
        RedisStore(url, region="qa", clock=clock, lifetimes=LIFETIMES)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_the_url_cannot_loosen_a_bound_and_may_ask_for_tls(clock: StoppedClock) -> None:
    url = "rediss://localhost?socket_timeout=60&max_connections=9999"
    pool = RedisStore(url, region="qa", clock=clock, lifetimes=LIFETIMES)._pool
    assert pool.connection_class is SSLConnection
    assert pool.connection_kwargs["socket_timeout"] == 0.2
    assert pool.max_connections == 17
