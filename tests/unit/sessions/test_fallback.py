"""The fallback rule over a primary that can be switched off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from core.sessions import FallbackStore, Lifetimes, MemoryStore, Revoked, Rhythm, open_sessions
from tests.contract.sessions.sample import StoppedClock, Switched, new_session
from tests.contract.sessions.valkey import until

LIFETIMES = Lifetimes(idle_s=600, recheck_s=900)
WARNING = "Falling back to in-memory session store"


@dataclass
class Bench:
    store: FallbackStore
    primary: Switched
    clock: StoppedClock

    async def heal(self) -> None:
        self.primary.is_down = False
        await until(lambda: not self.store.health().degraded, what="healed")


@asynccontextmanager
async def bench(*, down: bool = False) -> AsyncIterator[Bench]:
    clock = StoppedClock()
    primary = Switched(MemoryStore(clock=clock, lifetimes=LIFETIMES))
    primary.is_down = down
    memory = MemoryStore(clock=clock, lifetimes=LIFETIMES)
    rhythm = Rhythm(interval_s=0.01, first_s=0.005, longest_s=0.01)
    async with FallbackStore(primary, memory, region="qa", clock=clock, rhythm=rhythm) as store:
        yield Bench(store, primary, clock)


async def test_down_at_the_start_is_a_fallback_from_the_start() -> None:
    with structlog.testing.capture_logs() as logs:
        async with bench(down=True) as b:
            health = b.store.health()
            assert (health.store, health.connected, health.degraded) == ("memory", False, True)
            session = new_session(b.clock())
            assert await b.store.put(session) == session
            assert await b.store.get(session.id) == session
            assert b.store.health().pending == 1
    assert [line["event"] for line in logs] == [WARNING]


async def test_each_change_of_state_is_logged_once() -> None:
    with structlog.testing.capture_logs() as logs:
        async with bench() as b:
            b.primary.is_down = True
            for _ in range(5):
                await b.store.get(uuid4())
            await b.heal()
    assert [(line["log_level"], line["event"], line["region"]) for line in logs] == [
        ("warning", WARNING, "qa"),
        ("info", "Session store is back on Redis", "qa"),
    ]


async def test_after_the_first_failure_calls_do_not_touch_the_primary() -> None:
    clock = StoppedClock()
    primary = Switched(MemoryStore(clock=clock, lifetimes=LIFETIMES))
    store = FallbackStore(primary, MemoryStore(clock=clock, lifetimes=LIFETIMES), region="qa", clock=clock)
    primary.is_down = True
    await store.get(uuid4())
    reached = primary.calls
    for _ in range(10):
        await store.get(uuid4())
        await store.put(new_session(clock()))
    assert primary.calls == reached


async def test_a_failed_call_wakes_the_probe() -> None:
    clock = StoppedClock()
    primary = Switched(MemoryStore(clock=clock, lifetimes=LIFETIMES))
    memory = MemoryStore(clock=clock, lifetimes=LIFETIMES)
    rhythm = Rhythm(interval_s=3600, first_s=0.005, longest_s=0.01)
    async with FallbackStore(primary, memory, region="qa", clock=clock, rhythm=rhythm) as store:
        primary.is_down = True
        await store.get(uuid4())
        await Bench(store, primary, clock).heal()


async def test_what_happened_meanwhile_is_written_to_the_primary() -> None:
    async with bench() as b:
        ended, family = new_session(b.clock()), new_session(b.clock())
        await b.store.put(ended)
        await b.store.put(family)
        b.primary.is_down = True
        made = new_session(b.clock())
        await b.store.put(made)
        await b.store.revoke(ended.id)
        await b.store.revoke_all(family.user)
        await b.heal()
        assert await b.primary.inner.get(made.id) == made
        assert await b.primary.inner.get(ended.id) == Revoked(ended.id)
        assert await b.primary.inner.get(family.id) == Revoked(family.id)
        assert b.store.health().pending == 0


async def test_uses_made_meanwhile_put_off_the_idle_end() -> None:
    async with bench(down=True) as b:
        session = new_session(b.clock())
        await b.store.put(session)
        b.clock.forward(seconds=500)
        await b.store.get(session.id)
        await b.heal()
        b.clock.forward(seconds=350)
        assert await b.store.get(session.id) is not None


async def test_a_second_outage_does_not_remember_the_first() -> None:
    async with bench(down=True) as b:
        session = new_session(b.clock())
        await b.store.put(session)
        await b.heal()
        await b.store.revoke(session.id)
        b.primary.is_down = True
        assert await b.store.get(session.id) is None


async def test_a_revocation_made_while_the_primary_is_being_told_gets_there() -> None:
    async with bench(down=True) as b:
        being_told, go_on = asyncio.Event(), asyncio.Event()

        async def held_up() -> None:
            being_told.set()
            await go_on.wait()

        b.primary.before_put = held_up
        session = new_session(b.clock())
        await b.store.put(session)
        b.primary.is_down = False
        await being_told.wait()
        await b.store.revoke(session.id)
        assert await b.store.get(session.id) == Revoked(session.id)
        go_on.set()
        await b.heal()
        assert await b.primary.inner.get(session.id) == Revoked(session.id)


async def test_a_primary_that_fails_while_being_told_is_told_the_rest_later() -> None:
    async with bench(down=True) as b:
        sessions = [new_session(b.clock()) for _ in range(40)]
        for session in sessions:
            await b.store.put(session)
        puts = 0

        async def fail_at_the_twentieth() -> None:
            nonlocal puts
            puts += 1
            b.primary.is_down |= puts == 20

        b.primary.before_put = fail_at_the_twentieth
        b.primary.is_down = False
        await until(lambda: b.primary.is_down, what="failed half-way")
        assert b.store.health().degraded
        await b.heal()
        assert [await b.primary.inner.get(session.id) for session in sessions] == sessions


async def test_an_unexpected_error_does_not_end_the_probe() -> None:
    async with bench() as b:
        failures = 0

        async def break_twice() -> None:
            nonlocal failures
            failures += 1
            if failures <= 2:
                raise LookupError("secret")

        with structlog.testing.capture_logs() as logs:
            b.primary.before_ping = break_twice
            await until(lambda: b.store.health().degraded, what="noticed")
            await b.heal()
        assert "secret" not in str(logs)
        assert logs[0]["reason"] == "LookupError"


async def test_health_says_since_when() -> None:
    clock, now = StoppedClock(), 50.0
    primary = Switched(MemoryStore(clock=clock, lifetimes=LIFETIMES))
    memory = MemoryStore(clock=clock, lifetimes=LIFETIMES)
    store = FallbackStore(primary, memory, region="qa", clock=clock, monotonic=lambda: now)
    primary.is_down = True
    began = clock()
    await store.revoke(UUID(int=1))
    now += 30
    clock.forward(seconds=30)
    assert store.health().fallback_since == began
    assert store.health().pending == 1


async def test_without_a_url_there_is_memory() -> None:
    clock = StoppedClock()
    async with open_sessions(redis_url=None, region="qa", clock=clock, idle_s=60) as store:
        assert isinstance(store, MemoryStore)
        session = new_session(clock())
        await store.put(session)
        assert await store.get(session.id) == session
        clock.forward(seconds=60)
        assert await store.get(session.id) is None
