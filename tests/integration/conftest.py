"""A year's data, for tests of what reads; and quiet, for tests of locks and look-ups."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from gateway import jobs
from tests.integration.year import years

__all__ = ["years"]


@pytest.fixture(scope="module")
def no_jobs() -> Iterator[None]:
    """The gateways of this process do no jobs meanwhile: those write to any bucket, and a test may fence or count."""

    async def nothing(*_: object) -> int:
        return 0

    with patch.object(jobs, "_round", nothing):
        yield
