"""A region's days and months, at their edges: ahead of UTC, behind it, and where midnight is skipped."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from core.shard_map import single_server
from gateway.marketplace.days import end_of, start_of, today

QATAR = single_server(host="127.0.0.1", port=1, database="d", user="u", password="p").regions[0]
CAIRO = replace(QATAR, time_zone="Africa/Cairo")
LIMA = replace(QATAR, time_zone="America/Lima")


def test_a_day_of_doha_begins_three_hours_before_utc() -> None:
    assert start_of(date(2026, 12, 1), QATAR) == datetime(2026, 11, 30, 21, tzinfo=UTC)
    assert end_of(date(2026, 11, 30), QATAR) == datetime(2026, 11, 30, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "doha", "lima"),
    [
        (datetime(2026, 11, 30, 20, 59, 59, tzinfo=UTC), date(2026, 11, 30), date(2026, 11, 30)),
        (datetime(2026, 11, 30, 21, 0, 0, tzinfo=UTC), date(2026, 12, 1), date(2026, 11, 30)),
        (datetime(2026, 12, 1, 4, 59, 59, tzinfo=UTC), date(2026, 12, 1), date(2026, 11, 30)),
        (datetime(2026, 12, 1, 5, 0, 0, tzinfo=UTC), date(2026, 12, 1), date(2026, 12, 1)),
    ],
)
def test_the_month_changes_at_the_regions_own_midnight(at: datetime, doha: date, lima: date) -> None:
    assert (today(QATAR, at.timestamp()), today(LIMA, at.timestamp())) == (doha, lima)


def test_where_clocks_skip_midnight_the_day_begins_when_they_do() -> None:
    assert start_of(date(2026, 4, 24), CAIRO) == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert end_of(date(2026, 4, 24), CAIRO) == datetime(2026, 4, 24, 21, tzinfo=UTC), "23 hours later"
