"""The reports that add up: a line a day, a line a garage. A line's parts may lie on several shards of the region."""

from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from pydantic import Field, computed_field

from core.database.statement import Query
from gateway.marketplace.days import end_of, start_of
from gateway.marketplace.money import Money, shown
from gateway.marketplace.orders_standing import STANDING
from gateway.marketplace.reports.period import Period
from gateway.marketplace.reports.report import Report
from gateway.operations import Output

L = TypeVar("L", bound=Output)


class RevenueLine(Output):
    """The orders made on one day. All but `refunded` count those that stand: paid for, not cancelled, not refunded.

    `gross` is `delivery_fees`, `platform_fee` and `garage_payout` together. `refunded` is what was given back of any
    order of that day, whatever became of it.
    """

    day: date
    orders: int
    gross: Money
    platform_fee: Money
    garage_payout: Money
    delivery_fees: Money
    refunded: Money
    currency: str


def _sum(column: str, unit: str, where: str = "") -> str:
    return shown(f"coalesce(sum({column}){f' FILTER (WHERE {where})' if where else ''}, 0)", unit)


_REVENUE = f"""SELECT d.day, $4::text AS currency, s.* FROM unnest($1::date[], $2::timestamptz[], $3::timestamptz[])
        AS d (day, starts, ends)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE {STANDING})::int AS orders, {_sum("total", "$5::int", STANDING)} AS gross,
            {_sum("platform_fee", "$5::int", STANDING)} AS platform_fee,
            {_sum("garage_payout", "$5::int", STANDING)} AS garage_payout,
            {_sum("delivery_fee", "$5::int", STANDING)} AS delivery_fees, {_sum("refunded", "$5::int")} AS refunded
        FROM marketplace.orders WHERE created_at >= d.starts AND created_at < d.ends) AS s
    ORDER BY d.day"""


def _revenue(period: Period, after: Any, limit: int) -> Query[RevenueLine]:
    """Only the days of the page are added up; a day without orders has its line too."""
    region = period.region
    days = period.days(after=None if after is None else date.fromisoformat(after), limit=limit)
    return Query(
        _REVENUE,
        (
            days,
            [start_of(day, region) for day in days],
            [end_of(day, region) for day in days],
            region.currency,
            region.minor_unit,
        ),
        lambda row: RevenueLine.model_validate(dict(row)),
    )


class GarageLine(Output):
    """A garage's orders of the period, and what their customers' published reviews say.

    `gross` and `payout` count the orders that stand: paid for, not cancelled, not refunded.
    """

    garage_id: UUID
    garage_name: str
    orders: int
    completed: int
    cancelled: int
    gross: Money
    payout: Money
    currency: str
    reviews: int
    stars: int = Field(description="Of all those reviews together.")

    @computed_field(description="Stars a review, to two decimals; null without reviews.")  # type: ignore[prop-decorator]
    @property
    def rating(self) -> float | None:
        """The average of the reviews."""
        return round(self.stars / self.reviews, 2) if self.reviews else None


# The rating is looked up order by order: a join would tempt the planner to read all reviews there are.
_GARAGES = f"""SELECT garage AS garage_id, max(garage_name) AS garage_name, $5::text AS currency,
        count(*)::int AS orders, count(*) FILTER (WHERE status = 'completed')::int AS completed,
        count(*) FILTER (WHERE status IN ('cancelled_by_customer', 'cancelled_by_garage'))::int AS cancelled,
        {_sum("total", "$6::int", STANDING)} AS gross, {_sum("garage_payout", "$6::int", STANDING)} AS payout,
        count(rating)::int AS reviews, coalesce(sum(rating), 0)::int AS stars
    FROM (SELECT o.garage, o.garage_name, o.status, o.total, o.garage_payout,
              (SELECT r.rating FROM marketplace.review r
               WHERE r.bucket = o.bucket AND r.order_id = o.id AND r.status = 'published') AS rating
          FROM marketplace.orders o WHERE o.garage > $1 AND o.created_at >= $2 AND o.created_at < $3) AS o
    GROUP BY garage ORDER BY garage LIMIT $4"""


def _garages(period: Period, after: Any, limit: int) -> Query[GarageLine]:
    region = period.region
    return Query(
        _GARAGES,
        (after or UUID(int=0), period.starts, period.ends, limit, region.currency, region.minor_unit),
        lambda row: GarageLine.model_validate(dict(row)),
    )


def _added(one: L, other: L, *fields: str) -> L:
    """A line with these fields of both added up: counts, and amounts without a rounding."""

    def added(a: Any, b: Any) -> Any:
        return str(Decimal(a) + Decimal(b)) if isinstance(a, str) else a + b

    return one.model_copy(update={name: added(getattr(one, name), getattr(other, name)) for name in fields})


def _days_added(one: RevenueLine, other: RevenueLine) -> RevenueLine:
    return _added(one, other, "orders", "gross", "platform_fee", "garage_payout", "delivery_fees", "refunded")


def _garages_added(one: GarageLine, other: GarageLine) -> GarageLine:
    both = _added(one, other, "orders", "completed", "cancelled", "gross", "payout", "reviews", "stars")
    return both.model_copy(update={"garage_name": max(one.garage_name, other.garage_name)})


REVENUE = Report("revenue", RevenueLine, _revenue, lambda line: line.day, _days_added)
GARAGES = Report("garages", GarageLine, _garages, lambda line: line.garage_id, _garages_added)
