"""Notifications: what people are told of, and the API by which they read it. `telling` writes them."""

from datetime import datetime
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from core.database.statement import Query, Row, Write
from core.ids import placement_of
from gateway.operations import READ, WRITE, Api, Call, Input, Items, Output, Page

api = Api("/notifications", tag="notifications")

UNREAD_MAX: Final = 1000


class Notification(Output):
    """Something that happened. `subject` is the id of what it happened to; `about` has what the kind says beside it."""

    id: UUID
    kind: str
    subject: UUID
    about: dict[str, str]
    created_at: datetime
    read_at: datetime | None


class Which(Input):
    """Which notifications to list."""

    unread: bool = Field(False, description="Only those that have not been read.")


class MarkedRead(Input):
    """The notifications that were read: some by their ids, or all there are."""

    ids: list[UUID] | None = Field(None, max_length=100)
    all: Literal[True] | None = Field(None, examples=[True])

    @model_validator(mode="after")
    def _some_or_all(self) -> Self:
        if (self.ids is None) == (self.all is None):
            raise ValueError("name `ids`, or say `all: true`")
        return self


class UnreadCount(Output):
    """How many notifications are not read yet; 1000 stands for that many or more."""

    unread: int


def _notification(row: Row) -> Notification:
    return Notification.model_validate(dict(row))


def _unread(row: Row) -> UnreadCount:
    return UnreadCount(unread=row["unread"])


def _of(account: UUID, *, unread: bool, after: str | None, limit: int) -> Query[Notification]:
    return Query(
        f"""SELECT id, kind, subject, about, created_at, read_at FROM marketplace.notification
            WHERE bucket = $1 AND account = $2 AND ($3::uuid IS NULL OR id < $3)
                {"AND read_at IS NULL" if unread else ""} ORDER BY id DESC LIMIT $4""",
        (placement_of(account).bucket, account, after, limit),
        _notification,
    )


def _count(account: UUID) -> Query[UnreadCount]:
    return Query(
        f"""SELECT count(*)::int AS unread FROM (
                SELECT FROM marketplace.notification WHERE bucket = $1 AND account = $2 AND read_at IS NULL
                LIMIT {UNREAD_MAX}) AS unseen""",
        (placement_of(account).bucket, account),
        _unread,
    )


def _read(account: UUID, ids: list[UUID] | None) -> Write[UnreadCount]:
    """Note that notifications were read (all: `ids` None); how many are left, which is counted as it was before."""
    bucket = placement_of(account).bucket
    return Write(
        bucket=bucket,
        # In order, so that two of these never wait for each other.
        first="""seen AS (
            SELECT id FROM marketplace.notification
            WHERE bucket = $1 AND account = $2 AND read_at IS NULL AND ($3::uuid[] IS NULL OR id = ANY($3))
            ORDER BY id FOR UPDATE),
        read AS (
            UPDATE marketplace.notification n SET read_at = now() FROM seen WHERE n.bucket = $1 AND n.id = seen.id)""",
        sql=f"""SELECT count(*)::int AS unread FROM (
                    SELECT FROM marketplace.notification
                    WHERE bucket = $1 AND account = $2 AND read_at IS NULL AND NOT ($3::uuid[] IS NULL OR id = ANY($3))
                    LIMIT {UNREAD_MAX}) AS unseen""",
        args=(bucket, account, ids),
        row=_unread,
    )


@api.get("", intent=READ)
async def own(call: Call, which: Which, page: Page) -> Items[Notification]:
    """The user's own notifications, the newest first.

    `kind` says what happened, `subject` to what, `about` the rest. More kinds may come; show those you know. They are
    kept for 90 days.

    - `request.expired`: nobody's bid was accepted in time. The request; customer.
    - `bid.submitted`, `bid.withdrawn`: the bid; customer. About: `request_id`.
    - `bid.accepted`, `bid.rejected`, `bid.expired`: the bid; garage. About: `request_id`.
    - `counter_offer.made`: the offer; whoever is to answer. `counter_offer.accepted`, `.rejected`, `.countered`,
      `.expired`: the offer; whoever made it. About: `bid_id`, `request_id`.
    - `order.status_changed`: the order; customer, garage and driver, except who changed it. About: `number`, `status`,
      and `from` unless the order is new.
    - `delivery.assigned`, `delivery.unassigned`: the order; the driver. About: `number`.
    - `payment.succeeded`, `payment.failed`, `payment.refunded`: the payment; customer. About: `order_id`, `amount`,
      `currency`, and of a payment its `kind`.
    - `dispute.opened`: the dispute; garage. About: `order_id`, `number`, `reason`.
    - `dispute.resolved` (money is given back), `dispute.rejected`: the dispute; both sides. About: `order_id`,
      `number`.
    - `review.published`: the review; customer and garage. `review.rejected`: the review; customer. About: `garage_id`.
    """
    rows = await call.home.read(_of(call.user.id, unread=which.unread, after=page.after, limit=page.fetch))
    return page.items(rows, key=lambda notification: notification.id)


@api.get("/unread-count", intent=READ)
async def unread_count(call: Call) -> UnreadCount:
    """How many notifications the user has not read; counted to 1000."""
    (count,) = await call.home.read(_count(call.user.id))
    return count


@api.post("/read", intent=WRITE)
async def mark_read(call: Call, read: MarkedRead) -> UnreadCount:
    """Mark notifications as read: some by their ids (at most 100), or all. Answers how many are left.

    Ids that are not of your own notifications are passed over.
    """
    return await call.home.write(_read(call.user.id, read.ids))
