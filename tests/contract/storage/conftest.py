"""Every kind of store, one after the other."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.storage.world import KINDS, REMOTE, World, running_world


@pytest.fixture(scope="module", params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The store, opened; a test that stops its server starts it again."""
    async with running_world(request.param, tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module", params=REMOTE)
async def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Only the kinds that have a server."""
    async with running_world(request.param, tmp_path_factory.mktemp("store")) as running:
        yield running
