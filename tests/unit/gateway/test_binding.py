"""Parsing: every wrong field of path, query and body at once; whatever cannot be read at all is told apart from it."""

import asyncio
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import orjson
import pytest
from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request

from core.errors import Invalid, Malformed, MeridianError, TooLarge, UnsupportedMedia
from core.limits import FIELD_ERRORS_MAX
from gateway.marketplace.fields import Latitude, Vin, Year
from gateway.operations import READ, WRITE, Api, Call, Input, Label, Page, Prose
from gateway.operations.binding import Binder
from gateway.operations.operation import Operation
from gateway.signing import Signer

ID = UUID(int=7)
JSON = {"Content-Type": "application/json"}


class Part(Input):
    name: Label
    year: Year = 2000
    lat: Latitude = 0.0
    vin: Vin | None = None
    note: Prose = "none"
    owners: list[Label] = []


class Filter(Input):
    make: Label
    year: Year = 2000


def api() -> Api:
    made = Api(tag="parts")

    @made.post("/parts/{part_id}", intent=WRITE)
    async def save(call: Call, part_id: UUID, part: Part) -> None: ...

    @made.get("/parts/{part_id}/likes", intent=READ)
    async def likes(call: Call, part_id: UUID, wanted: Filter, page: Page) -> None: ...

    return made


SAVE, LIKES = api().operations


def request(operation: Operation, path: str, query: str, body: bytes, headers: dict[str, str]) -> web.Request:
    payload = StreamReader(Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    payload.feed_data(body)
    payload.feed_eof()
    return make_mocked_request(
        operation.method,
        f"/parts/{path}{query}",
        headers=headers,
        match_info={"part_id": path},
        payload=payload,
        client_max_size=10_000,
    )


async def bound(
    operation: Operation = SAVE,
    *,
    path: str = str(ID),
    query: str = "",
    body: bytes = b'{"name": "Mirror"}',
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    binder = Binder(operation, cursors=Signer([b"k"], purpose="cursor"))
    arguments, _ = await binder.arguments(request(operation, path, query, body, JSON if headers is None else headers))
    return arguments


async def refusal(kind: type[MeridianError], **asked: Any) -> MeridianError:
    with pytest.raises(MeridianError) as caught:
        await bound(**asked)
    assert type(caught.value) is kind, caught.value
    return caught.value


async def wrong_fields(**asked: Any) -> dict[str, str]:
    error = await refusal(Invalid, **asked)
    assert isinstance(error, Invalid)
    return {fault.field: fault.message for fault in error.fields}


async def test_arguments_are_typed() -> None:
    found = await bound(body=b'{"name": " Mirror ", "vin": "wdb11111111111111", "year": 2020}')
    assert found == {"part_id": ID, "part": Part(name="Mirror", vin="WDB11111111111111", year=2020)}
    found = await bound(LIKES, query="?make=Kia&limit=3")
    assert (found["part_id"], found["wanted"], found["page"].limit) == (ID, Filter(make="Kia"), 3)


async def test_every_wrong_field_of_path_and_body_is_told_at_once() -> None:
    body = orjson.dumps({"year": 1, "lat": 91, "vin": "IOQ", "note": "", "owners": ["a", ""], "colour": "red"})
    faults = await wrong_fields(path="seven", body=body)
    assert set(faults) == {"part_id", "name", "year", "lat", "vin", "note", "owners.1", "colour"}
    assert faults["vin"] == "must be 17 letters and digits, without I, O and Q"


async def test_every_wrong_field_of_path_query_and_page_is_told_at_once() -> None:
    faults = await wrong_fields(operation=LIKES, path="seven", query="?year=1&color=red&limit=0&cursor=x")
    assert set(faults) == {"part_id", "make", "year", "color", "limit", "cursor"}


async def test_the_list_of_wrong_fields_is_bounded() -> None:
    faults = await wrong_fields(body=orjson.dumps({f"f{n}": 1 for n in range(FIELD_ERRORS_MAX * 2)}))
    assert len(faults) == FIELD_ERRORS_MAX


@pytest.mark.parametrize(
    "text", ["a\x00b", "a\x1bb", "a\x7fb", "a\x85b", "a\x9bb", "a\r\nSet-Cookie: b", "a\nb", "a\tb"]
)
async def test_control_characters_are_refused(text: str) -> None:
    assert set(await wrong_fields(body=orjson.dumps({"name": text + "c"}))) == {"name"}


async def test_words_of_any_script_and_lines_of_prose_are_taken() -> None:
    found = await bound(body=orjson.dumps({"name": "مرآة جانبية", "note": "one\n\ttwo — 👍"}))
    assert (found["part"].name, found["part"].note) == ("مرآة جانبية", "one\n\ttwo — 👍")


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e400", "2000.5", "true", '"MM"', "null"])
async def test_a_number_out_of_all_bounds_is_a_wrong_field(number: str) -> None:
    assert set(await wrong_fields(body=f'{{"name": "a", "year": {number}}}'.encode())) == {"year"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_what_is_no_number_is_no_coordinate(number: str) -> None:
    assert set(await wrong_fields(body=f'{{"name": "a", "lat": {number}}}'.encode())) == {"lat"}


UNREADABLE = [
    b"",
    b"{",
    b"mirror",
    b'{"name": "a"} {}',
    b'{"name": "\xff"}',
    b'{"name": "\xc3"}',
    b'{"name": "\\ud800"}',
    '{"name": "a"}'.encode("utf-16"),
    b'{"name": ' + b"[" * 4000 + b"]" * 4000 + b"}",
    b'{"name": "a", "year": 1' + b"0" * 5000 + b"}",
]


@pytest.mark.parametrize("body", UNREADABLE)
async def test_what_is_not_json_is_malformed(body: bytes) -> None:
    await refusal(Malformed, body=body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"'])
async def test_json_that_is_no_object_is_a_wrong_body(body: bytes) -> None:
    assert set(await wrong_fields(body=body)) == {"body"}


async def test_of_a_key_said_twice_the_last_counts() -> None:
    assert (await bound(body=b'{"name": "a", "name": "b"}'))["part"].name == "b"
    assert (await bound(LIKES, query="?make=a&make=b"))["wanted"].make == "b"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_of_another_type_is_not_read(kind: str) -> None:
    await refusal(UnsupportedMedia, headers={"Content-Type": kind} if kind else {})


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_name_its_charset(kind: str) -> None:
    assert await bound(headers={"Content-Type": kind})


async def test_a_body_over_the_bound_is_too_large() -> None:
    await refusal(TooLarge, body=b'{"name": "' + b"a" * 10_000 + b'"}')


async def test_a_message_never_repeats_what_was_sent() -> None:
    faults = await wrong_fields(path="secret-id", body=b'{"name": "", "year": "secret-year", "vin": "secret-vin"}')
    assert "secret" not in " ".join(faults.values())
