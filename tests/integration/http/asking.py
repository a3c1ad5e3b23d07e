"""What the tests of the HTTP contract share: good bodies, new customers of a shard, and how a problem looks."""

import io
from collections.abc import Mapping
from http.cookies import Morsel, SimpleCookie
from typing import Any, cast
from uuid import UUID

from aiohttp import FormData
from multidict import CIMultiDictProxy

from core.ids import placement_of
from core.region import Region
from tests.system import Answer, Client, Person, Phones

Json = dict[str, Any]

PASSWORD = "a-good-password"
VEHICLE: Json = {"make": "Toyota", "model": "Hilux", "year": 2020, "vin": "JTEBU5JR8A5012345", "nickname": "Red"}
ADDRESS: Json = {"label": "Home", "address_text": "Street 1\nBuilding 2", "lat": 25.3, "lng": 51.5}
REQUEST: Json = {
    "car_make": "Toyota",
    "car_model": "Hilux",
    "car_year": 2020,
    "part_description": "Side mirror, right",
    "part_number": "87910-0K",
    "part_category": "Body",
    "condition_required": "used",
    "vin": "JTEBU5JR8A5012345",
    "delivery": {"address": "Street 1", "lat": 25.3, "lng": 51.5},
}
REGION_OF = {"qa-1": "qa", "sa-1": "sa", "sa-2": "sa"}


def region_of(client: Client, person: Person) -> Region:
    """The live region of a person's account."""
    assert client.runtime is not None
    return client.runtime.fleet.by_code[placement_of(UUID(person.id)).region_code]


def shard_of(client: Client, person: Person) -> str:
    """The shard that holds a person's rows."""
    return str(region_of(client, person).owner(placement_of(UUID(person.id)).bucket).name)


def phone_of(phones: Phones, shard: str) -> str:
    """A new number of the country that the shard's region serves."""
    return phones.qatar() if REGION_OF[shard] == "qa" else phones.saudi()


async def new_person(client: Client, phones: Phones, shard: str, role: str = "customer", **more: Any) -> Person:
    """A new user whose rows lie on that shard: the phone number decides, so numbers are tried."""
    for _ in range(40):
        person = await client.register(phone_of(phones, shard), role, **more)
        if shard_of(client, person) == shard:
            return person
    raise AssertionError(f"of 40 new users none fell on {shard}")


def photo(data: bytes = b"\x89PNG\r\n\x1a\n" + bytes(92), name: str = "part.png", field: str = "file") -> FormData:
    """A form that sends one file."""
    body = FormData(quote_fields=False)
    body.add_field(field, io.BytesIO(data), filename=name, content_type="image/png")
    return body


async def made(client: Client, user: Person, path: str, body: Mapping[str, Any]) -> Json:
    """A resource just created; an upload is a small photo."""
    sent: dict[str, Any] = {"data": photo()} if path == "/uploads" else {"json": body}
    answer = await client.call("POST", path, user=user, **sent)
    assert answer.status == 201, answer
    return cast("Json", answer.json)


async def listed(client: Client, user: Person, path: str, **query: str | int) -> list[Json]:
    """The first page of a list."""
    answer = await client.call("GET", path, user=user, params=query)
    assert answer.status == 200, answer
    return cast("list[Json]", answer.json["items"])


async def log_in(client: Client, phone: str, password: str = PASSWORD, **more: Any) -> Answer:
    """A login, as any client would try it."""
    headers = more.pop("headers", None)
    body = {"phone_number": phone, "password": password, **more}
    return await client.call("POST", "/auth/login", json=body, headers=headers)


def person_of(answer: Answer) -> Person:
    """The user whom a register, login or refresh by tokens has answered."""
    assert answer.status in (200, 201), answer
    user = answer.json["user"]
    return Person(
        user["id"],
        user["phone_number"],
        answer.json["access_token"],
        answer.json["refresh_token"],
        answer.headers.get("Consistency-Token", ""),
    )


def is_problem(answer: Answer, status: int, code: str, *fields: str) -> bool:
    """Assert that an answer is the contract's problem with this status and code, naming exactly these fields."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer
    members = {"type", "title", "status", "detail", "code", "request_id"} | ({"errors"} if status == 422 else set())
    assert set(answer.json) == members
    assert (answer.json["status"], answer.json["code"]) == (status, code), answer.json
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert {error["field"] for error in answer.json.get("errors", [])} == set(fields), answer.json
    return True


def cookies_of(answer: Answer) -> dict[str, Morsel[str]]:
    """The cookies that an answer sets."""
    jar = SimpleCookie()
    for line in cast("CIMultiDictProxy[str]", answer.headers).getall("Set-Cookie", []):
        jar.load(line)
    return dict(jar)
