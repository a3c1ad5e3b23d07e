"""Answers: JSON once, private, with an ETag on single resources that a client may give back."""

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import BaseModel

from gateway.operations import READ, WRITE, Api, Call, Created, Items, PartialItems
from gateway.operations.operation import Operation
from gateway.operations.rendering import render


class Part(BaseModel):
    id: UUID = UUID(int=1)
    name: str = "Mirror"
    at: datetime = datetime(2026, 11, 23, 10, tzinfo=UTC)


def api() -> Api:
    made = Api(tag="parts")

    @made.get("/part", intent=READ)
    async def one(call: Call) -> Part: ...  # type: ignore[empty-body]

    @made.get("/parts", intent=READ)
    async def many(call: Call) -> Items[Part]: ...  # type: ignore[empty-body]

    @made.post("/parts", intent=WRITE)
    async def add(call: Call) -> Created[Part]: ...  # type: ignore[empty-body]

    @made.delete("/part", intent=WRITE)
    async def remove(call: Call) -> None: ...

    return made


ONE, MANY, ADD, REMOVE = api().operations
SHOWN = {"id": str(UUID(int=1)), "name": "Mirror", "at": "2026-11-23T10:00:00Z"}


def rendered(result: object, operation: Operation, **headers: str) -> web.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return render(result, operation, make_mocked_request(operation.method, operation.path, headers=sent))


def json_of(response: web.Response) -> object:
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


@pytest.mark.parametrize(
    ("result", "operation", "status", "expected"),
    [
        (Part(), ONE, 200, SHOWN),
        (Created(Part()), ADD, 201, SHOWN),
        (Items[Part](items=[Part()], next="c"), MANY, 200, {"items": [SHOWN], "next": "c"}),
        (
            PartialItems[Part](items=[], partial=True, missing=["sa-2"]),
            MANY,
            200,
            {"items": [], "next": None, "partial": True, "missing": ["sa-2"]},
        ),
    ],
)
def test_a_result_is_json_and_private(result: object, operation: Operation, status: int, expected: object) -> None:
    response = rendered(result, operation)
    assert (response.status, json_of(response)) == (status, expected)
    assert response.headers["Cache-Control"] == "private, no-store"


def test_no_result_is_204_without_a_body() -> None:
    response = rendered(None, REMOVE)
    assert (response.status, response.body) == (204, None)


def test_a_single_resource_has_an_etag_that_changes_with_it() -> None:
    first, second = rendered(Part(), ONE), rendered(Part(name="Lamp"), ONE)
    assert first.headers["ETag"] == rendered(Part(), ONE).headers["ETag"] != second.headers["ETag"]
    assert "ETag" not in rendered(Items[Part](items=[]), MANY).headers
    assert "ETag" not in rendered(Created(Part()), ADD).headers


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other",W/{} ', "*"])
def test_who_has_it_already_gets_304(form: str) -> None:
    etag = rendered(Part(), ONE).headers["ETag"]
    response = rendered(Part(), ONE, If_None_Match=form.format(etag))
    assert (response.status, response.body, response.headers["ETag"]) == (304, None, etag)


@pytest.mark.parametrize("none_match", ["", '"other"', "*, *", '"'])
def test_who_has_something_else_gets_it(none_match: str) -> None:
    assert rendered(Part(), ONE, If_None_Match=none_match).status == 200
