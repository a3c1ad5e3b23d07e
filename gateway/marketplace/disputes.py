"""Disputes: a customer contests a delivery, and the region's staff give the money back or do not."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from core.database.statement import Lock, Query, Row, Write
from core.errors import Conflict, FieldError, Invalid, NotFound
from core.ids import placement_of
from core.storage import rows
from gateway.marketplace.access import oversees, require_home
from gateway.marketplace.fields import OrderNumber, distinct
from gateway.marketplace.money import Money, shown
from gateway.marketplace.orders import no_order
from gateway.marketplace.orders import one as order_of
from gateway.marketplace.refunds import reserve
from gateway.marketplace.requests import NOT_USABLE
from gateway.marketplace.roles import ADMIN, CUSTOMER, GARAGE, STAFF
from gateway.operations import (
    READ,
    WRITE,
    Api,
    Call,
    Created,
    Input,
    Note,
    Output,
    Page,
    PartialItems,
    Prose,
)

api = Api("", tag="disputes")

Reason = Literal["wrong_part", "damaged", "not_as_described", "does_not_fit", "changed_mind"]
Status = Literal["open", "resolved", "rejected"]
REFUND_PERCENT: Final[Mapping[str, int]] = {
    "wrong_part": 100,
    "damaged": 100,
    "not_as_described": 100,
    "does_not_fit": 85,
    "changed_mind": 70,
}
WITHIN_HOURS = 48
NOT_DISPUTABLE = f"an order can be disputed once, within {WITHIN_HOURS} hours of its delivery"
DECIDED = "this dispute has been decided already"


class NewDispute(Input):
    """What is wrong with a delivered part. `images` are ids of the customer's own uploads.

    The reason decides how much of the total is given back if the staff agree: all for `wrong_part`, `damaged` and
    `not_as_described`, 85 % for `does_not_fit`, 70 % for `changed_mind`.
    """

    reason: Reason = Field(examples=["damaged"])
    description: Prose = Field(examples=["The glass is cracked"])
    images: Annotated[list[UUID], Field(max_length=7), AfterValidator(distinct)] = []


class Resolution(Input):
    """`refund` gives the reason's percentage back; `reject` completes the order. Both sides read the note."""

    decision: Literal["refund", "reject"]
    note: Note = Field(examples=["The photos show the crack"])


class Dispute(Output):
    """A dispute. `refund_amount` is what was given back: the percentage of the total, at most what had been paid.

    `status`: `open` until the staff decide; `resolved`: money was given back; `rejected`: not.
    """

    id: UUID
    order_id: UUID
    number: OrderNumber
    garage_name: str
    reason: Reason
    description: str
    images: list[UUID]
    refund_percent: int
    refund_amount: Money
    currency: str
    resolution: str | None
    status: Status
    created_at: datetime
    resolved_at: datetime | None


_COLUMNS = f"""d.id, d.order_id, d.number, d.garage_name, d.reason, d.description, d.images, d.refund_percent,
    {shown("d.refund_amount", "d.minor_unit")} AS refund_amount, d.currency, d.resolution, d.status, d.created_at,
    d.resolved_at"""


def _dispute(row: Row) -> Dispute:
    return Dispute.model_validate(dict(row))


def _one(id: UUID, *, party: UUID | None) -> Query[Dispute]:
    """A dispute; with `party`, only if it is between them and somebody."""
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.dispute d
            WHERE d.bucket = $1 AND d.id = $2 AND ($3::uuid IS NULL OR d.customer = $3 OR d.garage = $3)""",
        (placement_of(id).bucket, id, party),
        _dispute,
    )


def _of_customer(customer: UUID, after: str | None, limit: int) -> Query[Dispute]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.dispute d
            WHERE d.bucket = $1 AND d.customer = $2 AND ($3::uuid IS NULL OR d.id < $3) ORDER BY d.id DESC LIMIT $4""",
        (placement_of(customer).bucket, customer, after, limit),
        _dispute,
    )


def _of_garage(garage: UUID, after: str | None, limit: int) -> Query[Dispute]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.dispute d
            WHERE d.garage = $1 AND ($2::uuid IS NULL OR d.id < $2) ORDER BY d.id DESC LIMIT $3""",
        (garage, after, limit),
        _dispute,
    )


def _undecided(after: str | None, limit: int) -> Query[Dispute]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.dispute d
            WHERE d.status = 'open' AND ($1::uuid IS NULL OR d.id > $1) ORDER BY d.id LIMIT $2""",
        (after, limit),
        _dispute,
    )


def _open(id: UUID, order: UUID, customer: UUID, new: NewDispute) -> Write[Dispute]:
    """Dispute a delivered order; where there is none, no image is attached, because `used` asks `o` for its place."""
    bucket = placement_of(order).bucket
    used = rows.used(bucket="(SELECT bucket FROM o)", ids="$7::uuid[]", owner="$3", by="$4")
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", order),
        first=f"""o AS (
            UPDATE marketplace.orders SET status = 'disputed', actor = $3, actor_role = '{CUSTOMER}', note = $5,
                updated_at = now()
            WHERE bucket = $1 AND id = $2 AND customer = $3 AND status = 'delivered'
                AND delivered_at > now() - interval '{WITHIN_HOURS} hours' RETURNING *)
        {", " + used if new.images else ""}""",
        sql=f"""INSERT INTO marketplace.dispute AS d (bucket, id, order_id, number, customer, garage, garage_name,
                    reason, description, images, refund_percent, currency, minor_unit)
                SELECT o.bucket, $4, o.id, o.number, o.customer, o.garage, o.garage_name, $5, $6, $7::uuid[], $8,
                    o.currency, o.minor_unit
                FROM o {f"WHERE {rows.all_used('$7::uuid[]')}" if new.images else ""} RETURNING {_COLUMNS}""",
        args=(bucket, order, customer, id, new.reason, new.description, new.images, REFUND_PERCENT[new.reason]),
        row=_dispute,
        if_none=Conflict(NOT_DISPUTABLE),
        refusals={
            "one_dispute": NOT_DISPUTABLE,
            "file_not_usable": Invalid([FieldError("images", NOT_USABLE)]),
        },
    )


# What is to be decided on, under the lock of its order.
_FOUND: Final = """found AS (
    SELECT d.id AS dispute, o.id AS order_id, round(o.total * d.refund_percent / 100, o.minor_unit) AS back
    FROM marketplace.dispute d JOIN marketplace.orders o ON o.bucket = d.bucket AND o.id = d.order_id
    WHERE d.bucket = $1 AND d.id = $2 AND d.status = 'open')"""


def _refund(id: UUID, resolution: Resolution, *, by: UUID, role: str) -> Write[Dispute]:
    """Decide for the customer: dispute, order and money in one statement."""
    money = reserve(
        order="(SELECT order_id FROM found)", amount="(SELECT back FROM found)", reason="'dispute ' || $2::uuid"
    )
    return _decision(
        id,
        resolution,
        by=by,
        role=role,
        first=f"""{_FOUND}, {money},
        o AS (
            UPDATE marketplace.orders o SET status = 'refunded', actor = $4, actor_role = $5, note = $3,
                updated_at = now(), refunded = o.refunded + (SELECT amount FROM reserved)
            FROM found WHERE o.bucket = $1 AND o.id = found.order_id RETURNING o.id)""",
        outcome="status = 'resolved', refund_amount = (SELECT amount FROM reserved)",
    )


def _reject(id: UUID, resolution: Resolution, *, by: UUID, role: str) -> Write[Dispute]:
    """Decide for the garage: the order is completed."""
    return _decision(
        id,
        resolution,
        by=by,
        role=role,
        first=f"""{_FOUND},
        o AS (
            UPDATE marketplace.orders o SET status = 'completed', actor = $4, actor_role = $5, note = $3,
                updated_at = now(), completed_at = now()
            FROM found WHERE o.bucket = $1 AND o.id = found.order_id RETURNING o.id)""",
        outcome="status = 'rejected'",
    )


def _decision(id: UUID, resolution: Resolution, *, by: UUID, role: str, first: str, outcome: str) -> Write[Dispute]:
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", id, through=("marketplace.dispute", "order_id")),
        first=first,
        sql=f"""UPDATE marketplace.dispute d SET {outcome}, resolution = $3, resolved_at = now(), resolved_by = $4
                FROM o WHERE d.bucket = $1 AND d.id = $2 AND d.order_id = o.id RETURNING {_COLUMNS}""",
        args=(bucket, id, resolution.note, by, role),
        row=_dispute,
        if_none=Conflict(DECIDED),
        refusals={"orders_transition": DECIDED, "dispute_transition": DECIDED},
    )


def _no_dispute() -> NotFound:
    return NotFound("there is no such dispute, or it is not yours to see")


@api.post("/orders/{order_id}/dispute", intent=WRITE, role=CUSTOMER, errors=["conflict"])
async def open_dispute(call: Call, order_id: UUID, dispute: NewDispute) -> Created[Dispute]:
    """Dispute one of your own orders: once, and within 48 hours of its delivery (otherwise 409).

    The order becomes `disputed` and is not completed until the staff have decided.
    """
    place, customer = call.at(order_id), call.user.id
    write, theirs = _open(place.new_id(), order_id, customer, dispute), order_of(order_id, party=customer)
    return Created(await place.change(write, theirs=theirs, otherwise=no_order()))


@api.get("/disputes", intent=READ, role=[CUSTOMER, GARAGE, STAFF, ADMIN])
async def listed(call: Call, page: Page) -> PartialItems[Dispute]:
    """A customer's or garage's own disputes, the newest first; for the staff those of the region that are open.

    The staff see the oldest first: they are the work to be done.
    """
    if call.user.role == CUSTOMER:
        items = page.items(
            await call.home.read(_of_customer(call.user.id, page.after, page.fetch)), key=lambda dispute: dispute.id
        )
        return PartialItems[Dispute].model_construct(items=items.items, next=items.next)
    if call.user.role == GARAGE:
        own = _of_garage(call.user.id, page.after, page.fetch)
        return await call.across(own, page=page, key=lambda dispute: dispute.id, descending=True)
    return await call.across(_undecided(page.after, page.fetch), page=page, key=lambda dispute: dispute.id)


@api.get("/disputes/{dispute_id}", intent=READ, role=[CUSTOMER, GARAGE, STAFF, ADMIN])
async def one(call: Call, dispute_id: UUID) -> Dispute:
    """A dispute: for its customer, its garage and the staff of its region."""
    party = None if oversees(call, dispute_id) else call.user.id
    return await call.at(dispute_id).read_one(_one(dispute_id, party=party), _no_dispute())


@api.post("/disputes/{dispute_id}/resolve", intent=WRITE, role=[STAFF, ADMIN], errors=["conflict"])
async def resolve(call: Call, dispute_id: UUID, resolution: Resolution) -> Dispute:
    """Decide an open dispute of the region, once (otherwise 409).

    `refund`: the order is `refunded`, and the payment provider is told within a minute to give the money back.
    `reject`: the order is `completed`.
    """
    require_home(call, dispute_id, _no_dispute())
    decide = _refund if resolution.decision == "refund" else _reject
    write = decide(dispute_id, resolution, by=call.user.id, role=call.user.role)
    theirs = _one(dispute_id, party=None)
    return await call.at(dispute_id).change(write, theirs=theirs, otherwise=_no_dispute())
