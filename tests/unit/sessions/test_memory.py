"""What only memory promises: its bound, and that nothing is left behind."""

from core.sessions import Lifetimes, MemoryStore, Revoked
from tests.contract.sessions.sample import NOON, StoppedClock, new_session

LIFETIMES = Lifetimes(idle_s=600, recheck_s=900)


async def test_the_least_recently_used_goes_first() -> None:
    store = MemoryStore(clock=StoppedClock(), lifetimes=LIFETIMES, sessions_max=2)
    first, second, third = (new_session(NOON) for _ in range(3))
    await store.put(first)
    await store.put(second)
    await store.get(first.id)
    await store.put(third)
    assert [await store.get(session.id) for session in (first, second, third)] == [first, None, third]


async def test_sessions_ended_everywhere_stay_ended_when_the_mark_is_pushed_out() -> None:
    store = MemoryStore(clock=StoppedClock(), lifetimes=LIFETIMES, sessions_max=2)
    session = new_session(NOON)
    await store.put(session)
    await store.revoke_all(session.user)
    for _ in range(5):
        await store.revoke_all(new_session(NOON).user)
    assert await store.get(session.id) == Revoked(session.id)


async def test_nothing_is_left_of_what_ended() -> None:
    clock = StoppedClock()
    store = MemoryStore(clock=clock, lifetimes=LIFETIMES)
    session = new_session(NOON)
    await store.put(session)
    clock.forward(hours=1)
    await store.get(session.id)
    assert len(store) == 0
    assert store._of_user == {}


async def test_memory_alone_is_healthy() -> None:
    health = MemoryStore(clock=StoppedClock(), lifetimes=LIFETIMES).health()
    assert (health.store, health.connected, health.degraded) == ("memory", True, False)
    assert health.detail == "redis not configured"
