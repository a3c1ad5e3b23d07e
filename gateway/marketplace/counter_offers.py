"""Haggling over a bid: at most three rounds, one offer pending at a time, each good for 24 hours."""

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from core.database.statement import Lock, Query, Row, Write
from core.errors import Conflict, NotFound
from core.ids import placement_of
from gateway.marketplace.money import Amount, Money, exact, shown
from gateway.marketplace.roles import CUSTOMER, GARAGE
from gateway.marketplace.sweeps import ending
from gateway.operations import READ, WRITE, Api, Call, Consistency, Created, Input, Note, Output, Place

api = Api("", tag="counter_offers")

LIFETIME_HOURS = 24
Status = Literal["pending", "accepted", "rejected", "countered", "expired"]
NOT_PENDING = "this offer is not pending any more"
NOT_OPEN = "this bid cannot be haggled over: it has been decided, its price is agreed, or it is the other side's turn"


class NewCounterOffer(Input):
    """Another price for a bid, in its currency."""

    amount: Amount
    message: Note | None = None


class CounterOffer(Output):
    """An offer in answer to a bid or to the other side's offer.

    `status`: `pending` waits for the other side; `accepted`: it is the bid's price; `rejected` by the other side, or
    with its bid; `countered`: answered by another offer; `expired` after 24 hours, or because its bid was decided.
    """

    id: UUID
    bid_id: UUID
    made_by: Literal["customer", "garage"]
    round: int
    amount: Money
    currency: str
    message: str | None
    status: Status
    created_at: datetime
    expires_at: datetime


_STATUS = "CASE WHEN {o}.status = 'pending' AND {o}.expires_at <= now() THEN 'expired' ELSE {o}.status END"

# Of the bid `b`: its offers in their order, three at most.
OFFERS = f"""(SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', o.id, 'bid_id', o.bid, 'made_by', o.made_by, 'round', o.round,
        'amount', {shown("o.amount", "b.minor_unit")}, 'currency', b.currency, 'message', o.message,
        'status', {_STATUS.format(o="o")}, 'created_at', o.created_at, 'expires_at', o.expires_at)
        ORDER BY o.round), '[]') FROM marketplace.counter_offer o WHERE o.bucket = b.bucket AND o.bid = b.id)"""

_COLUMNS = f"""o.id, o.bid AS bid_id, o.made_by, o.round, {shown("o.amount", "b.minor_unit")} AS amount, b.currency,
    o.message, {_STATUS.format(o="o")} AS status, o.created_at, o.expires_at"""

# Locks the request first, as everything does that changes more than a bid.
_OPEN_REQUEST = """r AS (
    SELECT id FROM marketplace.request
    WHERE bucket = $1 AND id = (SELECT request FROM {table} WHERE bucket = $1 AND id = $2)
        AND status = 'active' AND expires_at > now() FOR UPDATE)"""


def _offer(row: Row) -> CounterOffer:
    return CounterOffer.model_validate(dict(row))


def _one(id: UUID, party: UUID) -> Query[CounterOffer]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.counter_offer o
            JOIN marketplace.bid b ON b.bucket = o.bucket AND b.id = o.bid
            WHERE o.bucket = $1 AND o.id = $2 AND (o.customer = $3 OR o.garage = $3)""",
        (placement_of(id).bucket, id, party),
        _offer,
    )


def _bid_of_party(bid: UUID, party: UUID) -> Query[bool]:
    return Query(
        """SELECT true AS there FROM marketplace.bid
           WHERE bucket = $1 AND id = $2 AND (customer = $3 OR garage = $3)""",
        (placement_of(bid).bucket, bid, party),
        lambda row: bool(row["there"]),
    )


def _make(id: UUID, bid: UUID, *, party: UUID, role: str, amount: Decimal, message: str | None) -> Write[CounterOffer]:
    """An offer by a party of the bid, in place of the other side's pending one. A garage only ever answers one.

    `before` is counted, so that it is done before the new offer is put where the old one was.
    """
    bucket = placement_of(bid).bucket
    return Write(
        bucket=bucket,
        first=_OPEN_REQUEST.format(table="marketplace.bid")
        + """,
        b AS (
            SELECT b.* FROM marketplace.bid b, r
            WHERE b.bucket = $1 AND b.id = $2 AND b.request = r.id AND b.status = 'pending' AND b.agreed IS NULL
                AND CASE $4 WHEN 'customer' THEN b.customer = $3 ELSE b.garage = $3 END),
        before AS (
            UPDATE marketplace.counter_offer o
            SET status = CASE WHEN o.expires_at <= now() THEN 'expired' ELSE 'countered' END FROM b
            WHERE o.bucket = $1 AND o.bid = b.id AND o.status = 'pending'
                AND (o.made_by <> $4 OR o.expires_at <= now()) RETURNING o.status),
        o AS (
            INSERT INTO marketplace.counter_offer
                (bucket, id, bid, request, customer, garage, made_by, round, amount, message, expires_at)
            SELECT $1, $5, b.id, b.request, b.customer, b.garage, $4, last.round + 1, $6, $7,
                now() + make_interval(hours => $8)
            FROM b, (SELECT count(*) FILTER (WHERE status = 'countered') AS answered FROM before) AS done,
                LATERAL (SELECT coalesce(max(round), 0) AS round FROM marketplace.counter_offer
                         WHERE bucket = $1 AND bid = b.id) AS last
            WHERE $4 = 'customer' OR done.answered > 0
            RETURNING *)""",
        sql=f"SELECT {_COLUMNS} FROM o JOIN b ON b.id = o.bid",
        args=(bucket, bid, party, role, id, amount, message, LIFETIME_HOURS),
        row=_offer,
        if_none=Conflict(NOT_OPEN),
        refusals={
            "one_pending_offer": "your own offer on this bid is still waiting for an answer",
            "three_rounds": "there have been three rounds; accept the bid or leave it",
        },
        lock=Lock("marketplace.request", bid, through=("marketplace.bid", "request")),
    )


def _accept(id: UUID, *, party: UUID, role: str) -> Write[CounterOffer]:
    """Agree to the other side's offer: it becomes the price of the bid."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first=_OPEN_REQUEST.format(table="marketplace.counter_offer")
        + """,
        o AS (
            UPDATE marketplace.counter_offer o SET status = 'accepted' FROM r
            WHERE o.bucket = $1 AND o.id = $2 AND o.request = r.id AND o.status = 'pending' AND o.expires_at > now()
                AND CASE $4 WHEN 'customer' THEN o.customer = $3 ELSE o.garage = $3 END AND o.made_by <> $4
            RETURNING o.*),
        b AS (
            UPDATE marketplace.bid b SET agreed = o.amount, updated_at = now() FROM o
            WHERE b.bucket = $1 AND b.id = o.bid AND b.status = 'pending' RETURNING b.*)""",
        sql=f"""SELECT {_COLUMNS} FROM o LEFT JOIN b ON b.id = o.bid
                WHERE meridian.require(b.id IS NOT NULL, 'bid_decided')""",
        args=(bucket, id, party, role),
        row=_offer,
        if_none=Conflict(NOT_PENDING),
        refusals={"bid_decided": NOT_PENDING},
    )


def _reject(id: UUID, *, party: UUID, role: str) -> Write[CounterOffer]:
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""o AS (
            UPDATE marketplace.counter_offer SET status = 'rejected'
            WHERE bucket = $1 AND id = $2 AND status = 'pending' AND expires_at > now()
                AND CASE $4 WHEN 'customer' THEN customer = $3 ELSE garage = $3 END AND made_by <> $4
            RETURNING *)""",
        sql=f"SELECT {_COLUMNS} FROM o JOIN marketplace.bid b ON b.bucket = o.bucket AND b.id = o.bid",
        args=(bucket, id, party, role),
        row=_offer,
        if_none=Conflict(NOT_PENDING),
    )


JOBS: Final = (
    ending(
        "expire counter-offers",
        "marketplace.counter_offer",
        due="status = 'pending' AND expires_at <= now()",
        oldest="expires_at",
        change="status = 'expired'",
        every_s=10.0,
    ),
)


async def _answer(call: Call, place: Place, id: UUID, write: Write[CounterOffer]) -> CounterOffer:
    try:
        return await place.write(write)
    except Conflict:
        offer = await place.read_one(
            _one(id, call.user.id), NotFound("you have no such offer"), consistency=Consistency.STRONG
        )
        if offer.made_by == call.user.role:
            raise Conflict("this is your own offer; the other side answers it") from None
        raise


@api.post("/bids/{bid_id}/counter-offers", intent=WRITE, role=[CUSTOMER, GARAGE], errors=["conflict"])
async def make(call: Call, bid_id: UUID, offer: NewCounterOffer) -> Created[CounterOffer]:
    """Offer another price for a bid: the request's customer at any time, the garage in answer to the customer's offer.

    At most three rounds, one offer pending at a time, each good for 24 hours. The one that is accepted is the price.
    """
    place, party = call.at(bid_id), call.user
    amount = exact(offer.amount, place.region.spec, field="amount")
    made = _make(place.new_id(), bid_id, party=party.id, role=party.role, amount=amount, message=offer.message)
    theirs, no_bid = _bid_of_party(bid_id, party.id), NotFound("you have no such bid")
    return Created(await place.change(made, theirs=theirs, otherwise=no_bid))


@api.post("/counter-offers/{offer_id}/accept", intent=WRITE, role=[CUSTOMER, GARAGE], errors=["conflict"])
async def accept(call: Call, offer_id: UUID) -> CounterOffer:
    """Agree to the other side's pending offer: its amount becomes the bid's price.

    There is no order yet: the customer still has to accept the bid.
    """
    return await _answer(call, call.at(offer_id), offer_id, _accept(offer_id, party=call.user.id, role=call.user.role))


@api.post("/counter-offers/{offer_id}/reject", intent=WRITE, role=[CUSTOMER, GARAGE], errors=["conflict"])
async def reject(call: Call, offer_id: UUID) -> CounterOffer:
    """Turn the other side's pending offer down; the bid stays as it was."""
    return await _answer(call, call.at(offer_id), offer_id, _reject(offer_id, party=call.user.id, role=call.user.role))


@api.get("/counter-offers/{offer_id}", intent=READ, role=[CUSTOMER, GARAGE])
async def one(call: Call, offer_id: UUID) -> CounterOffer:
    """One offer, for both sides of it."""
    return await call.at(offer_id).read_one(_one(offer_id, call.user.id), NotFound("you have no such offer"))
