"""One report: what a line of it is, how lines are read in pages, and how both answers are made of them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from core.database.statement import Query
from gateway.marketplace.reports.period import Period, ReportPeriod, period_of
from gateway.operations import Call, Csv, Output, Page, PartialItems

Line = TypeVar("Line", bound=Output)


@dataclass(frozen=True, slots=True)
class Report(Generic[Line]):
    """`lines(period, after, limit)` reads a shard's first lines after the key `after`, in the order of `key`.

    `combine`: how the parts of one line that lie on several shards are put together.
    """

    name: str
    line: type[Line]
    lines: Callable[[Period, Any, int], Query[Line]]
    key: Callable[[Line], Any]
    combine: Callable[[Line, Line], Line] | None = None

    async def answer(self, call: Call, asked: ReportPeriod, page: Page) -> PartialItems[Line] | Csv:
        """The report of the call's region, as asked for."""
        period = period_of(asked, call.region.spec)
        if asked.format == "csv":
            name = f"{self.name}-{period.region.name}-{period.first}-{period.last}.csv"
            return Csv(name, self.columns, self._batches(call, period))
        query = self.lines(period, page.after, page.fetch)
        return await call.across(query, page=page, key=self.key, combine=self.combine)

    @property
    def columns(self) -> list[str]:
        """The names of a line's fields: the CSV's header."""
        return [*self.line.model_fields, *self.line.model_computed_fields]

    async def _batches(self, call: Call, period: Period) -> AsyncGenerator[list[dict[str, object]], None]:
        def query_of(after: Any, limit: int) -> Query[Line]:
            return self.lines(period, after, limit)

        async with aclosing(call.whole(query_of, key=self.key, combine=self.combine)) as batches:
            async for lines in batches:
                yield [line.model_dump(mode="json") for line in lines]


def since(period: Period, after: Any) -> tuple[datetime, UUID]:
    """Where a list ordered by (time, id) goes on: after the last line seen, but not before the period's beginning."""
    beginning = (period.starts, UUID(int=0))
    return beginning if after is None else max(beginning, (datetime.fromisoformat(after[0]), UUID(after[1])))
