"""A system of its own for tests that break it for good: after a promotion nothing is where the map says."""

from collections.abc import AsyncIterator

import pytest

from tests.system import Client, System, running_system


@pytest.fixture(scope="module")
async def shaken() -> AsyncIterator[System]:
    """The servers of one module's faults, migrated, with no data."""
    async with running_system() as running:
        yield running


@pytest.fixture(scope="module")
async def facade(shaken: System) -> AsyncIterator[Client]:
    """A gateway in front of `shaken`."""
    async with shaken.gateway() as client:
        yield client
