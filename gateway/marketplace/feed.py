"""The open feed: what garages of a region may bid on now. It shows the part, and nothing of who wants it or where."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from core.database.statement import Query, Row
from core.errors import FieldError, Invalid
from gateway.marketplace.money import Money
from gateway.marketplace.requests import Condition
from gateway.marketplace.roles import GARAGE
from gateway.operations import READ, Api, Call, Input, Label, Output, Page, PartialItems

api = Api("/requests", tag="feed")


class FeedFilter(Input):
    """Which open requests to show, and in which order."""

    make: Label | None = Field(
        None,
        description="Only this `car_make`: the `id` of `GET /api/v1/reference/makes` (`toyota`), whatever language it "
        "is shown in; the customer's own words where it is not among them. Capitals do not matter.",
    )
    category: Label | None = Field(
        None,
        description="Only this `part_category`: the `id` of a category of `GET /api/v1/reference/categories` "
        "(`mirrors`), whatever language it is shown in; the customer's own words, to the letter, where it is not among "
        "them.",
    )
    condition: Literal["new", "used"] | None = Field(
        None, description="Only requests that take parts in this condition: those for `any` too."
    )
    sort: Literal["newest", "fewest_bids"] = Field("newest", description="What comes first.")


class OpenRequest(Output):
    """A request that takes bids. `delivery_fee` is null where the customer collects the part.

    `car_make`, `car_model` and `part_category` are as they were sent: ids of the reference data, or own words.
    """

    id: UUID
    car_make: str
    car_model: str
    car_year: int
    part_description: str
    part_number: str | None
    part_category: str | None
    condition_required: Condition
    images: list[UUID]
    delivery_fee: Money | None
    currency: str
    bids: int
    created_at: datetime
    expires_at: datetime


_COLUMNS = """id, car_make, car_model, car_year, part_description, part_number, part_category, condition_required,
    images, bids, created_at, expires_at,
    CASE WHEN delivery_address IS NOT NULL THEN delivery_fee::text END AS delivery_fee"""


def _feed(filter: FeedFilter, currency: str, after: Any, limit: int) -> Query[OpenRequest]:
    """The open requests of one shard. What is not asked for is not in the statement, so that each has its index."""
    args: list[object] = []

    def opened(row: Row) -> OpenRequest:
        return OpenRequest.model_validate({**row, "currency": currency})

    def arg(value: object, type: str) -> str:
        args.append(value)
        return f"${len(args)}::{type}"

    where = ["status = 'active'", "expires_at > now()"]
    if filter.make is not None:
        where.append(f"lower(car_make) = lower({arg(filter.make, 'text')})")
    if filter.category is not None:
        where.append(f"part_category = {arg(filter.category, 'text')}")
    if filter.condition is not None:
        where.append(f"condition_required IN ('any', {arg(filter.condition, 'text')})")
    if filter.sort == "newest":
        order = "id DESC"
        if after is not None:
            where.append(f"id < {arg(after, 'uuid')}")
    else:
        order = "bids, id"
        if after is not None:
            where.append(f"(bids, id) > ({arg(after[0], 'int')}, {arg(after[1], 'uuid')})")
    sql = f"""SELECT {_COLUMNS} FROM marketplace.request WHERE {" AND ".join(where)}
              ORDER BY {order} LIMIT {arg(limit, "int")}"""
    return Query(sql, tuple(args), opened)


@api.get("/open", intent=READ, role=GARAGE)
async def open_requests(call: Call, filter: FeedFilter, page: Page) -> PartialItems[OpenRequest]:
    """What customers of the garage's region are looking for now: newest first, or fewest bids first.

    Who asks, their VIN and where they live are not shown; after an accepted bid the order says what is needed.
    """
    if page.after is not None and isinstance(page.after, list) is (filter.sort == "newest"):
        raise Invalid([FieldError("cursor", "is of a page in another order; keep `sort` as it was")])
    query = _feed(filter, call.region.spec.currency, page.after, page.fetch)
    if filter.sort == "newest":
        return await call.across(query, page=page, key=lambda request: request.id, descending=True)
    return await call.across(query, page=page, key=lambda request: (request.bids, request.id))
