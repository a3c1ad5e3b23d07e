"""The operation API: what a declaration says is what is served, and one that cannot be meant is refused at once."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from gateway.marketplace import SERVICE
from gateway.operations import READ, WRITE, Api, Call, Created, Items, Page, Shared
from gateway.operations.operation import Operation


class Bid(BaseModel):
    amount: int


class Filter(BaseModel):
    make: str = ""


def declared(method: str, path: str, handler: Callable[..., Any], **more: Any) -> Operation:
    api = Api("/api/v1", tag="bids")
    api.operation(method, path, **{"intent": WRITE, **more})(handler)
    return api.operations[0]


def test_a_declaration_is_read_from_the_handlers_types() -> None:
    async def submit(call: Call, request_id: UUID, bid: Bid) -> Created[Bid]:
        """Offer a price.

        More words.
        """
        raise NotImplementedError

    found = declared("POST", "/requests/{request_id}/bids", submit, role="garage", phone_field="amount")
    assert (found.path, found.name, found.summary) == (
        "/api/v1/requests/{request_id}/bids",
        "bids_submit",
        "Offer a price.",
    )
    assert [(p.name, p.type) for p in found.path_parameters] == [("request_id", UUID)]
    assert (found.body, found.query, found.page) == (("bid", Bid), None, None)
    assert (found.result, found.status, found.roles, found.phone_field) == (Bid, 201, frozenset({"garage"}), "amount")


def test_a_get_has_a_query_and_a_page_and_no_result_is_204() -> None:
    async def feed(call: Call, wanted: Filter, page: Page) -> Items[Bid]:
        raise NotImplementedError

    async def forget(call: Call) -> None:
        raise NotImplementedError

    found = declared("GET", "/bids", feed, intent=READ, role=["garage", "staff"])
    assert (found.query, found.body, found.page, found.status) == (("wanted", Filter), None, "page", 200)
    assert found.roles == {"garage", "staff"}
    assert declared("DELETE", "/bids", forget).status == 204


async def no_argument(call: Call) -> None: ...
async def no_type(call: Call, bid) -> None: ...  # type: ignore[no-untyped-def]
async def no_result(call: Call): ...  # type: ignore[no-untyped-def]
async def no_place(call: Call, amount: int) -> None: ...
async def two_bodies(call: Call, bid: Bid, wanted: Filter) -> None: ...
async def two_pages(call: Call, page: Page, other: Page) -> None: ...


WRONG: list[tuple[str, str, Callable[..., Any], dict[str, Any], str]] = [
    ("GET", "/bids/{bid_id}", no_argument, {}, "bid_id stands in the path"),
    ("POST", "/bids", no_type, {}, "bid has no type"),
    ("POST", "/bids", no_result, {}, "return has no type"),
    ("POST", "/bids", no_place, {}, "argument amount is neither"),
    ("POST", "/bids", two_bodies, {}, "wanted is a second body"),
    ("GET", "/bids", two_bodies, {}, "wanted is a second query"),
    ("GET", "/bids", two_pages, {}, "other is a second page"),
    ("POST", "/bids", no_argument, {"phone_field": "phone"}, "no field phone"),
    ("POST", "/bids", no_argument, {"public": True, "role": "garage"}, "is public"),
    ("POST", "/bids", no_argument, {"public": True, "shared": Shared(("bids",))}, "only a GET for anybody can"),
    ("GET", "/bids", no_argument, {"shared": Shared(("bids",))}, "only a GET for anybody can"),
    ("GET", "/bids", no_argument, {"public": True, "shared": Shared(("bid-{bid_id}",))}, "does not stand in the path"),
]


@pytest.mark.parametrize(("method", "path", "handler", "more", "said"), WRONG)
def test_a_declaration_that_cannot_be_meant_is_refused(
    method: str, path: str, handler: Callable[..., Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        declared(method, path, handler, **more)


def test_a_call_is_declared_once() -> None:
    api, whole = Api("/bids"), Api("/api/v1")
    api.post("", intent=WRITE)(no_argument)
    with pytest.raises(ValueError, match="POST /bids is declared twice"):
        api.post("", intent=WRITE)(no_argument)
    whole.include(api)
    with pytest.raises(ValueError, match="POST /api/v1/bids is declared twice"):
        whole.include(api)


def test_every_operation_of_the_service_is_named_for_itself_and_says_what_it_does() -> None:
    operations = SERVICE.api.operations
    assert len({o.name for o in operations}) == len(operations)
    assert [o.name for o in operations if not o.summary.endswith((".", ")"))] == []
    assert [o.name for o in operations if o.method == "GET" and o.intent is not READ] == []
