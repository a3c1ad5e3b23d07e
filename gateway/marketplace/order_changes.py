"""What makes and moves orders: accepting a bid, the parties' steps, cancelling, confirming, and time.

Each is one statement. The order's row (of an accept, the request's) is locked first by it, and whether the step may be
taken is asked of the locked row; marketplace.transition says which steps there are, for whom.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeVar
from uuid import UUID

from core.database.statement import Lock, Query, Row, Write
from core.errors import Conflict, Forbidden, NotFound, ShardUnavailable
from core.ids import placement_of
from core.shard_map.model import RegionSpec
from gateway.marketplace import order_numbers, refunds
from gateway.marketplace.bids import NOT_PENDING
from gateway.marketplace.orders import COLUMNS, Order, no_order, one
from gateway.marketplace.roles import CUSTOMER, DRIVER, GARAGE
from gateway.marketplace.sweeps import ending
from gateway.operations import WRITE, Api, Call, Consistency, Input, Note

api = Api("", tag="orders")

T = TypeVar("T")

AUTO_COMPLETE_HOURS: Final = 48
SECOND_TAP_S: Final = 60
CANCEL_PERCENT: Final = {"pending_payment": 0, "confirmed": 5}
CANCEL_PERCENT_LATER: Final = 10
SETTABLE: Final = {
    GARAGE: ("preparing", "ready_for_pickup"),
    DRIVER: ("collected", "in_transit", "delivered"),
}
_NOT_NOW: Final = "the order is not at a step that allows this"
_NOTHING: Final = "there is nothing to confirm yet, or not any more"
_GONE: Final = "a bid on this request was accepted already, or the request was cancelled or has expired"


class StatusChange(Input):
    """The next step: garages set the first two, drivers the other three."""

    status: Literal["preparing", "ready_for_pickup", "collected", "in_transit", "delivered"]
    note: Note | None = None


class Cancellation(Input):
    """Why, for the other side to read."""

    reason: Note | None = None


class _NoNumber(ShardUnavailable):
    """The shard has no order number left: take a block for it and try again."""


def _accept(id: UUID, bid: UUID, customer: UUID, region: RegionSpec) -> Write[Order]:
    """Make the order of a bid. The request is accepted first: of several who try, one finds it active.

    Its trigger then rejects the other bids. One order for a request is also the rule of a unique index.
    """
    bucket = placement_of(bid).bucket
    number = order_numbers.SHOWN.format(prefix="$5::text", zone="$6::text")
    return Write(
        bucket=bucket,
        first=f"""
        r AS (
            UPDATE marketplace.request SET status = 'accepted'
            WHERE bucket = $1 AND id = (SELECT request FROM marketplace.bid WHERE bucket = $1 AND id = $2)
                AND customer = $3 AND status = 'active' AND expires_at > now() RETURNING *),
        b AS (
            UPDATE marketplace.bid b SET status = 'accepted', updated_at = now() FROM r
            WHERE b.bucket = $1 AND b.id = $2 AND b.request = r.id AND b.status = 'pending'
            RETURNING b.*, coalesce(b.agreed, b.amount) AS price),
        {order_numbers.TAKE.format(given="b")},
        found AS (
            SELECT r.id AS request FROM r LEFT JOIN b ON true LEFT JOIN n ON true
            WHERE meridian.require(b.id IS NOT NULL, 'bid_pending')
                AND meridian.require(n.number IS NOT NULL, 'order_number_left')),
        o AS (
            INSERT INTO marketplace.orders
                (bucket, id, number, request, bid, customer, garage, garage_name, part, part_price, delivery_fee, total,
                 platform_fee, garage_payout, currency, minor_unit, warranty_days, delivery_address, delivery_lat,
                 delivery_lng, actor, actor_role)
            SELECT $1, $4, {number}, r.id, b.id, r.customer, b.garage, b.garage_name, r.part_description, b.price,
                r.delivery_fee, b.price + r.delivery_fee, fee.amount, b.price - fee.amount, b.currency, b.minor_unit,
                b.warranty_days, r.delivery_address, r.delivery_lat, r.delivery_lng, $3, 'customer'
            FROM found, r, b, n,
                LATERAL (SELECT round(b.price * marketplace.commission(b.plan) / 100, b.minor_unit) AS amount) AS fee
            RETURNING *)""",
        sql=f"SELECT {COLUMNS} FROM o",
        args=(bucket, bid, customer, id, region.order_prefix, region.time_zone),
        row=Order.of,
        if_none=Conflict(_GONE),
        refusals={
            "bid_pending": NOT_PENDING,
            "one_live_order": _GONE,
            "order_number_left": _NoNumber("the region's order numbers cannot be reached now"),
        },
    )


def step(
    id: UUID, *, party: UUID, role: str, status: str, note: str | None, row: Callable[[Row], T], shown: str
) -> Write[T]:
    """A garage's or driver's step of an order of theirs. `shown` is the statement that shows the changed row `o`.

    The step that was taken already changes nothing, so that it can be repeated.
    """
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""o AS (
            UPDATE marketplace.orders SET status = $4, updated_at = CASE status WHEN $4 THEN updated_at ELSE now() END,
                actor = CASE status WHEN $4 THEN actor ELSE $3 END,
                actor_role = CASE status WHEN $4 THEN actor_role ELSE $5 END,
                note = CASE status WHEN $4 THEN note ELSE $6 END,
                delivered_at = CASE WHEN $4 = 'delivered' THEN coalesce(delivered_at, now()) ELSE delivered_at END
            WHERE bucket = $1 AND id = $2 AND CASE $5 WHEN 'garage' THEN garage = $3 ELSE driver = $3 END
            RETURNING *)""",
        sql=shown,
        args=(bucket, id, party, status, role, note),
        row=row,
        if_none=no_order(),
        refusals={"orders_transition": _NOT_NOW},
    )


def _cancel(id: UUID, *, party: UUID, role: str, reason: str | None) -> Write[Order]:
    """Cancel, keep the fee out of what was paid, and give the rest back."""
    bucket = placement_of(id).bucket
    percent = " ".join(f"WHEN '{status}' THEN {percent}" for status, percent in CANCEL_PERCENT.items())
    back = refunds.reserve(order="$2", amount="(SELECT back FROM a)", reason="'cancelled'")
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", id),
        first=f"""a AS (
            SELECT o.id, fee.amount AS fee, o.paid - o.refunded - fee.amount AS back
            FROM marketplace.orders o
            JOIN marketplace.transition t
                ON t.entity = 'orders' AND t.from_status = o.status AND t.to_status = 'cancelled_by_' || $4
            CROSS JOIN LATERAL (SELECT CASE $4 WHEN 'customer' THEN least(o.paid - o.refunded,
                round(o.total * CASE o.status {percent} ELSE {CANCEL_PERCENT_LATER} END / 100, o.minor_unit))
                ELSE 0 END AS amount) AS fee
            WHERE o.bucket = $1 AND o.id = $2 AND CASE $4 WHEN 'customer' THEN o.customer = $3 ELSE o.garage = $3 END),
        {back},
        o AS (
            UPDATE marketplace.orders o SET status = 'cancelled_by_' || $4, actor = $3, actor_role = $4, note = $5,
                updated_at = now(), cancellation_fee = a.fee, refunded = o.refunded + (SELECT amount FROM reserved)
            FROM a WHERE o.bucket = $1 AND o.id = a.id RETURNING o.*)""",
        sql=f"SELECT {COLUMNS} FROM o",
        args=(bucket, id, party, role, reason),
        row=Order.of,
        if_none=Conflict(_NOT_NOW),
        refusals={"orders_transition": _NOT_NOW},
    )


def _confirm(id: UUID, customer: UUID) -> Write[Order]:
    """Delivered becomes completed; what the customer collects, ready, becomes delivered.

    A second tap on that, or a repeated request, does not complete it: with it the right to dispute would be gone.
    """
    bucket = placement_of(id).bucket
    is_second_tap = f"delivery_address IS NULL AND delivered_at > now() - interval '{SECOND_TAP_S} seconds'"
    return Write(
        bucket=bucket,
        first=f"""o AS (
            UPDATE marketplace.orders SET actor = $3, actor_role = 'customer', note = NULL, updated_at = now(),
                status = CASE WHEN status = 'ready_for_pickup' OR {is_second_tap} THEN 'delivered' ELSE 'completed' END,
                delivered_at = coalesce(delivered_at, now()),
                completed_at = CASE WHEN status = 'ready_for_pickup' OR {is_second_tap} THEN NULL ELSE now() END
            WHERE bucket = $1 AND id = $2 AND customer = $3
                AND (status = 'delivered' OR (status = 'ready_for_pickup' AND delivery_address IS NULL))
            RETURNING *)""",
        sql=f"SELECT {COLUMNS} FROM o",
        args=(bucket, id, customer),
        row=Order.of,
        if_none=Conflict(_NOTHING),
    )


JOBS: Final = (
    ending(
        "complete orders",
        "marketplace.orders",
        due=f"status = 'delivered' AND delivered_at < now() - interval '{AUTO_COMPLETE_HOURS} hours'",
        oldest="delivered_at",
        change="""status = 'completed', actor = NULL, actor_role = 'system', note = NULL, updated_at = now(),
            completed_at = now()""",
        every_s=30.0,
    ),
)


def _bid_of_customer(bid: UUID, customer: UUID) -> Query[bool]:
    return Query(
        "SELECT true AS there FROM marketplace.bid WHERE bucket = $1 AND id = $2 AND customer = $3",
        (placement_of(bid).bucket, bid, customer),
        lambda row: bool(row["there"]),
    )


async def changed(call: Call, id: UUID, write: Write[T]) -> T:
    """A party's change of an order. Where its step does not allow the change, the refusal names it."""
    place = call.at(id)
    try:
        return await place.write(write)
    except Conflict as exc:
        order = await place.read_one(one(id, party=call.user.id), no_order(), consistency=Consistency.STRONG)
        if exc.detail in (_NOT_NOW, _NOTHING):
            raise Conflict(f"{exc.detail}: it is {order.status}") from None
        raise


@api.post("/bids/{bid_id}/accept", intent=WRITE, role=CUSTOMER, errors=["conflict"])
async def accept(call: Call, bid_id: UUID) -> Order:
    """Accept a bid: the order is made at the agreed price, and every other bid on the request is rejected.

    Of several bids accepted at the same moment one wins; the others answer 409.
    """
    place, customer = call.at(bid_id), call.user.id
    write = _accept(place.new_id(), bid_id, customer, place.region.spec)
    theirs, no_bid = _bid_of_customer(bid_id, customer), NotFound("there is no such bid on a request of yours")
    try:
        order = await place.change(write, theirs=theirs, otherwise=no_bid)
    except _NoNumber:
        await order_numbers.reserve(call, bid_id)
        order = await place.change(write, theirs=theirs, otherwise=no_bid)
    return order.seen_by(CUSTOMER)


@api.patch("/orders/{order_id}/status", intent=WRITE, role=[GARAGE, DRIVER], errors=["conflict"])
async def change_status(call: Call, order_id: UUID, change: StatusChange) -> Order:
    """Move an order one step on (409 when it is not at the step before). To set the status that it has changes nothing.

    Drivers may as well use `POST /deliveries/{order_id}/status`.
    """
    user = call.user
    if change.status not in SETTABLE[user.role]:
        raise Forbidden(f"a {user.role} sets {' or '.join(SETTABLE[user.role])}, not {change.status}")
    shown = f"SELECT {COLUMNS} FROM o"
    write = step(
        order_id, party=user.id, role=user.role, status=change.status, note=change.note, row=Order.of, shown=shown
    )
    return (await changed(call, order_id, write)).seen_by(call.user.role)


@api.post("/orders/{order_id}/cancel", intent=WRITE, role=[CUSTOMER, GARAGE], errors=["conflict"])
async def cancel(call: Call, order_id: UUID, cancellation: Cancellation) -> Order:
    """Cancel an order: the customer until it is delivered, the garage until it is collected (409 afterwards).

    It costs the customer nothing before payment, 5 % of the total while it is confirmed and 10 % after that, but never
    more than was paid; the rest goes back within a minute. If the garage cancels, all of it goes back.
    """
    user = call.user
    write = _cancel(order_id, party=user.id, role=user.role, reason=cancellation.reason)
    return (await changed(call, order_id, write)).seen_by(call.user.role)


@api.post("/orders/{order_id}/confirm-delivery", intent=WRITE, role=CUSTOMER, errors=["conflict"])
async def confirm_delivery(call: Call, order_id: UUID) -> Order:
    """Say that the part has arrived and is right: the order is completed, as it is by itself 48 hours after delivery.

    An order without a delivery becomes `delivered` with the first call, when the part was collected: then its 48 hours
    begin, and a second call, a minute later at the earliest, completes it.
    """
    return (await changed(call, order_id, _confirm(order_id, call.user.id))).seen_by(CUSTOMER)
