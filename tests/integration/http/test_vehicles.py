"""A customer's vehicles: what is kept of them, and that there are ten at most whatever happens at once."""

import asyncio

import pytest

from tests.integration.http.asking import VEHICLE, is_problem, listed, made
from tests.system import Client, Person, Phones


async def test_a_vehicle_is_kept_as_it_was_given(gateway: Client, customer: Person) -> None:
    created = await made(gateway, customer, "/vehicles", {**VEHICLE, "vin": VEHICLE["vin"].lower()})
    assert {name: created[name] for name in VEHICLE} == VEHICLE
    assert created["created_at"].endswith("Z")
    assert created["updated_at"] == created["created_at"]
    assert (await gateway.call("GET", f"/vehicles/{created['id']}", user=customer)).json == created
    assert await listed(gateway, customer, "/vehicles") == [created]


async def test_there_are_ten_at_most_even_when_they_come_at_once(gateway: Client, customer: Person) -> None:
    adding = (gateway.call("POST", "/vehicles", user=customer, json=VEHICLE) for _ in range(13))
    answers = await asyncio.gather(*adding)
    refused = [answer for answer in answers if answer.status != 201]
    assert len(refused) == 3
    for answer in refused:
        is_problem(answer, 409, "conflict")
        assert "ten vehicles" in answer.json["detail"]
    assert len(await listed(gateway, customer, "/vehicles")) == 10


async def test_removing_one_frees_its_place_once(gateway: Client, customer: Person) -> None:
    ids = [(await made(gateway, customer, "/vehicles", VEHICLE))["id"] for _ in range(10)]
    removing = (gateway.call("DELETE", f"/vehicles/{ids[0]}", user=customer) for _ in range(3))
    assert sorted(answer.status for answer in await asyncio.gather(*removing)) == [204, 404, 404]
    await made(gateway, customer, "/vehicles", VEHICLE)
    is_problem(await gateway.call("POST", "/vehicles", user=customer, json=VEHICLE), 409, "conflict")
    is_problem(await gateway.call("GET", f"/vehicles/{ids[0]}", user=customer), 404, "not_found")


async def test_a_null_clears_what_may_be_empty_and_what_is_left_out_stays(gateway: Client, customer: Person) -> None:
    path = f"/vehicles/{(await made(gateway, customer, '/vehicles', VEHICLE))['id']}"
    changed = await gateway.call("PATCH", path, user=customer, json={"vin": None, "year": 2021})
    expected = {**VEHICLE, "vin": None, "year": 2021}
    assert {name: changed.json[name] for name in VEHICLE} == expected
    assert changed.json["updated_at"] > changed.json["created_at"]
    changed = await gateway.call("PATCH", path, user=customer, json={"make": "Lexus"})
    assert {name: changed.json[name] for name in VEHICLE} == {**expected, "make": "Lexus"}
    is_problem(await gateway.call("PATCH", path, user=customer, json={"make": None}), 422, "invalid", "make")
    is_problem(await gateway.call("PATCH", path, user=customer, json={}), 422, "invalid", "body")


@pytest.fixture
async def somebody(gateway: Client, phones: Phones) -> Person:
    """A customer, wherever they may be."""
    return await gateway.register(phones.qatar())


@pytest.mark.parametrize("vin", ["I", "O", "Q", "-", "é"])
async def test_a_vin_has_17_characters_without_those_that_look_like_figures(
    gateway: Client, somebody: Person, vin: str
) -> None:
    body = {**VEHICLE, "vin": "JTEBU5JR8A501234" + vin}
    is_problem(await gateway.call("POST", "/vehicles", user=somebody, json=body), 422, "invalid", "vin")


@pytest.mark.parametrize(
    "change", [{"vin": "SHORT"}, {"vin": "J" * 18}, {"year": 1899}, {"year": 2101}, {"make": "m" * 61}]
)
async def test_what_no_vehicle_has_is_refused(gateway: Client, somebody: Person, change: dict[str, object]) -> None:
    answer = await gateway.call("POST", "/vehicles", user=somebody, json={**VEHICLE, **change})
    is_problem(answer, 422, "invalid", *change)
