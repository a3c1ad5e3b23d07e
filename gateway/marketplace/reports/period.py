"""What a report is asked for: days of the region, both included, as JSON pages or as one CSV file."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from core.errors import FieldError, Invalid
from core.shard_map.model import RegionSpec
from gateway.marketplace.days import end_of, start_of
from gateway.operations import Input

DAYS_MAX: Final = 366
_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)


def _day(text: Any) -> date:
    """Only what RFC 3339 calls a full-date: pydantic's own dates also come from numbers."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError('must be a day like "2026-11-24"')
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such day") from None
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"must be from {_FIRST} to {_LAST}")
    return day


Day = Annotated[
    date, BeforeValidator(_day), Field(examples=["2026-11-24"], json_schema_extra={"pattern": "^20[0-9]{2}-"})
]


class ReportPeriod(Input):
    """Days in the region's time zone, `from` and `to` included, and how they are answered."""

    from_: Day = Field(alias="from", description="The first day, in the region's time zone.")
    to: Day = Field(description=f"The last day, which is included; at most {DAYS_MAX} days in all.")
    format: Literal["json", "csv"] = Field(
        "json", description="`csv`: one file of everything; `limit` and `cursor` then mean nothing."
    )


@dataclass(frozen=True, slots=True)
class Period:
    """Some days of a region."""

    region: RegionSpec
    first: date
    last: date

    @property
    def starts(self) -> datetime:
        """When the first day begins."""
        return start_of(self.first, self.region)

    @property
    def ends(self) -> datetime:
        """When the last day has ended."""
        return end_of(self.last, self.region)

    def days(self, *, after: date | None, limit: int) -> list[date]:
        """The first `limit` days, of all or of those after a day."""
        first = self.first if after is None else max(self.first, after + timedelta(days=1))
        return [first + timedelta(days=n) for n in range(min(limit, (self.last - first).days + 1))]


def period_of(asked: ReportPeriod, region: RegionSpec) -> Period:
    """The days asked for. Raises Invalid where they are none, or too many."""
    count = (asked.to - asked.from_).days + 1
    if count < 1:
        raise Invalid([FieldError("to", "must not be before from")])
    if count > DAYS_MAX:
        raise Invalid([FieldError("to", f"must be at most {DAYS_MAX} days from the first, it is {count}")])
    return Period(region, asked.from_, asked.to)
