"""The script on a real Valkey: the model of the ledger's tests is what it does; and a limiter that loses its Redis."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from core.limiter import MICROSECONDS, Limit, Limiter, Limiters
from core.limiter.ledger import Owed
from core.limiter.redis import RedisTats, StoreUnreachable
from core.limits import LIMITER_EXCHANGE_KEYS_MAX
from tests.contract.sessions.valkey import Valkey, until
from tests.system import until as soon

LIMIT = Limit(10, 600 * MICROSECONDS)
SECOND = MICROSECONDS


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    server = Valkey(tmp_path)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@pytest.fixture
async def tats(valkey: Valkey) -> AsyncIterator[RedisTats]:
    async with RedisTats(valkey.url, region="qa", timeout_s=2.0) as opened:
        yield opened


class Events:
    """What a limiter told, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, details: dict[str, object]) -> None:
        self.names.append(name)


def limiter(shared: RedisTats | None, events: Events | None = None) -> Limiter:
    return Limiter(
        shared, region="qa", clock=time.monotonic, wall=lambda: datetime.now(UTC), on_event=events or Events()
    )


def close_to(found: int, expected: int) -> bool:
    """Within two seconds: the servers' clock goes on."""
    return expected - 2 * SECOND <= found <= expected


async def test_costs_add_up_within_the_cap_and_each_key_has_its_own(tats: RedisTats) -> None:
    first = await tats.exchange([Owed("a", 100 * SECOND, 250 * SECOND), Owed("b", 7 * SECOND, 250 * SECOND)])
    second = await tats.exchange([Owed("a", 100 * SECOND, 250 * SECOND), Owed("b", 0, 0)])
    third = await tats.exchange([Owed("a", 100 * SECOND, 250 * SECOND)])
    found = [*first, *second, *third]
    expected = [100, 7, 200, 7, 250]
    assert all(close_to(one, other * SECOND) for one, other in zip(found, expected, strict=True)), found


async def test_a_clock_set_back_or_a_limit_made_narrower_costs_the_cap_at_most(tats: RedisTats, valkey: Valkey) -> None:
    async with Redis.from_url(valkey.url) as client:
        await client.set("meridian:qa:limit:a", int((time.time() + 86_400) * SECOND))
    (ahead,) = await tats.exchange([Owed("a", SECOND, 20 * SECOND)])
    assert close_to(ahead, 20 * SECOND)


async def test_a_key_lives_as_long_as_its_tat_and_a_question_makes_none(tats: RedisTats, valkey: Valkey) -> None:
    assert await tats.exchange([Owed("asked", 0, 0), Owed("told", 90 * SECOND, 90 * SECOND)]) != []
    async with Redis.from_url(valkey.url) as client:
        assert await client.keys("*") == [b"meridian:qa:limit:told"]
        assert 80_000 < await client.pttl("meridian:qa:limit:told") <= 90_000


async def test_as_many_keys_as_one_exchange_may_have_are_one_round_trip(tats: RedisTats) -> None:
    owed = [Owed(f"k{number}", SECOND, SECOND) for number in range(LIMITER_EXCHANGE_KEYS_MAX)]
    assert len(await tats.exchange(owed)) == LIMITER_EXCHANGE_KEYS_MAX


async def test_a_key_that_holds_nonsense_counts_as_none(tats: RedisTats, valkey: Valkey) -> None:
    async with Redis.from_url(valkey.url) as client:
        await client.set("meridian:qa:limit:a", "nonsense")
    assert await tats.exchange([Owed("a", SECOND, SECOND)]) == [SECOND]


async def test_nothing_to_tell_finds_out_whether_the_store_answers(tats: RedisTats, valkey: Valkey) -> None:
    assert await tats.exchange([]) == []
    await valkey.kill()
    with pytest.raises(StoreUnreachable):
        await tats.exchange([])


async def test_a_full_store_is_no_store(tats: RedisTats, valkey: Valkey) -> None:
    async with Redis.from_url(valkey.url) as client:
        await client.config_set("maxmemory", "1")
    with pytest.raises(StoreUnreachable):
        await tats.exchange([])


async def test_a_url_that_cannot_be_used_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="cannot be used") as caught:
        RedisTats("http://:a-password@127.0.0.1", region="qa")
    assert "a-password" not in str(caught.value)


async def test_a_limit_holds_over_two_processes(valkey: Valkey) -> None:
    async with (
        RedisTats(valkey.url, region="qa") as one,
        RedisTats(valkey.url, region="qa") as other,
        limiter(one) as first,
        limiter(other) as second,
    ):
        assert all(first.admit("u", LIMIT).admitted for _ in range(10))

        extra = 0

        async def heard() -> bool:
            nonlocal extra
            refused = not second.admit("u", LIMIT).admitted
            extra += not refused
            return refused

        await soon(heard, what="the other process has heard")
        assert extra < 10, "less than another whole count"
        assert first.health().shared


async def test_a_mark_is_shared(valkey: Valkey) -> None:
    async with (
        RedisTats(valkey.url, region="qa") as one,
        RedisTats(valkey.url, region="qa") as other,
        limiter(one) as first,
        limiter(other) as second,
    ):
        first.mark("known", 3600)
        await until(lambda: second.is_marked("known"), what="the other process knows")


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_without_its_redis_it_decides_alone_says_so_once_and_heals_by_itself(valkey: Valkey, fault: str) -> None:
    events = Events()
    async with RedisTats(valkey.url, region="qa") as shared, limiter(shared, events) as own:
        await until(lambda: own.health().shared, what="shared")
        await valkey.kill() if fault == "killed" else valkey.pause()
        assert sum(own.admit("u", LIMIT).admitted for _ in range(15)) == 10
        await until(lambda: own.health().degraded, deadline_s=15, what="not shared")
        health = own.health()
        assert (health.shared, health.since is not None, health.configured) == (False, True, True)
        assert not own.admit("u", LIMIT).admitted
        began = time.monotonic()
        assert own.admit("other", LIMIT).admitted
        assert time.monotonic() - began < 1, "it waits for nobody"
        await valkey.start() if fault == "killed" else valkey.resume()
        await until(lambda: own.health().shared, deadline_s=15, what="shared again")
        assert (own.health().degraded, events.names) == (False, ["limits_not_shared", "limits_shared"])
        async with RedisTats(valkey.url, region="qa") as asking:

            async def told() -> bool:
                (ahead,) = await asking.exchange([Owed("u", 0, 0)])
                return ahead > 400 * SECOND

            await soon(told, what="what was admitted meanwhile is told")


async def test_limiters_of_regions_are_kept_as_long_as_their_redis_is(valkey: Valkey) -> None:
    limiters = Limiters(clock=time.monotonic, wall=lambda: datetime.now(UTC), on_event=Events())
    await limiters.adopt({"qa": valkey.url, "sa": None})
    qa, sa = limiters.of("qa"), limiters.of("sa")
    assert (qa.health().configured, sa.health().configured, sa.health().degraded) == (True, False, False)
    await limiters.adopt({"qa": valkey.url, "sa": valkey.url, "ae": None})
    assert limiters.of("qa") is qa
    assert limiters.of("sa") is not sa
    with pytest.raises(ValueError, match="cannot be used"):
        await limiters.adopt({"ae": "nonsense"})
    assert limiters.of("qa") is qa
    await limiters.adopt({"qa": valkey.url})
    assert limiters.of("sa") is qa, "one that has left is counted with another"
    await limiters.close()
