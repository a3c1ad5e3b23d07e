"""Reviews: a customer judges a completed order, the staff let it be seen, and anybody can read it."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from core.database.statement import Query, Row, Write
from core.errors import Conflict, NotFound
from core.ids import placement_of
from gateway.marketplace.access import require_home
from gateway.marketplace.orders import no_order
from gateway.marketplace.orders import one as order_of
from gateway.marketplace.roles import ADMIN, CUSTOMER, STAFF
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
    Shared,
)

api = Api("", tag="reviews")

Rating = Annotated[int, Field(ge=1, le=5, examples=[5])]
ModerationStatus = Literal["pending", "published", "rejected"]
NOT_COMPLETED = "an order can be reviewed when it is completed"
REVIEWED = "you have reviewed this order already"
MODERATED = "this review has been moderated already"
_GROUP = "garage-{garage_id}"


class NewReview(Input):
    """One to five, five being the best: for the whole, and for what the customer wants to judge by itself."""

    rating: Rating
    part_rating: Rating | None = None
    communication_rating: Rating | None = None
    delivery_rating: Rating | None = None
    comment: Prose | None = None


class Moderation(Input):
    """`publish` lets everybody read the review, `reject` nobody. The note stays with the staff."""

    decision: Literal["publish", "reject"]
    note: Note | None = None


class PublishedReview(Output):
    """A review as everybody sees it: of its author the initial, of the order nothing."""

    id: UUID
    author: str
    rating: int
    part_rating: int | None
    communication_rating: int | None
    delivery_rating: int | None
    comment: str | None
    created_at: datetime


class Review(PublishedReview):
    """A review as its author and the staff see it. `status`: `pending` until the staff publish or reject it."""

    order_id: UUID
    garage_id: UUID
    status: ModerationStatus
    moderated_at: datetime | None


_PUBLISHED = """v.id, v.author, v.rating, v.part_rating, v.communication_rating, v.delivery_rating, v.comment,
    v.created_at"""
_COLUMNS = f"{_PUBLISHED}, v.order_id, v.garage AS garage_id, v.status, v.moderated_at"


def _published(row: Row) -> PublishedReview:
    return PublishedReview.model_validate(dict(row))


def _review(row: Row) -> Review:
    return Review.model_validate(dict(row))


def _of_garage(garage: UUID, after: str | None, limit: int) -> Query[PublishedReview]:
    return Query(
        f"""SELECT {_PUBLISHED} FROM marketplace.review v
            WHERE v.garage = $1 AND v.status = 'published' AND ($2::uuid IS NULL OR v.id < $2)
            ORDER BY v.id DESC LIMIT $3""",
        (garage, after, limit),
        _published,
    )


def _pending(after: str | None, limit: int) -> Query[Review]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.review v
            WHERE v.status = 'pending' AND ($1::uuid IS NULL OR v.id > $1) ORDER BY v.id LIMIT $2""",
        (after, limit),
        _review,
    )


def _is_there(id: UUID) -> Query[bool]:
    return Query(
        "SELECT true AS there FROM marketplace.review WHERE bucket = $1 AND id = $2",
        (placement_of(id).bucket, id),
        lambda row: bool(row["there"]),
    )


def _write(id: UUID, order: UUID, customer: UUID, new: NewReview) -> Write[Review]:
    """A review of a completed order, which stays completed: nothing needs a lock. The author is an initial."""
    bucket = placement_of(order).bucket
    columns = {"bucket": bucket, "id": id, "order_id": order, "customer": customer, **new.model_dump()}
    at = {name: f"${number}" for number, name in enumerate(columns, start=1)}
    return Write(
        bucket=bucket,
        sql=f"""INSERT INTO marketplace.review AS v ({", ".join(columns)}, garage, author)
                SELECT {", ".join(at.values())}, o.garage, upper(left(btrim(a.full_name), 1)) || '.'
                FROM marketplace.orders o JOIN marketplace.account a ON a.bucket = o.bucket AND a.id = o.customer
                WHERE o.bucket = {at["bucket"]} AND o.id = {at["order_id"]} AND o.customer = {at["customer"]}
                    AND o.status = 'completed'
                RETURNING {_COLUMNS}""",
        args=tuple(columns.values()),
        row=_review,
        if_none=Conflict(NOT_COMPLETED),
        refusals={"one_review": REVIEWED},
    )


def _moderate(id: UUID, moderation: Moderation, *, by: UUID) -> Write[Review]:
    bucket = placement_of(id).bucket
    status = "published" if moderation.decision == "publish" else "rejected"
    return Write(
        bucket=bucket,
        sql=f"""UPDATE marketplace.review v
                SET status = $3, moderated_at = now(), moderated_by = $4, moderation_note = $5
                WHERE v.bucket = $1 AND v.id = $2 AND v.status = 'pending' RETURNING {_COLUMNS}""",
        args=(bucket, id, status, by, moderation.note),
        row=_review,
        if_none=Conflict(MODERATED),
    )


@api.post("/orders/{order_id}/review", intent=WRITE, role=CUSTOMER, errors=["conflict"])
async def create(call: Call, order_id: UUID, review: NewReview) -> Created[Review]:
    """Review one of your own completed orders, once (otherwise 409). Others see it when the staff have published it.

    They see your initial, and nothing else of you.
    """
    place, customer = call.at(order_id), call.user.id
    write, theirs = _write(place.new_id(), order_id, customer, review), order_of(order_id, party=customer)
    return Created(await place.change(write, theirs=theirs, otherwise=no_order()))


@api.get(
    "/garages/{garage_id}/reviews",
    intent=READ,
    public=True,
    shared=Shared((_GROUP,)),
    errors=["not_found"],
)
async def of_garage(call: Call, garage_id: UUID, page: Page) -> PartialItems[PublishedReview]:
    """What customers said of a garage, the newest first; nobody needs to be logged in.

    An id of no garage has no reviews.
    """
    call.at(garage_id)
    query = _of_garage(garage_id, page.after, page.fetch)
    return await call.across(query, page=page, key=lambda review: review.id, descending=True)


@api.get("/reviews/pending", intent=READ, role=[STAFF, ADMIN])
async def pending(call: Call, page: Page) -> PartialItems[Review]:
    """The region's reviews that nobody has moderated yet, the oldest first."""
    return await call.across(_pending(page.after, page.fetch), page=page, key=lambda review: review.id)


@api.post("/reviews/{review_id}/moderate", intent=WRITE, role=[STAFF, ADMIN], errors=["conflict"])
async def moderate(call: Call, review_id: UUID, moderation: Moderation) -> Review:
    """Publish or reject a review of the region, once (otherwise 409).

    Its author is told, and when it is published its garage.
    """
    nothing = NotFound("there is no such review in your region")
    require_home(call, review_id, nothing)
    write = _moderate(review_id, moderation, by=call.user.id)
    review = await call.at(review_id).change(write, theirs=_is_there(review_id), otherwise=nothing)
    if review.status == "published":
        call.changes(_GROUP.format(garage_id=review.garage_id))
    return review
