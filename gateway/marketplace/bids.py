"""Garages' bids on requests: made, bettered, withdrawn, listed. A bid lies in the placement of its request."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from core.database.statement import Query, Row, Write
from core.errors import Conflict, FieldError, Invalid, MeridianError, NotFound, OutcomeUnknown
from core.ids import placement_of
from core.storage import rows
from gateway.marketplace.access import oversees, require_home
from gateway.marketplace.counter_offers import OFFERS, CounterOffer
from gateway.marketplace.fields import distinct
from gateway.marketplace.money import Amount, Money, exact, shown
from gateway.marketplace.requests import NOT_USABLE
from gateway.marketplace.roles import ADMIN, CUSTOMER, GARAGE, STAFF
from gateway.operations import (
    READ,
    UNSET,
    WRITE,
    Api,
    Call,
    Consistency,
    Created,
    Input,
    Items,
    Note,
    Output,
    Page,
    PartialItems,
)

api = Api("", tag="bids")

PartCondition = Literal["new", "used_excellent", "used_good", "used_fair", "refurbished"]
Status = Literal["pending", "accepted", "rejected", "withdrawn", "expired"]
Warranty = Annotated[int, Field(ge=0, le=365, examples=[90])]
NOT_OPEN = "this request does not take bids any more"
NOT_PENDING = "this bid is not pending any more"
ATTACHING = "these images are on their way to another bid; if there is none in a few minutes, send this again"
ONE_BID = "you have a bid on this request already; change that one, or withdraw it first"

_ATTACHING_S = 330  # longer than any request may take (REQUEST_TIMEOUT)


class NewBid(Input):
    """An offer for a part, in the region's currency. `images` are ids of the garage's own uploads."""

    amount: Amount
    part_condition: PartCondition
    warranty_days: Warranty = 0
    notes: Note | None = None
    images: Annotated[list[UUID], Field(max_length=7), AfterValidator(distinct)] = []


class BidChange(Input):
    """A bid can only get better: a lower amount, a longer warranty. Fields left out stay."""

    amount: Amount = UNSET
    warranty_days: Warranty = UNSET
    notes: Note | None = None


class Bid(Output):
    """A garage's bid. `price` is what the part costs if it is accepted: the agreed counter-offer, or else the amount.

    `status`: `pending` can still be accepted; `accepted`: there is an order; `rejected`: another bid was accepted, or
    the request was cancelled; `withdrawn` by the garage; `expired` with its request.
    """

    id: UUID
    request_id: UUID
    garage_id: UUID
    garage_name: str
    amount: Money
    price: Money
    currency: str
    part_condition: PartCondition
    warranty_days: int
    notes: str | None
    images: list[UUID]
    status: Status
    counter_offers: list[CounterOffer]
    created_at: datetime
    updated_at: datetime


COLUMNS = f"""b.id, b.request AS request_id, b.garage AS garage_id, b.garage_name,
    {shown("b.amount", "b.minor_unit")} AS amount,
    {shown("coalesce(b.agreed, b.amount)", "b.minor_unit")} AS price, b.currency, b.part_condition, b.warranty_days,
    b.notes, b.images, b.status, b.created_at, b.updated_at, {OFFERS} AS counter_offers"""


def bid_of(row: Row) -> Bid:
    """A bid from its row."""
    return Bid.model_validate(dict(row))


def one(id: UUID, *, garage: UUID) -> Query[Bid]:
    """A bid of a garage's own."""
    return Query(
        f"SELECT {COLUMNS} FROM marketplace.bid b WHERE b.bucket = $1 AND b.id = $2 AND b.garage = $3",
        (placement_of(id).bucket, id, garage),
        bid_of,
    )


def _terms_of(garage: UUID) -> Query[Row]:
    """What a garage bids under: its name and its plan."""
    return Query(
        "SELECT coalesce(garage_name, full_name) AS name, plan FROM marketplace.account WHERE bucket = $1 AND id = $2",
        (placement_of(garage).bucket, garage),
        lambda row: row,
    )


def _of_request(request: UUID, *, customer: UUID | None, after: str | None, limit: int) -> Query[Bid]:
    return Query(
        f"""SELECT {COLUMNS} FROM marketplace.bid b
            WHERE b.bucket = $1 AND b.request = $2 AND ($3::uuid IS NULL OR b.customer = $3)
                AND ($4::uuid IS NULL OR b.id < $4) ORDER BY b.id DESC LIMIT $5""",
        (placement_of(request).bucket, request, customer, after, limit),
        bid_of,
    )


def _of_garage(garage: UUID, after: str | None, limit: int) -> Query[Bid]:
    return Query(
        f"""SELECT {COLUMNS} FROM marketplace.bid b
            WHERE b.garage = $1 AND ($2::uuid IS NULL OR b.id < $2) ORDER BY b.id DESC LIMIT $3""",
        (garage, after, limit),
        bid_of,
    )


def _submit(id: UUID, request: UUID, garage: UUID, bid: dict[str, Any]) -> Write[Bid]:
    """A bid on a request that is open. The request's row is locked first, so that it stays so."""
    bucket = placement_of(request).bucket
    columns = {"bucket": bucket, "id": id, "request": request, "garage": garage, **bid}
    at = {name: f"${number}" for number, name in enumerate(columns, start=1)}
    return Write(
        bucket=bucket,
        first=f"""r AS (
            SELECT customer FROM marketplace.request
            WHERE bucket = {at["bucket"]} AND id = {at["request"]} AND status = 'active' AND expires_at > now()
            FOR UPDATE),
        b AS (
            INSERT INTO marketplace.bid ({", ".join(columns)}, customer)
            SELECT {", ".join(at.values())}, r.customer FROM r RETURNING *)""",
        sql=f"SELECT {COLUMNS} FROM b",
        args=tuple(columns.values()),
        row=bid_of,
        if_none=Conflict(NOT_OPEN),
        refusals={"one_live_bid": ONE_BID},
    )


def _change(id: UUID, garage: UUID, fields: dict[str, Any]) -> Write[Bid]:
    """Change columns of a pending bid; that it only gets better is asked where the row is locked."""
    bucket = placement_of(id).bucket
    at = {name: f"${number}" for number, name in enumerate(fields, start=4)}
    better = {
        "amount": "agreed IS NULL AND {} <= amount",
        "warranty_days": "{} >= warranty_days",
    }
    assignments = "".join(
        f", {name} = CASE WHEN meridian.require({better[name].format(at[name])}, 'bid_{name}') THEN {at[name]} END"
        if name in better
        else f", {name} = {at[name]}"
        for name in fields
    )
    return Write(
        bucket=bucket,
        first=f"""b AS (
            UPDATE marketplace.bid SET updated_at = now(){assignments}
            WHERE bucket = $1 AND id = $2 AND garage = $3 AND status = 'pending' RETURNING *)""",
        sql=f"SELECT {COLUMNS} FROM b",
        args=(bucket, id, garage, *fields.values()),
        row=bid_of,
        if_none=Conflict(NOT_PENDING),
        refusals={
            "bid_amount": "the amount can only be lowered, and not once a price is agreed; for a higher one withdraw",
            "bid_warranty_days": "a warranty can only be made longer",
        },
    )


def _withdraw(id: UUID, garage: UUID) -> Write[Bid]:
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""r AS (
            SELECT id FROM marketplace.request
            WHERE bucket = $1 AND id = (SELECT request FROM marketplace.bid WHERE bucket = $1 AND id = $2) FOR UPDATE),
        b AS (
            UPDATE marketplace.bid b SET status = 'withdrawn', updated_at = now() FROM r
            WHERE b.bucket = $1 AND b.id = $2 AND b.request = r.id AND b.garage = $3 AND b.status = 'pending'
            RETURNING b.*)""",
        sql=f"SELECT {COLUMNS} FROM b",
        args=(bucket, id, garage),
        row=bid_of,
        if_none=Conflict(NOT_PENDING),
    )


def _seen_by(request: UUID, customer: UUID | None) -> Query[bool]:
    """One row, if there is such a request; with `customer`, if it is theirs."""
    return Query(
        """SELECT true AS there FROM marketplace.request
           WHERE bucket = $1 AND id = $2 AND ($3::uuid IS NULL OR customer = $3)""",
        (placement_of(request).bucket, request, customer),
        lambda row: bool(row["there"]),
    )


def _attach(garage: UUID, images: list[UUID], bid: UUID) -> Write[bool]:
    """Attach a garage's own uploads, which lie in its own bucket, to a bid, which does not."""
    bucket = placement_of(garage).bucket
    return Write(
        bucket=bucket,
        first=rows.used(bucket="$1", ids="$3::uuid[]", owner="$2", by="$4"),
        sql=f"SELECT {rows.all_used('$3::uuid[]')} AS attached",
        args=(bucket, garage, images, bid),
        row=lambda row: bool(row["attached"]),
        refusals={"file_not_usable": Invalid([FieldError("images", NOT_USABLE)])},
    )


def _holders(garage: UUID, images: list[UUID]) -> Query[Row]:
    """What holds a garage's uploads: columns id, and settled (for so long that the call that attached them is over)."""
    return Query(
        f"""SELECT used_by AS id, bool_and(changed_at < now() - interval '{_ATTACHING_S} seconds') AS settled
            FROM meridian.file WHERE bucket = $1 AND id = ANY($2::uuid[]) AND owner = $3 AND used_by IS NOT NULL
            GROUP BY used_by""",
        (placement_of(garage).bucket, images, garage),
        lambda row: row,
    )


def _is_made(id: UUID) -> Query[bool]:
    """One row, if there is anything of this id that can have files."""
    return Query(
        """SELECT true AS made WHERE EXISTS (SELECT FROM marketplace.bid WHERE bucket = $1 AND id = $2)
               OR EXISTS (SELECT FROM marketplace.request WHERE bucket = $1 AND id = $2)
               OR EXISTS (SELECT FROM marketplace.dispute WHERE bucket = $1 AND id = $2)""",
        (placement_of(id).bucket, id),
        lambda row: bool(row["made"]),
    )


def _detach(garage: UUID, bid: UUID, images: list[UUID]) -> Write[int]:
    bucket = placement_of(garage).bucket
    return Write(
        bucket=bucket,
        first="""freed AS (
            UPDATE meridian.file SET used_by = NULL, changed_at = now()
            WHERE bucket = $1 AND id = ANY($2::uuid[]) AND used_by = $3 RETURNING 1)""",
        sql="SELECT count(*)::int AS files FROM freed",
        args=(bucket, images, bid),
        row=lambda row: int(row["files"]),
    )


async def _take(call: Call, images: list[UUID], bid: UUID) -> None:
    """Attach the garage's images to a bid, also those that were kept for a bid that a crash left unmade.

    Raises Invalid for what cannot be attached, and Conflict while another call may yet make the bid that has them.
    """
    home, garage = call.home, call.user.id
    try:
        await home.prepare(_attach(garage, images, bid))
    except Invalid:
        holders = await home.read(_holders(garage, images), consistency=Consistency.STRONG)
        for holder in holders:
            if await call.at(holder["id"]).read(_is_made(holder["id"]), consistency=Consistency.STRONG):
                raise
            if not holder["settled"]:
                raise Conflict(ATTACHING) from None
            await home.prepare(_detach(garage, holder["id"], images))
        if not holders:
            raise
        await home.prepare(_attach(garage, images, bid))


def _no_request() -> NotFound:
    return NotFound("there is no such request")


def _no_bid() -> NotFound:
    return NotFound("you have no such bid")


@api.post("/requests/{request_id}/bids", intent=WRITE, role=GARAGE, errors=["conflict"])
async def submit(call: Call, request_id: UUID, bid: NewBid) -> Created[Bid]:
    """Offer a price for a part; one live bid for each garage and request (409 if there is one).

    The commission is that of the garage's plan when it bids.
    """
    require_home(call, request_id, _no_request())
    place, home, garage = call.at(request_id), call.home, call.user.id
    # From the primary: a replica may not know the account yet, or still its plan of before.
    gone = NotFound("this account is not here any more")
    terms = await home.read_one(_terms_of(garage), gone, consistency=Consistency.STRONG)
    spec = place.region.spec
    columns = bid.model_dump() | {
        "amount": exact(bid.amount, spec, field="amount"),
        "garage_name": terms["name"],
        "plan": terms["plan"],
        "currency": spec.currency,
        "minor_unit": spec.minor_unit,
    }
    id = place.new_id()
    if bid.images:
        try:
            await _take(call, bid.images, id)
        except (Conflict, Invalid) as exc:
            return Created(await place.replay(bid_of, exc))  # the key's first time may have attached them
    try:
        made = await place.write(_submit(id, request_id, garage, columns))
    except OutcomeUnknown:
        raise  # the bid may be there, and its images with it
    except MeridianError as exc:
        if bid.images:
            await home.prepare(_detach(garage, id, bid.images))
        if isinstance(exc, Conflict | Invalid):
            await place.read_one(_seen_by(request_id, None), _no_request(), consistency=Consistency.STRONG)
        raise
    return Created(made)


@api.get("/requests/{request_id}/bids", intent=READ, role=[CUSTOMER, STAFF, ADMIN])
async def of_request(call: Call, request_id: UUID, page: Page) -> Items[Bid]:
    """The bids on one of the customer's own requests, newest first, each with its counter-offers."""
    place = call.at(request_id)
    customer = None if oversees(call, request_id) else call.user.id
    bids = await place.read(_of_request(request_id, customer=customer, after=page.after, limit=page.fetch))
    if not bids and page.after is None:
        await place.read_one(_seen_by(request_id, customer), _no_request())
    return page.items(bids, key=lambda bid: bid.id)


@api.get("/bids", intent=READ, role=GARAGE)
async def own(call: Call, page: Page) -> PartialItems[Bid]:
    """The garage's own bids all over its region, newest first."""
    query = _of_garage(call.user.id, page.after, page.fetch)
    return await call.across(query, page=page, key=lambda bid: bid.id, descending=True)


@api.patch("/bids/{bid_id}", intent=WRITE, role=GARAGE, errors=["conflict"])
async def change(call: Call, bid_id: UUID, change: BidChange) -> Bid:
    """Better a pending bid: lower its amount, lengthen its warranty, change its notes (409 for anything worse)."""
    fields = change.given()
    if not fields:
        raise Invalid([FieldError("body", "name at least one field to change")])
    place = call.at(bid_id)
    if "amount" in fields:
        fields["amount"] = exact(fields["amount"], place.region.spec, field="amount")
    write = _change(bid_id, call.user.id, fields)
    return await place.change(write, theirs=one(bid_id, garage=call.user.id), otherwise=_no_bid())


@api.post("/bids/{bid_id}/withdraw", intent=WRITE, role=GARAGE, errors=["conflict"])
async def withdraw(call: Call, bid_id: UUID) -> Bid:
    """Take a pending bid back (409 when it has been decided already)."""
    place = call.at(bid_id)
    write = _withdraw(bid_id, call.user.id)
    return await place.change(write, theirs=one(bid_id, garage=call.user.id), otherwise=_no_bid())
