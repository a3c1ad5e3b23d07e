"""Customers on every shard: a test that asks for one runs for a +974 and for two +966 users, one on each of `sa`'s."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.http.asking import new_person
from tests.integration.http.stage import Stage
from tests.system import SHARDS, Client, Person, Phones, System


@pytest.fixture(params=SHARDS)
def shard(request: pytest.FixtureRequest) -> str:
    """Each shard of the system in turn."""
    return str(request.param)


@pytest.fixture
async def customer(gateway: Client, phones: Phones, shard: str) -> Person:
    """A new customer on the shard."""
    return await new_person(gateway, phones, shard)


@pytest.fixture(scope="session")
async def stage(gateway: Client, system: System, phones: Phones) -> Stage:
    """People of every role on every shard. What a test makes with them is not alone there."""
    return await Stage.opened(gateway, system, phones)


@pytest.fixture(scope="session")
async def other_gateway(system: System) -> AsyncIterator[Client]:
    """A second gateway in front of the same system, as another process would be."""
    async with system.gateway() as client:
        yield client
