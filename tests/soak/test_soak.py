"""A third of a minute of the soak, always with the same faults; `make soak` is longer and different every time."""

import pytest

from tests.soak.report import text
from tests.soak.run import soak

SECONDS, SEED = 20.0, 2171  # a gateway killed, a promotion and a lagging replica come first
KINDS_OF_DEPENDENCIES = 3


@pytest.mark.timeout(300)
async def test_no_acknowledged_write_is_lost_or_doubled_whatever_fails() -> None:
    summary = await soak(SECONDS, SEED, dependencies=KINDS_OF_DEPENDENCIES)
    print(text(summary))
    assert summary["violations"] == []
    assert summary["acknowledged_writes"] > 200
    assert len({fault["dependency"] for fault in summary["faults"]}) >= KINDS_OF_DEPENDENCIES
