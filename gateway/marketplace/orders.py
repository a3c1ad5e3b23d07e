"""Orders as their parties see them. What changes them is in `order_changes`."""

from datetime import datetime
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import Field

from core.database.statement import Query, Row
from core.errors import NotFound
from core.ids import placement_of
from gateway.marketplace.access import oversees
from gateway.marketplace.fields import OrderNumber
from gateway.marketplace.money import Money, shown
from gateway.marketplace.requests import Delivery
from gateway.marketplace.roles import CUSTOMER, DRIVER, GARAGE
from gateway.operations import READ, Api, Call, Input, Items, Output, Page, PartialItems

api = Api("/orders", tag="orders")

Status = Literal[
    "pending_payment",
    "confirmed",
    "preparing",
    "ready_for_pickup",
    "collected",
    "in_transit",
    "delivered",
    "completed",
    "cancelled_by_customer",
    "cancelled_by_garage",
    "disputed",
    "refunded",
]
Actor = Literal["customer", "garage", "driver", "staff", "admin", "system"]


class Order(Output):
    """An order. `total` is part and delivery; `part_price` is the platform's fee and the garage's payout.

    Customers and drivers see no fee and no payout, garages not where the part is delivered. Without a delivery the
    customer collects the part.

    `status`: `pending_payment` until the deposit or all of it is paid; `confirmed`; the garage's steps `preparing` and
    `ready_for_pickup`; the driver's `collected`, `in_transit` and `delivered`; `completed` when the customer confirms,
    or 48 hours after that. The customer may cancel up to `in_transit` (`cancelled_by_customer`), the garage up to
    `ready_for_pickup` (`cancelled_by_garage`). A delivered order can become `disputed`; the staff then make it
    `completed` or `refunded`.
    """

    id: UUID
    number: OrderNumber
    request_id: UUID
    bid_id: UUID
    customer_id: UUID
    garage_id: UUID
    garage_name: str
    driver_id: UUID | None
    driver_name: str | None
    part: str
    part_price: Money
    delivery_fee: Money
    total: Money
    platform_fee: Money | None
    garage_payout: Money | None
    paid: Money
    refunded: Money
    cancellation_fee: Money
    currency: str
    warranty_days: int
    delivery: Delivery | None
    status: Status
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None
    completed_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> Self:
        """An order from a row of `COLUMNS`, with everything in it."""
        address = row["delivery_address"]
        delivery = (
            None if address is None else Delivery(address=address, lat=row["delivery_lat"], lng=row["delivery_lng"])
        )
        return cls.model_validate({**row, "delivery": delivery})

    def seen_by(self, role: str) -> Self:
        """What a party of that role sees of it."""
        if role == CUSTOMER:
            return self.model_copy(update={"platform_fee": None, "garage_payout": None})
        if role == GARAGE:
            return self.model_copy(update={"delivery": None})
        if role == DRIVER:
            return self.model_copy(update={"platform_fee": None, "garage_payout": None})
        return self


class HistoryEntry(Output):
    """One change of an order's status: from what to what, by whom, when."""

    from_status: Status | None
    to_status: Status
    actor_role: Actor
    note: str | None
    at: datetime


class OrderFilter(Input):
    """Which orders to list."""

    status: Status | None = Field(None, description="Only orders that are at this step.")


_AMOUNTS: Final = (
    "part_price",
    "delivery_fee",
    "total",
    "platform_fee",
    "garage_payout",
    "paid",
    "refunded",
    "cancellation_fee",
)
COLUMNS: Final = f"""o.id, o.number, o.request AS request_id, o.bid AS bid_id, o.customer AS customer_id,
    o.garage AS garage_id, o.garage_name, o.driver AS driver_id, o.driver_name, o.part, o.currency, o.warranty_days,
    o.delivery_address, o.delivery_lat, o.delivery_lng, o.status, o.created_at, o.updated_at,
    o.delivered_at, o.completed_at,
    {", ".join(f"{shown(f'o.{name}', 'o.minor_unit')} AS {name}" for name in _AMOUNTS)}"""
"""What `Order.of` needs, of a row `o` of marketplace.orders."""

_PARTY: Final = {CUSTOMER: "customer", GARAGE: "garage", DRIVER: "driver"}


def no_order() -> NotFound:
    """There is none, or it is not the caller's."""
    return NotFound("you have no such order")


def one(id: UUID, *, party: UUID | None) -> Query[Order]:
    """An order of a party's: its customer, garage or driver; None for whoever may see them all."""
    return Query(
        f"""SELECT {COLUMNS} FROM marketplace.orders o
            WHERE o.bucket = $1 AND o.id = $2 AND ($3::uuid IS NULL OR $3 IN (o.customer, o.garage, o.driver))""",
        (placement_of(id).bucket, id, party),
        Order.of,
    )


def _history(id: UUID, *, party: UUID | None) -> Query[HistoryEntry]:
    return Query(
        """SELECT h.from_status, h.to_status, h.actor_role, h.note, h.at FROM marketplace.order_history h
           JOIN marketplace.orders o ON o.bucket = h.bucket AND o.id = h.order_id
           WHERE h.bucket = $1 AND h.order_id = $2 AND ($3::uuid IS NULL OR $3 IN (o.customer, o.garage, o.driver))
           ORDER BY h.at""",
        (placement_of(id).bucket, id, party),
        lambda row: HistoryEntry.model_validate(dict(row)),
    )


def _listed(*, role: str, user: UUID, status: str | None, after: str | None, limit: int) -> Query[Order]:
    """A page of orders, newest first: a customer's in their own bucket, else of a whole shard."""
    args: list[object] = [limit]

    def arg(value: object, type: str) -> str:
        args.append(value)
        return f"${len(args)}::{type}"

    where = []
    if role == CUSTOMER:
        where.append(f"o.bucket = {arg(placement_of(user).bucket, 'smallint')}")
    if role in _PARTY:
        where.append(f"o.{_PARTY[role]} = {arg(user, 'uuid')}")
    if status is not None:
        where.append(f"o.status = {arg(status, 'text')}")
    if after is not None:
        where.append(f"o.id < {arg(after, 'uuid')}")
    sql = f"""SELECT {COLUMNS} FROM marketplace.orders o WHERE {" AND ".join(where) or "true"}
              ORDER BY o.id DESC LIMIT $1"""
    return Query(sql, tuple(args), lambda row: Order.of(row).seen_by(role))


@api.get("", intent=READ)
async def own(call: Call, filter: OrderFilter, page: Page) -> PartialItems[Order]:
    """The orders of the customer, garage or driver, newest first; for staff those of their whole region."""
    user = call.user
    query = _listed(role=user.role, user=user.id, status=filter.status, after=page.after, limit=page.fetch)
    if user.role != CUSTOMER:
        return await call.across(query, page=page, key=lambda order: order.id, descending=True)
    items = page.items(await call.home.read(query), key=lambda order: order.id)
    return PartialItems[Order](items=items.items, next=items.next)


@api.get("/{order_id}", intent=READ)
async def single(call: Call, order_id: UUID) -> Order:
    """One order, for its customer, garage and driver, and the region's staff."""
    party = None if oversees(call, order_id) else call.user.id
    order = await call.at(order_id).read_one(one(order_id, party=party), no_order())
    return order.seen_by(call.user.role)


@api.get("/{order_id}/history", intent=READ)
async def history(call: Call, order_id: UUID) -> Items[HistoryEntry]:
    """Every change of an order's status, from its beginning; all of it on one page."""
    party = None if oversees(call, order_id) else call.user.id
    place = call.at(order_id)
    entries = await place.read(_history(order_id, party=party))
    if not entries:
        raise no_order()
    return Items[HistoryEntry](items=entries)
