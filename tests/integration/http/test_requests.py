"""A customer's requests for parts: made, listed page by page, expired after a day, cancelled once."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from core.ids import Placement, make_id, placement_of
from tests.integration.http.asking import REQUEST, Json, is_problem, listed, made, phone_of, region_of, shard_of
from tests.system import Answer, Client, Person, Phones, System


async def cancel(client: Client, user: Person, id: str) -> Answer:
    return await client.call("POST", f"/requests/{id}/cancel", user=user)


async def age(system: System, shard: str, id: str) -> None:
    """Let a request's day pass."""
    async with system.sql(shard) as sql:
        changed = await sql.execute(
            "UPDATE marketplace.request SET created_at = created_at - interval '24 hours',"
            " expires_at = expires_at - interval '24 hours' WHERE id = $1",
            UUID(id),
        )
    assert changed == "UPDATE 1"


async def events(system: System, shard: str, id: str) -> list[str]:
    """What was told to the world about a request."""
    async with system.sql(shard) as sql:
        rows = await sql.fetch("SELECT kind FROM meridian.outbox WHERE subject = $1 ORDER BY id", UUID(id))
    return [row["kind"] for row in rows]


def image_at(placement: Placement) -> str:
    """An id as an upload at that placement would have."""
    return str(make_id(placement, now_ms=1_800_000_000_000, random_bits=1))


async def test_a_request_is_kept_as_it_was_given_and_lives_a_day(
    gateway: Client, system: System, customer: Person
) -> None:
    created = await made(gateway, customer, "/requests", REQUEST)
    assert {name: created[name] for name in REQUEST} == REQUEST
    assert (created["status"], created["images"]) == ("active", [])
    assert created["currency"] == region_of(gateway, customer).spec.currency
    lifetime = datetime.fromisoformat(created["expires_at"]) - datetime.fromisoformat(created["created_at"])
    assert lifetime == timedelta(hours=24)
    assert placement_of(UUID(created["id"])) == placement_of(UUID(customer.id))
    assert (await gateway.call("GET", f"/requests/{created['id']}", user=customer)).json == created
    assert await events(system, shard_of(gateway, customer), created["id"]) == ["request.created"]


async def test_what_may_be_left_out_has_its_default(gateway: Client, customer: Person) -> None:
    least = {name: REQUEST[name] for name in ("car_make", "car_model", "car_year", "part_description")}
    created = await made(gateway, customer, "/requests", least)
    assert (created["condition_required"], created["delivery"], created["vin"]) == ("any", None, None)


async def test_pages_lead_from_the_newest_to_the_oldest_without_gap_or_repeat(
    gateway: Client, customer: Person
) -> None:
    ids = [(await made(gateway, customer, "/requests", REQUEST))["id"] for _ in range(5)]
    seen: list[str] = []
    query: Json = {"limit": 2}
    while True:
        page = await gateway.call("GET", "/requests", user=customer, params=query)
        assert set(page.json) == {"items", "next"}
        seen += [request["id"] for request in page.json["items"]]
        await made(gateway, customer, "/requests", REQUEST)
        if page.json["next"] is None:
            break
        query = {"limit": 2, "cursor": page.json["next"]}
    assert seen == sorted(ids, reverse=True), "what came meanwhile is newer than the first page"


async def test_a_cursor_of_another_list_or_another_hand_is_refused(gateway: Client, customer: Person) -> None:
    for path, body in (("/requests", REQUEST), ("/vehicles", {"make": "Kia", "model": "Rio", "year": 2020})):
        for _ in range(2):
            await made(gateway, customer, path, body)
    cursor = (await gateway.call("GET", "/requests", user=customer, params={"limit": 1})).json["next"]
    for path, wrong in (("/vehicles", cursor), ("/requests", cursor[:-2]), ("/requests", "x")):
        answer = await gateway.call("GET", path, user=customer, params={"cursor": wrong, "limit": "0"})
        is_problem(answer, 422, "invalid", "cursor", "limit")


async def test_a_cursor_shows_its_finder_nothing_of_another(
    gateway: Client, phones: Phones, customer: Person, shard: str
) -> None:
    for _ in range(2):
        await made(gateway, customer, "/requests", REQUEST)
    cursor = (await gateway.call("GET", "/requests", user=customer, params={"limit": 1})).json["next"]
    finder = await gateway.register(phone_of(phones, shard))
    assert await listed(gateway, finder, "/requests", cursor=cursor) == []


async def test_after_a_day_a_request_has_expired_and_cannot_be_cancelled(
    gateway: Client, system: System, customer: Person
) -> None:
    old, new = [(await made(gateway, customer, "/requests", REQUEST))["id"] for _ in range(2)]
    await age(system, shard_of(gateway, customer), old)
    strong = {"Consistency": "strong"}
    shown = await gateway.call("GET", f"/requests/{old}", user=customer, headers=strong)
    assert shown.json["status"] == "expired"
    answer = await gateway.call("GET", "/requests", user=customer, headers=strong)
    assert {request["id"]: request["status"] for request in answer.json["items"]} == {old: "expired", new: "active"}
    is_problem(await cancel(gateway, customer, old), 409, "conflict")


async def test_a_request_is_cancelled_once(gateway: Client, system: System, customer: Person) -> None:
    id = (await made(gateway, customer, "/requests", REQUEST))["id"]
    assert (await cancel(gateway, customer, id)).json["status"] == "cancelled"
    is_problem(await cancel(gateway, customer, id), 409, "conflict")
    assert (await gateway.call("GET", f"/requests/{id}", user=customer)).json["status"] == "cancelled"
    assert await events(system, shard_of(gateway, customer), id) == ["request.created", "request.cancelled"]


async def test_of_cancellations_side_by_side_one_wins(gateway: Client, system: System, customer: Person) -> None:
    id = (await made(gateway, customer, "/requests", REQUEST))["id"]
    answers = await asyncio.gather(*(cancel(gateway, customer, id) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    assert await events(system, shard_of(gateway, customer), id) == ["request.created", "request.cancelled"]


async def test_images_that_are_not_uploads_of_ones_own_are_refused(gateway: Client, customer: Person) -> None:
    code, bucket = placement_of(UUID(customer.id))
    images = [
        image_at(Placement(code, bucket)),
        image_at(Placement(code, (bucket + 1) % 4096)),
        image_at(Placement(code % 2 + 1, bucket)),
        "01234567-0123-4123-8123-0123456789ab",
    ]
    for wrong, field in (*(([id], "images") for id in images), (images[:1] * 2, "images"), (["x"], "images.0")):
        answer = await gateway.call("POST", "/requests", user=customer, json={**REQUEST, "images": wrong})
        is_problem(answer, 422, "invalid", field)


WRONG: list[Json] = [
    {"car_year": 1800},
    {"part_description": "x" * 1001},
    {"condition_required": "broken"},
    {"vin": "IIIIIIIIIIIIIIIII"},
    {"status": "accepted"},
    {"customer": "01234567-0123-7123-8123-0123456789ab"},
]


@pytest.mark.parametrize("change", WRONG)
async def test_what_no_request_may_say_is_refused(gateway: Client, customer: Person, change: Json) -> None:
    answer = await gateway.call("POST", "/requests", user=customer, json={**REQUEST, **change})
    is_problem(answer, 422, "invalid", *change)


async def test_half_a_delivery_is_refused(gateway: Client, customer: Person) -> None:
    answer = await gateway.call("POST", "/requests", user=customer, json={**REQUEST, "delivery": {"lat": 100}})
    is_problem(answer, 422, "invalid", "delivery.address", "delivery.lat", "delivery.lng")
