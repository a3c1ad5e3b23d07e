"""One real system for the whole session: starting it takes seconds, so tests share it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from structlog.typing import EventDict, WrappedLogger

from tests import documented
from tests.system import Client, Phones, System, running_system


def _errors_only(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    if level not in ("error", "critical", "exception"):
        raise structlog.DropEvent
    return event


@pytest.fixture(autouse=True)
def quiet_logs() -> None:
    """Errors only: a failing test should not be looked for between requests' lines. `capture_logs` still sees all.

    For every test anew, because some configure logging as the program does.
    """
    structlog.reset_defaults()
    structlog.configure(processors=[_errors_only, structlog.dev.ConsoleRenderer(colors=False)])


@pytest.fixture(scope="session", autouse=True)
def nothing_undocumented() -> Iterator[None]:
    """Whatever a session's tests were answered, the API document tells of."""
    yield
    assert documented.undocumented() == []


@pytest.fixture(scope="session")
async def system() -> AsyncIterator[System]:
    """The servers, migrated, with no data."""
    async with running_system() as running:
        yield running


@pytest.fixture(scope="session")
async def gateway(system: System) -> AsyncIterator[Client]:
    """A gateway that tests share; one that changes anything about it takes `system.gateway()`."""
    async with system.gateway() as client:
        yield client


@pytest.fixture(scope="session")
def phones() -> Phones:
    """Phone numbers that no other test has."""
    return Phones()
