"""The reports that list single things, in the order in which they happened: orders, disputes, deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from core.database.statement import Query
from gateway.marketplace import disputes, orders
from gateway.marketplace.fields import OrderNumber
from gateway.marketplace.money import Money, shown
from gateway.marketplace.reports.period import Period
from gateway.marketplace.reports.report import Report, since
from gateway.operations import Output


class OrderLine(Output):
    """One order. People are named by their ids alone."""

    created_at: datetime
    id: UUID
    number: OrderNumber
    status: orders.Status
    customer_id: UUID
    garage_id: UUID
    garage_name: str
    driver_id: UUID | None
    part_price: Money
    delivery_fee: Money
    total: Money
    platform_fee: Money
    garage_payout: Money
    paid: Money
    refunded: Money
    cancellation_fee: Money
    currency: str
    delivered_at: datetime | None
    completed_at: datetime | None


_AMOUNTS = (
    "part_price",
    "delivery_fee",
    "total",
    "platform_fee",
    "garage_payout",
    "paid",
    "refunded",
    "cancellation_fee",
)
_ORDER = f"""created_at, id, number, status, customer AS customer_id, garage AS garage_id, garage_name,
    driver AS driver_id, currency, delivered_at, completed_at,
    {", ".join(f"{shown(amount, 'minor_unit')} AS {amount}" for amount in _AMOUNTS)}"""


def _orders(period: Period, after: Any, limit: int) -> Query[OrderLine]:
    return Query(
        f"""SELECT {_ORDER} FROM marketplace.orders
            WHERE (created_at, id) > ($1, $2) AND created_at < $3 ORDER BY created_at, id LIMIT $4""",
        (*since(period, after), period.ends, limit),
        lambda row: OrderLine.model_validate(dict(row)),
    )


class DisputeLine(Output):
    """One dispute: what the customer said went wrong, and how it was decided."""

    created_at: datetime
    id: UUID
    order_id: UUID
    number: OrderNumber
    customer_id: UUID
    garage_id: UUID
    reason: disputes.Reason
    status: disputes.Status
    refund_percent: int
    refund_amount: Money
    currency: str
    resolved_at: datetime | None


def _disputes(period: Period, after: Any, limit: int) -> Query[DisputeLine]:
    return Query(
        f"""SELECT created_at, id, order_id, number, customer AS customer_id, garage AS garage_id, reason, status,
                refund_percent, {shown("refund_amount", "minor_unit")} AS refund_amount, currency, resolved_at
            FROM marketplace.dispute
            WHERE (created_at, id) > ($1, $2) AND created_at < $3 ORDER BY created_at, id LIMIT $4""",
        (*since(period, after), period.ends, limit),
        lambda row: DisputeLine.model_validate(dict(row)),
    )


class DeliveryLine(Output):
    """One delivery, on the day when its driver collected the part. `minutes`: from there to the customer's door."""

    collected_at: datetime
    id: UUID
    order_id: UUID
    number: OrderNumber
    status: orders.Status
    driver_id: UUID | None
    delivered_at: datetime | None
    minutes: int | None = Field(description="Whole minutes on the way; null while it is.")


def _deliveries(period: Period, after: Any, limit: int) -> Query[DeliveryLine]:
    return Query(
        """SELECT h.at AS collected_at, h.id, o.id AS order_id, o.number, o.status, o.driver AS driver_id,
               o.delivered_at, floor(extract(epoch FROM o.delivered_at - h.at) / 60)::int AS minutes
           FROM (SELECT bucket, order_id, at, id FROM marketplace.order_history
                 WHERE to_status = 'collected' AND (at, id) > ($1, $2) AND at < $3 ORDER BY at, id LIMIT $4) h
           JOIN marketplace.orders o ON o.bucket = h.bucket AND o.id = h.order_id
           ORDER BY h.at, h.id""",
        (*since(period, after), period.ends, limit),
        lambda row: DeliveryLine.model_validate(dict(row)),
    )


ORDERS = Report("orders", OrderLine, _orders, lambda line: (line.created_at, line.id))
DISPUTES = Report("disputes", DisputeLine, _disputes, lambda line: (line.created_at, line.id))
DELIVERIES = Report("deliveries", DeliveryLine, _deliveries, lambda line: (line.collected_at, line.id))
