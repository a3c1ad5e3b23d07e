"""Whose a row is: of every declared operation it is known whose rows it touches, and nobody touches another's.

The cases are generated from the registry of operations: a new operation without an entry here fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from core.ids import Placement, make_id
from gateway.marketplace import SERVICE
from gateway.operations.operation import Operation
from tests.integration.http.asking import ADDRESS, REQUEST, VEHICLE, Json, is_problem, made, new_person, photo, shard_of
from tests.system import SHARDS, Answer, Client, Person, Phones

OPERATIONS = {operation.name: operation for operation in SERVICE.api.operations}


@dataclass(frozen=True)
class Owned:
    """A kind of resource: where it is made, of what, and how another's is asked for by each of its operations."""

    path: str
    body: Json
    bodies: Mapping[str, Json]


OWNED = [
    Owned("/vehicles", VEHICLE, {"vehicles_one": {}, "vehicles_change": {"year": 1999}, "vehicles_remove": {}}),
    Owned("/addresses", ADDRESS, {"addresses_one": {}, "addresses_change": {"label": "Mine"}, "addresses_remove": {}}),
    Owned("/uploads", {}, {"uploads_content": {}, "uploads_delete": {}}),
    Owned("/requests", REQUEST, {"requests_one": {}, "requests_cancel": {}}),
]
LISTS = {"vehicles_own": "/vehicles", "addresses_own": "/addresses", "requests_own": "/requests"}
OF_THE_CALLER_ALONE = {
    "auth_log_out": {},
    "auth_log_out_everywhere": {},
    "auth_session": {},
    "me_me": {},
    "me_change": {"full_name": "New"},
    "me_change_password": {"current_password": "x", "new_password": "a-better-password"},
    "me_change_phone": {"phone_number": "+97455001234", "password": "x"},
    "vehicles_add": VEHICLE,
    "addresses_add": ADDRESS,
    "uploads_create": {},
    "requests_create": REQUEST,
}
PUBLIC = {"auth_register", "auth_log_in", "auth_refresh", "route_route"}

BY_RESOURCE = [(owned, name) for owned in OWNED for name in owned.bodies]


def path_of(operation: Operation, id: object = None) -> str:
    """The path of a call; an id takes the place of its one parameter."""
    return operation.path.replace("{" + operation.path_parameters[0].name + "}", str(id)) if id else operation.path


async def ask(client: Client, name: str, user: Person | None, body: Json, id: object = None) -> Answer:
    operation = OPERATIONS[name]
    more: dict[str, Any] = {} if operation.body is None else {"json": body}
    if operation.upload is not None:
        more = {"data": photo()}
    return await client.call(operation.method, path_of(operation, id), user=user, **more)


def test_of_every_operation_it_is_known_whose_rows_it_touches() -> None:
    by_resource = {name for _, name in BY_RESOURCE}
    known = [*by_resource, *LISTS, *OF_THE_CALLER_ALONE, *PUBLIC]
    assert sorted(known) == sorted(OPERATIONS), "add the new operation to this file"
    assert {name for name, operation in OPERATIONS.items() if operation.path_parameters} == by_resource
    assert {name for name, operation in OPERATIONS.items() if operation.public} == PUBLIC


@pytest.fixture(scope="module")
async def strangers(gateway: Client, phones: Phones) -> list[Person]:
    """Other customers: of the owner's shard, of its sister's, of the other region's."""
    return [await new_person(gateway, phones, shard) for shard in SHARDS]


@pytest.mark.parametrize("owned", OWNED, ids=lambda owned: owned.path)
async def test_nobody_reads_or_changes_what_is_anothers(
    gateway: Client, customer: Person, strangers: list[Person], owned: Owned
) -> None:
    theirs = await made(gateway, customer, owned.path, owned.body)
    for stranger, (name, body) in product(strangers, owned.bodies.items()):
        refused = await ask(gateway, name, stranger, body, theirs["id"])
        is_problem(refused, 404, "not_found")
        assert customer.id not in refused.body.decode()
    still = await gateway.call("GET", f"{owned.path}/{theirs['id']}", user=customer)
    assert still.status == 200
    assert still.json in (theirs, None), "None: an upload is a file, no JSON"


@pytest.mark.parametrize(("owned", "name"), BY_RESOURCE, ids=lambda value: value if isinstance(value, str) else "")
async def test_what_does_not_exist_looks_like_what_is_anothers(
    gateway: Client, phones: Phones, owned: Owned, name: str
) -> None:
    person = await gateway.register(phones.saudi())
    nothing = [
        make_id(Placement(1, 7), now_ms=1, random_bits=1),
        make_id(Placement(2, 7), now_ms=1, random_bits=1),
        make_id(Placement(9, 7), now_ms=1, random_bits=1),
        UUID("01234567-0123-4123-8123-0123456789ab"),
        UUID(int=0),
    ]
    for id in nothing:
        is_problem(await ask(gateway, name, person, owned.bodies[name], id), 404, "not_found")
    is_problem(
        await ask(gateway, name, person, owned.bodies[name], "seven"),
        422,
        "invalid",
        OPERATIONS[name].path_parameters[0].name,
    )


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_shows_ones_own_rows_and_no_others(
    gateway: Client, customer: Person, strangers: list[Person], name: str
) -> None:
    body = next(owned.body for owned in OWNED if owned.path == LISTS[name])
    mine = await made(gateway, customer, LISTS[name], body)
    theirs = [(await made(gateway, stranger, LISTS[name], body))["id"] for stranger in strangers]
    assert (await ask(gateway, name, customer, {})).json["items"] == [mine]
    for stranger, id in zip(strangers, theirs, strict=True):
        shown = [item["id"] for item in (await ask(gateway, name, stranger, {})).json["items"]]
        assert (shown[0], mine["id"] in shown) == (id, False)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - PUBLIC))
async def test_nobody_in_particular_is_asked_to_log_in(gateway: Client, name: str) -> None:
    id = make_id(Placement(1, 7), now_ms=1, random_bits=1) if OPERATIONS[name].path_parameters else None
    is_problem(await ask(gateway, name, None, {}, id), 401, "unauthenticated")


@pytest.mark.parametrize("name", sorted(name for name, operation in OPERATIONS.items() if operation.roles))
async def test_a_role_does_only_its_own_work(gateway: Client, phones: Phones, name: str) -> None:
    role = "garage" if "customer" in OPERATIONS[name].roles else "customer"
    person = await gateway.register(phones.qatar(), role)
    id = make_id(Placement(1, 7), now_ms=1, random_bits=1) if OPERATIONS[name].path_parameters else None
    is_problem(await ask(gateway, name, person, {}, id), 403, "forbidden")


async def test_a_token_of_one_region_cannot_reach_into_the_other_whatever_it_chooses(
    gateway: Client, phones: Phones
) -> None:
    doha, riyadh = await gateway.register(phones.qatar()), await gateway.register(phones.saudi())
    theirs = await made(gateway, riyadh, "/requests", REQUEST)
    for region in ("qa", "sa"):
        answer = await gateway.call(
            "GET", f"/requests/{theirs['id']}", user=doha, headers={"X-Region": region, "Consistency": "strong"}
        )
        is_problem(answer, 404, "not_found")
        assert answer.headers["Meridian-Route"].startswith(f"{shard_of(gateway, riyadh)}/primary; by=id; epoch=")


async def test_an_id_of_the_other_region_is_read_from_the_other_region(gateway: Client, customer: Person) -> None:
    created = await made(gateway, customer, "/requests", REQUEST)
    shard = shard_of(gateway, customer)
    for region in ("qa", "sa"):
        answer = await gateway.call(
            "GET", f"/requests/{created['id']}", user=customer, headers={"X-Region": region, "CF-IPCountry": "QA"}
        )
        assert (answer.status, answer.json["id"]) == (200, created["id"])
        assert answer.headers["Meridian-Route"].split("/")[0] == shard
        assert "; by=id; epoch=" in answer.headers["Meridian-Route"]
