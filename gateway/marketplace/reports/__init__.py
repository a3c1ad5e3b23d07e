"""Reports for the region's staff, over all its shards: pages of JSON, or a CSV file made while it is sent."""

from typing import Any, Final

from core.limits import STREAM_DEADLINE_S
from gateway.marketplace.reports.lines import DELIVERIES, DISPUTES, ORDERS, DeliveryLine, DisputeLine, OrderLine
from gateway.marketplace.reports.period import ReportPeriod
from gateway.marketplace.reports.sums import GARAGES, REVENUE, GarageLine, RevenueLine
from gateway.marketplace.roles import ADMIN, STAFF
from gateway.operations import READ, Api, Call, Csv, Page, PartialItems

api = Api("/reports", tag="reports")

_FOR_STAFF: Final[dict[str, Any]] = {"intent": READ, "role": (STAFF, ADMIN), "longest_s": STREAM_DEADLINE_S}


@api.get("/orders", **_FOR_STAFF)
async def orders(call: Call, asked: ReportPeriod, page: Page) -> PartialItems[OrderLine] | Csv:
    """The orders made in a period, oldest first.

    Days are the region's own: in Doha 2026-11-24 begins at 21:00 UTC the day before. With `format=csv` everything comes
    as one file; a file that could not be completed breaks off, and your HTTP client reports an error: throw it away.
    """
    return await ORDERS.answer(call, asked, page)


@api.get("/revenue", **_FOR_STAFF)
async def revenue(call: Call, asked: ReportPeriod, page: Page) -> PartialItems[RevenueLine] | Csv:
    """What each day's orders came to: a line for every day of the period.

    The days are those on which orders were made. When a shard is missing the sums are without it, and `partial` says
    so; as CSV the report is then refused instead.
    """
    return await REVENUE.answer(call, asked, page)


@api.get("/disputes", **_FOR_STAFF)
async def disputes(call: Call, asked: ReportPeriod, page: Page) -> PartialItems[DisputeLine] | Csv:
    """The disputes opened in a period, oldest first, with how they were decided."""
    return await DISPUTES.answer(call, asked, page)


@api.get("/deliveries", **_FOR_STAFF)
async def deliveries(call: Call, asked: ReportPeriod, page: Page) -> PartialItems[DeliveryLine] | Csv:
    """The deliveries whose driver collected the part in a period, and how long they were on the way."""
    return await DELIVERIES.answer(call, asked, page)


@api.get("/garages", **_FOR_STAFF)
async def garages(call: Call, asked: ReportPeriod, page: Page) -> PartialItems[GarageLine] | Csv:
    """What each garage sold in a period and how its customers rated that: a line for every garage with an order."""
    return await GARAGES.answer(call, asked, page)
