"""Deliveries: staff choose a driver of the region for an order, and the driver says where it is."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from core.database.statement import Lock, Query, Row, Write
from core.errors import Conflict, FieldError, Invalid, NotFound
from core.ids import placement_of
from gateway.marketplace.access import require_home
from gateway.marketplace.fields import OrderNumber
from gateway.marketplace.order_changes import changed
from gateway.marketplace.order_changes import step as take_step
from gateway.marketplace.orders import COLUMNS as ORDER
from gateway.marketplace.orders import Order, Status
from gateway.marketplace.roles import ADMIN, DRIVER, STAFF
from gateway.operations import READ, WRITE, Api, Call, Consistency, Input, Note, Output, Page, PartialItems

api = Api("", tag="deliveries")

NOT_ASSIGNABLE = "a driver can be given an order that is to be delivered, once it is paid for and until it is collected"
_ASSIGNABLE = "('confirmed', 'preparing', 'ready_for_pickup')"
_ACTIVE = "('confirmed', 'preparing', 'ready_for_pickup', 'collected', 'in_transit')"


class Assignment(Input):
    """Who shall deliver an order: the account of a driver of its region."""

    driver_id: UUID


class DeliveryStep(Input):
    """Where a delivery is now."""

    status: Literal["collected", "in_transit", "delivered"]
    note: Note | None = None


class Which(Input):
    """Which deliveries to list."""

    status: Literal["active", "done"] | None = Field(
        None, description="`active`: still to be done; `done`: over, however it ended. All, if it is left out."
    )


class Driver(Output):
    """Somebody whom an order can be given to."""

    id: UUID
    full_name: str
    created_at: datetime


class DriverDelivery(Output):
    """An order as its driver sees it. `id` is the order's. The customer's phone number is shown until it is over."""

    id: UUID
    number: OrderNumber
    part: str
    garage_name: str
    address: str
    lat: float
    lng: float
    customer_name: str
    customer_phone: str | None
    status: Status
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None


_COLUMNS = f"""o.id, o.number, o.part, o.garage_name, o.delivery_address AS address, o.delivery_lat AS lat,
    o.delivery_lng AS lng, a.full_name AS customer_name, o.status, o.created_at, o.updated_at, o.delivered_at,
    CASE WHEN o.status IN {_ACTIVE} THEN a.phone_number END AS customer_phone"""
_CUSTOMER = "JOIN marketplace.account a ON a.bucket = o.bucket AND a.id = o.customer"


def _delivery(row: Row) -> DriverDelivery:
    return DriverDelivery.model_validate(dict(row))


def _of_driver(driver: UUID, which: Which, after: str | None, limit: int) -> Query[DriverDelivery]:
    # The page first, then its customers: otherwise the planner may read every account there is.
    return Query(
        f"""SELECT {_COLUMNS} FROM (
                SELECT * FROM marketplace.orders o WHERE o.driver = $1 AND ($2::uuid IS NULL OR o.id < $2)
                    AND ($3::text IS NULL OR (o.status IN {_ACTIVE}) = ($3 = 'active'))
                ORDER BY o.id DESC LIMIT $4) AS o {_CUSTOMER} ORDER BY o.id DESC""",
        (driver, after, which.status, limit),
        _delivery,
    )


def _drivers(after: str | None, limit: int) -> Query[Driver]:
    return Query(
        f"""SELECT id, full_name, created_at FROM marketplace.account
            WHERE role = '{DRIVER}' AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2""",
        (after, limit),
        lambda row: Driver.model_validate(dict(row)),
    )


def _is_there(order: UUID) -> Query[bool]:
    return Query(
        "SELECT true AS there FROM marketplace.orders WHERE bucket = $1 AND id = $2",
        (placement_of(order).bucket, order),
        lambda row: bool(row["there"]),
    )


def _name_of_driver(id: UUID) -> Query[str]:
    return Query(
        f"SELECT full_name FROM marketplace.account WHERE bucket = $1 AND id = $2 AND role = '{DRIVER}'",
        (placement_of(id).bucket, id),
        lambda row: str(row["full_name"]),
    )


def _assign(order: UUID, driver: UUID, name: str) -> Write[Order]:
    """Give an order to a driver, and tell them and whoever had it before. `before` and `o` are of one snapshot."""
    bucket = placement_of(order).bucket
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", order),
        first=f"""before AS (SELECT driver FROM marketplace.orders WHERE bucket = $1 AND id = $2),
        o AS (
            UPDATE marketplace.orders SET driver = $3, driver_name = $4, updated_at = now()
            WHERE bucket = $1 AND id = $2 AND delivery_address IS NOT NULL AND status IN {_ASSIGNABLE} RETURNING *),
        told AS (
            SELECT meridian.tell(o.bucket, t.kind, o.id, jsonb_build_object('to', ARRAY[t.who], 'number', o.number))
            FROM o, before, LATERAL (
                VALUES ('delivery.assigned', o.driver), ('delivery.unassigned', before.driver)) AS t (kind, who)
            WHERE before.driver IS DISTINCT FROM o.driver AND t.who IS NOT NULL)""",
        # Counted, or nothing would ask for them and nobody were told.
        sql=f"SELECT {ORDER} FROM o CROSS JOIN (SELECT count(*) FROM told) AS events",
        args=(bucket, order, driver, name),
        row=Order.of,
        if_none=Conflict(NOT_ASSIGNABLE),
    )


async def _driver(call: Call, id: UUID) -> str:
    """The name of a driver of the caller's region; Invalid for anybody else."""
    nobody = Invalid([FieldError("driver_id", "is no driver of this region")])
    try:
        require_home(call, id, nobody)
    except NotFound:
        raise nobody from None
    return await call.at(id).read_one(_name_of_driver(id), nobody, consistency=Consistency.STRONG)


@api.post("/orders/{order_id}/assign-driver", intent=WRITE, role=[STAFF, ADMIN], errors=["conflict"])
async def assign(call: Call, order_id: UUID, assignment: Assignment) -> Order:
    """Give an order to a driver of the region.

    The order must be one with a delivery, and be confirmed, preparing or ready for pickup (otherwise 409). Until it is
    collected it can be given to another driver. Who gets it is told by `delivery.assigned`, who had it before by
    `delivery.unassigned`. `GET /drivers` lists whom it can be given to.
    """
    nothing = NotFound("there is no such order in your region")
    require_home(call, order_id, nothing)
    place, driver = call.at(order_id), assignment.driver_id
    name = await _driver(call, driver)
    return await place.change(_assign(order_id, driver, name), theirs=_is_there(order_id), otherwise=nothing)


@api.get("/drivers", intent=READ, role=[STAFF, ADMIN])
async def drivers(call: Call, page: Page) -> PartialItems[Driver]:
    """The drivers of the region, those who have been with it longest first."""
    return await call.across(_drivers(page.after, page.fetch), page=page, key=lambda driver: driver.id)


@api.get("/deliveries", intent=READ, role=DRIVER)
async def own(call: Call, which: Which, page: Page) -> PartialItems[DriverDelivery]:
    """The driver's own deliveries all over the region, the newest orders first."""
    query = _of_driver(call.user.id, which, page.after, page.fetch)
    return await call.across(query, page=page, key=lambda delivery: delivery.id, descending=True)


@api.post("/deliveries/{order_id}/status", intent=WRITE, role=DRIVER, errors=["conflict"])
async def move(call: Call, order_id: UUID, step: DeliveryStep) -> DriverDelivery:
    """Say that a delivery of your own was collected, is in transit, or was delivered: in this order (otherwise 409).

    To repeat a step changes nothing. With `delivered` the customer's 48 hours begin in which they may dispute it;
    afterwards the order is completed.
    """
    write = take_step(
        order_id,
        party=call.user.id,
        role=DRIVER,
        status=step.status,
        note=step.note,
        row=_delivery,
        shown=f"SELECT {_COLUMNS} FROM o {_CUSTOMER}",
    )
    return await changed(call, order_id, write)
