"""The dashboard: what somebody sees first, in a few figures; which ones depends on who they are."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, RootModel

from core.database.statement import Query, Row
from core.ids import placement_of
from core.shard_map.model import RegionSpec
from gateway.marketplace.days import end_of, start_of, today
from gateway.marketplace.money import Money
from gateway.marketplace.orders_standing import LIVE, STANDING
from gateway.marketplace.roles import ADMIN, CUSTOMER, GARAGE, STAFF
from gateway.operations import READ, Api, Call, Output

api = Api("/dashboard", tag="dashboard")


class CustomerDashboard(Output):
    """A customer's own: `deliveries` are on their way, `to_confirm` have arrived and wait for a word."""

    role: Literal["customer"] = "customer"
    active_requests: int
    active_orders: int
    deliveries: int
    to_confirm: int


class RegionalDashboard(Output):
    """Figures over all shards of the region: those in `missing` did not answer and are not counted."""

    currency: str
    partial: bool
    missing: list[str]


class GarageDashboard(RegionalDashboard):
    """A garage's own. `revenue_this_month`: its payout of the month's orders that stand (`GET /reports/revenue`)."""

    role: Literal["garage"] = "garage"
    pending_bids: int
    accepted_this_month: int
    active_orders: int
    revenue_this_month: Money


class StaffDashboard(RegionalDashboard):
    """The region's. `orders`: those under way, by status. Revenue: the totals of the orders that stand.

    An order stands when it was paid for, and neither cancelled nor refunded.
    """

    role: Literal["staff"] = "staff"
    active_requests: int
    pending_bids: int
    orders: dict[str, int]
    orders_today: int
    orders_this_month: int
    revenue_today: Money
    revenue_this_month: Money
    open_disputes: int
    pending_reviews: int


class Dashboard(
    RootModel[Annotated[CustomerDashboard | GarageDashboard | StaffDashboard, Field(discriminator="role")]]
):
    """Figures for the caller's role."""


def _of_customer(customer: UUID) -> Query[CustomerDashboard]:
    return Query(
        f"""SELECT (SELECT count(*)::int FROM marketplace.request WHERE bucket = $1 AND customer = $2
                        AND status = 'active' AND expires_at > now()) AS active_requests,
                count(*) FILTER (WHERE {LIVE})::int AS active_orders,
                count(*) FILTER (WHERE status IN ('collected', 'in_transit'))::int AS deliveries,
                count(*) FILTER (WHERE status = 'delivered')::int AS to_confirm
            FROM marketplace.orders WHERE bucket = $1 AND customer = $2""",
        (placement_of(customer).bucket, customer),
        lambda row: CustomerDashboard.model_validate(dict(row)),
    )


def _of_garage(garage: UUID, region: RegionSpec, now: float) -> Query[Row]:
    """A shard's part of a garage's figures; `revenue` is a Decimal."""
    return Query(
        f"""SELECT (SELECT count(*) FROM marketplace.bid WHERE garage = $1 AND status = 'pending') AS pending_bids,
                (SELECT count(*) FROM marketplace.orders WHERE garage = $1 AND {LIVE}) AS active_orders,
                count(*) AS accepted_this_month,
                coalesce(sum(garage_payout) FILTER (WHERE {STANDING}), 0) AS revenue_this_month
            FROM marketplace.orders WHERE garage = $1 AND created_at >= $2 AND created_at < $3""",
        (garage, start_of(today(region, now).replace(day=1), region), end_of(today(region, now), region)),
        dict,
    )


def _of_region(region: RegionSpec, now: float) -> Query[Row]:
    """A shard's part of the region's figures. Today's end is named too: without it a month is planned as all time."""
    day = today(region, now)
    return Query(
        f"""SELECT (SELECT count(*) FROM marketplace.request WHERE status = 'active' AND expires_at > now())
                    AS active_requests,
                (SELECT count(*) FROM marketplace.bid WHERE status = 'pending') AS pending_bids,
                (SELECT coalesce(jsonb_object_agg(status, n), '{{}}') FROM (SELECT status, count(*) AS n
                    FROM marketplace.orders WHERE {LIVE} GROUP BY status) AS live) AS orders,
                (SELECT count(*) FROM marketplace.dispute WHERE status = 'open') AS open_disputes,
                (SELECT count(*) FROM marketplace.review WHERE status = 'pending') AS pending_reviews,
                count(*) FILTER (WHERE created_at >= $2) AS orders_today, count(*) AS orders_this_month,
                coalesce(sum(total) FILTER (WHERE created_at >= $2 AND {STANDING}), 0) AS revenue_today,
                coalesce(sum(total) FILTER (WHERE {STANDING}), 0) AS revenue_this_month
            FROM marketplace.orders WHERE created_at >= $1 AND created_at < $3""",
        (start_of(day.replace(day=1), region), start_of(day, region), end_of(day, region)),
        dict,
    )


async def _added(call: Call, query: Query[Row]) -> dict[str, Any]:
    """The figures of all shards, added up, and which were missing."""
    rows, missing = await call.of_each_shard(query)
    figures: dict[str, Any] = {"currency": call.region.spec.currency, "partial": bool(missing), "missing": missing}
    for name in rows[0]:
        if name == "orders":
            statuses = sorted({status for row in rows for status in row["orders"]})
            figures["orders"] = {status: sum(row["orders"].get(status, 0) for row in rows) for status in statuses}
        else:
            total = sum(row[name] for row in rows)
            figures[name] = f"{total:.{call.region.spec.minor_unit}f}" if name.startswith("revenue") else total
    return figures


@api.get("", intent=READ, role=(CUSTOMER, GARAGE, STAFF, ADMIN))
async def dashboard(call: Call) -> Dashboard:
    """What waits for you now, and what this month has brought.

    `role` says which figures these are; admins see the staff's. "Today" and "this month" are the region's own: they
    begin at midnight in Doha or Riyadh, not in UTC.
    """
    user, region, now = call.user, call.region.spec, call.runtime.now()
    if user.role == CUSTOMER:
        return Dashboard((await call.home.read(_of_customer(user.id)))[0])
    if user.role == GARAGE:
        return Dashboard(GarageDashboard(**await _added(call, _of_garage(user.id, region, now))))
    return Dashboard(StaffDashboard(**await _added(call, _of_region(region, now))))
