"""The values of a session store refuse what would be wrong later."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from core.sessions import Lifetimes
from tests.contract.sessions.sample import NOON, new_session


@pytest.mark.parametrize("field", ["created_at", "expires_at", "seen_at"])
def test_a_session_without_time_zones_is_refused(field: str) -> None:
    naive = datetime.now(UTC).replace(tzinfo=None)
    changes: dict[str, Any] = {field: naive}
    with pytest.raises(ValueError, match="aware"):
        replace(new_session(NOON), **changes)


@pytest.mark.parametrize(("idle_s", "recheck_s"), [(0, 1), (1, 0), (-1, 1)])
def test_lifetimes_are_positive(idle_s: float, recheck_s: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Lifetimes(idle_s=idle_s, recheck_s=recheck_s)
