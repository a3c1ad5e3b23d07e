"""The stores that keep the contract: memory, Redis, and the fallback over each, on either side of a failure."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.sessions import FallbackStore, Lifetimes, MemoryStore, RedisStore, SessionStore
from tests.contract.sessions.sample import StoppedClock, Switched
from tests.contract.sessions.valkey import Valkey

LIFETIMES = Lifetimes(idle_s=600, recheck_s=900)


@pytest.fixture(scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Valkey]:
    server = Valkey(Path(tmp_path_factory.mktemp("valkey")))
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture(params=["memory", "redis", "fallback over memory", "fallback over redis", "fallen back"])
async def store(request: pytest.FixtureRequest, valkey: Valkey, clock: StoppedClock) -> AsyncIterator[SessionStore]:
    memory = MemoryStore(clock=clock, lifetimes=LIFETIMES)
    redis = RedisStore(valkey.url, region="qa", clock=clock, lifetimes=LIFETIMES, timeout_s=2.0)
    primary = Switched(MemoryStore(clock=clock, lifetimes=LIFETIMES))
    primary.is_down = request.param == "fallen back"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(redis)
        match request.param:
            case "memory":
                yield memory
            case "redis":
                yield redis
            case "fallback over redis":
                yield await stack.enter_async_context(FallbackStore(redis, memory, region="qa", clock=clock))
            case _:
                yield await stack.enter_async_context(FallbackStore(primary, memory, region="qa", clock=clock))
