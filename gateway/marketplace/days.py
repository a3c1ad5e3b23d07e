"""Days and months as a region's own people count them: dates of its time zone, as instants of the database."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.shard_map.model import RegionSpec


def start_of(day: date, region: RegionSpec) -> datetime:
    """When a day begins in the region, in UTC. Where clocks go forward at midnight it begins when they do."""
    return datetime.combine(day, time.min, ZoneInfo(region.time_zone)).astimezone(UTC)


def end_of(day: date, region: RegionSpec) -> datetime:
    """When a day has ended in the region: when the next one begins."""
    return start_of(day + timedelta(days=1), region)


def today(region: RegionSpec, now: float) -> date:
    """The region's date at `now` (Unix seconds)."""
    return datetime.fromtimestamp(now, ZoneInfo(region.time_zone)).date()
