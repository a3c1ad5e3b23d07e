"""A customer's requests for parts. What follows from a request (bids, order, payments) shares its bucket."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from core.database.statement import Query, Row, Write
from core.errors import Conflict, FieldError, Invalid, NotFound
from core.ids import placement_of
from core.storage import rows
from gateway.marketplace.fields import Latitude, Longitude, Vin, Year, distinct
from gateway.marketplace.money import Money, delivery_fee
from gateway.marketplace.roles import CUSTOMER
from gateway.marketplace.sweeps import ending
from gateway.marketplace.vehicles import Make, Model
from gateway.operations import (
    READ,
    WRITE,
    Api,
    Call,
    Created,
    Input,
    Items,
    Label,
    Note,
    Output,
    Page,
    Prose,
)

api = Api("/requests", tag="requests")

LIFETIME_HOURS = 24
NOT_USABLE = "must be uploads of your own that are not deleted and not attached to anything else"
Condition = Literal["new", "used", "any"]
Status = Literal["active", "accepted", "expired", "cancelled"]


class Delivery(Output):
    """Where the part should go."""

    address: str
    lat: float
    lng: float


class NewDelivery(Input):
    """Where the part should go."""

    address: Note
    lat: Latitude
    lng: Longitude


class NewRequest(Input):
    """A part that is wanted. `images` are ids of the customer's own uploads."""

    car_make: Make
    car_model: Model
    car_year: Year
    part_description: Prose = Field(examples=["Side mirror, right, with indicator"])
    part_number: Label | None = None
    part_category: Label | None = Field(
        None,
        description="The `id` of a category of `GET /api/v1/reference/categories` (`mirrors`), whatever language it is "
        "shown in; your own words where it is not among them.",
        examples=["mirrors"],
    )
    condition_required: Condition = "any"
    vin: Vin | None = None
    delivery: NewDelivery | None = None
    images: Annotated[list[UUID], Field(max_length=7), AfterValidator(distinct)] = []


class PartRequest(Output):
    """A request as its customer sees it. `bids` counts the pending ones; `delivery_fee` is null without a delivery.

    `status`: `active` takes bids; `accepted`: a bid was accepted, and there is an order; `expired`: 24 hours went by
    without that; `cancelled` by the customer. Only an active request changes.

    `car_make`, `car_model` and `part_category` are as they were sent: ids of the reference data, or own words.
    """

    id: UUID
    car_make: str
    car_model: str
    car_year: int
    vin: str | None
    part_description: str
    part_number: str | None
    part_category: str | None
    condition_required: Condition
    delivery: Delivery | None
    delivery_fee: Money | None
    currency: str
    images: list[UUID]
    bids: int
    status: Status
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        """A request from its row."""
        address = row["delivery_address"]
        delivery = (
            None if address is None else Delivery(address=address, lat=row["delivery_lat"], lng=row["delivery_lng"])
        )
        return cls.model_validate({**row, "delivery": delivery})


_COLUMNS = """id, car_make, car_model, car_year, vin, part_description, part_number, part_category, condition_required,
    delivery_address, delivery_lat, delivery_lng, images, created_at, expires_at,
    CASE WHEN status = 'active' AND expires_at > now() THEN bids ELSE 0 END AS bids,
    CASE WHEN delivery_address IS NOT NULL THEN delivery_fee::text END AS delivery_fee,
    CASE WHEN status = 'active' AND expires_at <= now() THEN 'expired' ELSE status END AS status"""


def _in(currency: str) -> Callable[[Row], PartRequest]:
    """How a row is read where that is the currency: all of a region's requests have the same, so no row names it."""
    return lambda row: PartRequest.of({**row, "currency": currency})


def _of(customer: UUID, currency: str, after: str | None, limit: int) -> Query[PartRequest]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.request
            WHERE bucket = $1 AND customer = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4""",
        (placement_of(customer).bucket, customer, after, limit),
        _in(currency),
    )


def _one(id: UUID, customer: UUID, currency: str) -> Query[PartRequest]:
    return Query(
        f"SELECT {_COLUMNS} FROM marketplace.request WHERE bucket = $1 AND id = $2 AND customer = $3",
        (placement_of(id).bucket, id, customer),
        _in(currency),
    )


def _create(id: UUID, customer: UUID, new: NewRequest, fee: Decimal, currency: str) -> Write[PartRequest]:
    columns: dict[str, Any] = {
        "bucket": placement_of(id).bucket,
        "id": id,
        "customer": customer,
        **new.model_dump(exclude={"delivery"}),
        "delivery_address": new.delivery.address if new.delivery else None,
        "delivery_lat": new.delivery.lat if new.delivery else None,
        "delivery_lng": new.delivery.lng if new.delivery else None,
        "delivery_fee": fee,
    }
    at = {name: f"${number}" for number, name in enumerate(columns, start=1)}
    images = at["images"] + "::uuid[]"
    used = rows.used(bucket=at["bucket"], ids=images, owner=at["customer"], by=at["id"])
    return Write(
        bucket=columns["bucket"],
        first=used if new.images else "",
        sql=f"""INSERT INTO marketplace.request ({", ".join(columns)}, expires_at)
                SELECT {", ".join(at.values())}, now() + interval '{LIFETIME_HOURS} hours'
                {f"WHERE {rows.all_used(images)}" if new.images else ""} RETURNING {_COLUMNS}""",
        args=tuple(columns.values()),
        row=_in(currency),
        refusals={"file_not_usable": Invalid([FieldError("images", NOT_USABLE)])},
    )


def _cancel(id: UUID, customer: UUID, currency: str) -> Write[PartRequest]:
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql=f"""UPDATE marketplace.request SET status = 'cancelled'
                WHERE bucket = $1 AND id = $2 AND customer = $3 AND status = 'active' AND expires_at > now()
                RETURNING {_COLUMNS}""",
        args=(bucket, id, customer),
        row=_in(currency),
        if_none=Conflict("this request is not active, so it cannot be cancelled"),
    )


JOBS: Final = (
    ending(
        "expire requests",
        "marketplace.request",
        due="status = 'active' AND expires_at <= now()",
        oldest="expires_at",
        change="status = 'expired'",
        every_s=10.0,
    ),
)
"""Their bids and offers end with them."""


def _no_request() -> NotFound:
    return NotFound("you have no such request")


@api.post("", intent=WRITE, role=CUSTOMER)
async def create(call: Call, request: NewRequest) -> Created[PartRequest]:
    """Ask the region's garages for a part; the request lives 24 hours.

    What follows: garages bid (`GET /requests/{request_id}/bids`), you may make counter-offers, and accepting a bid
    (`POST /bids/{bid_id}/accept`) makes an order. Paying (`POST /orders/{order_id}/payments`) confirms the order, the
    garage prepares the part, a driver brings it, or you collect it if the request has no `delivery`. You confirm that
    it is right, or dispute it within 48 hours, and review a completed order.

    The delivery fee is decided now, by the distance from the region's hub.
    """
    home, to = call.home, request.delivery
    spec = home.region.spec
    fee = delivery_fee(spec, to.lat, to.lng) if to else Decimal(0)
    return Created(await home.write(_create(home.new_id(), call.user.id, request, fee, spec.currency)))


@api.get("", intent=READ, role=CUSTOMER)
async def own(call: Call, page: Page) -> Items[PartRequest]:
    """The customer's own requests, newest first."""
    home = call.home
    rows = await home.read(_of(call.user.id, home.region.spec.currency, page.after, page.fetch))
    return page.items(rows, key=lambda request: request.id)


@api.get("/{request_id}", intent=READ, role=CUSTOMER)
async def one(call: Call, request_id: UUID) -> PartRequest:
    """One of the customer's own requests."""
    place = call.at(request_id)
    return await place.read_one(_one(request_id, call.user.id, place.region.spec.currency), _no_request())


@api.post("/{request_id}/cancel", intent=WRITE, role=CUSTOMER, errors=["conflict"])
async def cancel(call: Call, request_id: UUID) -> PartRequest:
    """Cancel an active request (409 when it has ended already)."""
    place, customer = call.at(request_id), call.user.id
    currency = place.region.spec.currency
    write, theirs = _cancel(request_id, customer, currency), _one(request_id, customer, currency)
    return await place.change(write, theirs=theirs, otherwise=_no_request())
