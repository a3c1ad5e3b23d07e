"""A customer's addresses: as long as there is one, exactly one of them is the default."""

import asyncio
from typing import Any

from tests.integration.http.asking import ADDRESS, is_problem, listed, made
from tests.system import Answer, Client, Person


async def add(client: Client, user: Person, label: str, **more: Any) -> str:
    return str((await made(client, user, "/addresses", {**ADDRESS, "label": label, **more}))["id"])


async def change(client: Client, user: Person, id: str, **fields: Any) -> Answer:
    return await client.call("PATCH", f"/addresses/{id}", user=user, json=fields)


async def remove(client: Client, user: Person, id: str) -> Answer:
    return await client.call("DELETE", f"/addresses/{id}", user=user)


async def default_of(client: Client, user: Person) -> str | None:
    """The default's id as the list shows it; asserts that the list and the single addresses agree, and on one."""
    addresses = await listed(client, user, "/addresses")
    defaults = [address["id"] for address in addresses if address["is_default"]]
    assert len(defaults) == min(1, len(addresses)), addresses
    for address in addresses:
        assert (await client.call("GET", f"/addresses/{address['id']}", user=user)).json == address
    return defaults[0] if defaults else None


async def test_an_address_is_kept_as_it_was_given(gateway: Client, customer: Person) -> None:
    created = await made(gateway, customer, "/addresses", ADDRESS)
    assert {name: created[name] for name in ADDRESS} == ADDRESS
    assert await listed(gateway, customer, "/addresses") == [created]


async def test_the_first_is_the_default_until_another_is_made_it(gateway: Client, customer: Person) -> None:
    first, second = [await add(gateway, customer, label) for label in ("first", "second")]
    assert await default_of(gateway, customer) == first
    third = await add(gateway, customer, "third", is_default=True)
    assert await default_of(gateway, customer) == third
    assert (await change(gateway, customer, second, is_default=True)).json["is_default"] is True
    assert await default_of(gateway, customer) == second


async def test_the_default_that_is_removed_hands_over_to_the_newest_of_the_others(
    gateway: Client, customer: Person
) -> None:
    first, second, third = [await add(gateway, customer, label) for label in ("first", "second", "third")]
    assert (await remove(gateway, customer, second)).status == 204
    assert await default_of(gateway, customer) == first, "another than the default was removed"
    await remove(gateway, customer, first)
    assert await default_of(gateway, customer) == third
    await remove(gateway, customer, third)
    assert await default_of(gateway, customer) is None
    assert await add(gateway, customer, "fourth") == await default_of(gateway, customer)


async def test_the_default_cannot_be_given_up_without_another(gateway: Client, customer: Person) -> None:
    first = await add(gateway, customer, "first")
    assert (await change(gateway, customer, first, is_default=False)).json["is_default"] is True
    assert await default_of(gateway, customer) == first
    second = await add(gateway, customer, "second")
    assert (await change(gateway, customer, first, is_default=False)).json["is_default"] is False
    assert await default_of(gateway, customer) == second


async def test_a_change_of_something_else_leaves_the_default_alone(gateway: Client, customer: Person) -> None:
    first, second = [await add(gateway, customer, label) for label in ("first", "second")]
    changed = await change(gateway, customer, second, label="Work", lat=24.0)
    assert (changed.json["label"], changed.json["lat"], changed.json["is_default"]) == ("Work", 24.0, False)
    assert (await change(gateway, customer, second, is_default=False)).json["is_default"] is False
    assert await default_of(gateway, customer) == first


async def test_two_that_become_the_default_at_once_leave_one(gateway: Client, customer: Person) -> None:
    ids = [await add(gateway, customer, str(n)) for n in range(4)]
    answers = await asyncio.gather(*(change(gateway, customer, id, is_default=True) for id in ids))
    assert [answer.status for answer in answers] == [200] * 4
    assert await default_of(gateway, customer) in ids
    added = await asyncio.gather(*(add(gateway, customer, f"new {n}", is_default=True) for n in range(4)))
    assert await default_of(gateway, customer) in added


async def test_whatever_is_added_and_removed_at_once_one_is_the_default(gateway: Client, customer: Person) -> None:
    for _ in range(4):
        ids = [await add(gateway, customer, str(n), is_default=True) for n in range(3)]
        await asyncio.gather(
            *(remove(gateway, customer, id) for id in ids),
            *(add(gateway, customer, f"new {n}") for n in range(2)),
            change(gateway, customer, ids[1], is_default=True),
        )
        await default_of(gateway, customer)
        assert len(await listed(gateway, customer, "/addresses")) in range(2, 21)
    for address in await listed(gateway, customer, "/addresses"):
        await remove(gateway, customer, address["id"])
    assert await add(gateway, customer, "last") == await default_of(gateway, customer)


async def test_there_are_twenty_at_most(gateway: Client, customer: Person) -> None:
    body = {**ADDRESS}
    answers = await asyncio.gather(*(gateway.call("POST", "/addresses", user=customer, json=body) for _ in range(22)))
    assert sorted(answer.status for answer in answers) == [201] * 20 + [409] * 2
    is_problem(next(answer for answer in answers if answer.status == 409), 409, "conflict")


async def test_a_place_that_is_not_on_earth_is_refused(gateway: Client, customer: Person) -> None:
    wrong = {"lat": 90.1, "lng": -180.1, "label": "", "address_text": ""}
    answer = await gateway.call("POST", "/addresses", user=customer, json={**ADDRESS, **wrong})
    is_problem(answer, 422, "invalid", *wrong)
