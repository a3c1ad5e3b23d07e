"""Bids and the open feed: who may bid on what, what a bid may become, and what a garage sees of a request."""

import asyncio
from itertools import pairwise
from uuid import UUID

import pytest

from core.ids import placement_of
from tests.integration.http.asking import REQUEST, Json, is_problem, made, new_person
from tests.integration.http.trade import (
    BID,
    PICKUP,
    STRONG,
    bid_on,
    bucket_of,
    changed,
    done,
    listed,
    passes,
    post,
    set_account,
    strong,
)
from tests.system import Client, Person, Phones, System, until

SISTER = {"qa-1": "qa-1", "sa-1": "sa-2", "sa-2": "sa-1"}
"""A shard of the same region; another where there is one."""


@pytest.fixture
async def garage(gateway: Client, phones: Phones, shard: str) -> Person:
    """A garage of the customer's region, on another of its shards where there is one."""
    return await new_person(gateway, phones, SISTER[shard], "garage", garage_name="Salwa Road Spares")


async def test_a_bid_lies_with_its_request_and_both_sides_read_it(
    gateway: Client, system: System, customer: Person, garage: Person
) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    bid = await bid_on(gateway, garage, request, images=[(await made(gateway, garage, "/uploads", {}))["id"]])
    assert {name: bid[name] for name in BID} == BID
    assert (bid["price"], bid["status"], bid["garage_name"]) == ("120.50", "pending", "Salwa Road Spares")
    assert bid["currency"] in ("QAR", "SAR")
    assert placement_of(UUID(bid["id"])) == placement_of(UUID(request["id"]))
    assert await listed(gateway, customer, f"/requests/{request['id']}/bids") == [bid]
    assert await listed(gateway, garage, "/bids") == [bid]
    assert (await strong(gateway, customer, f"/requests/{request['id']}"))["bids"] == 1
    shown = await gateway.call("GET", f"/uploads/{bid['images'][0]}", user=customer, headers=STRONG)
    assert shown.status == 200, "the customer sees the photos of a bid on their request"


async def test_a_garage_has_one_live_bid_on_a_request(gateway: Client, customer: Person, garage: Person) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    path = f"/requests/{request['id']}/bids"
    answers = await asyncio.gather(*(post(gateway, garage, path, BID) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    [bid] = await listed(gateway, garage, "/bids")
    assert (await done(gateway, garage, f"/bids/{bid['id']}/withdraw"))["status"] == "withdrawn"
    is_problem(await post(gateway, garage, f"/bids/{bid['id']}/withdraw"), 409, "conflict")
    assert (await strong(gateway, customer, f"/requests/{request['id']}"))["bids"] == 0
    await bid_on(gateway, garage, request, amount="99.00")
    assert (await strong(gateway, customer, f"/requests/{request['id']}"))["bids"] == 1


async def test_two_garages_bid_at_once_and_both_are_counted(
    gateway: Client, phones: Phones, customer: Person, shard: str, garage: Person
) -> None:
    others = [await new_person(gateway, phones, shard, "garage") for _ in range(2)]
    request = await made(gateway, customer, "/requests", REQUEST)
    bids = await asyncio.gather(*(bid_on(gateway, one, request) for one in (garage, *others)))
    assert {bid["id"] for bid in await listed(gateway, customer, f"/requests/{request['id']}/bids")} == {
        bid["id"] for bid in bids
    }
    assert (await strong(gateway, customer, f"/requests/{request['id']}"))["bids"] == 3


async def test_a_bid_can_only_get_better(gateway: Client, customer: Person, garage: Person) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    bid = await bid_on(gateway, garage, request)

    async def change(**fields: object) -> Json:
        answer = await gateway.call("PATCH", f"/bids/{bid['id']}", user=garage, json=fields)
        return {"status": answer.status, **answer.json}

    better = await change(amount="100", warranty_days=60, notes=None)
    assert (better["amount"], better["price"], better["warranty_days"], better["notes"]) == (
        "100.00",
        "100.00",
        60,
        None,
    )
    assert (await change(amount="100.01"))["status"] == 409
    assert (await change(warranty_days=59))["status"] == 409
    assert (await change(amount="99.999"))["errors"][0]["field"] == "amount", "more decimals than the currency has"
    assert (await change(amount="0"))["status"] == 422
    assert (await change())["status"] == 422


async def test_a_garage_bids_in_its_own_region_alone(
    gateway: Client, phones: Phones, customer: Person, shard: str
) -> None:
    abroad = await new_person(gateway, phones, "sa-1" if shard == "qa-1" else "qa-1", "garage")
    request = await made(gateway, customer, "/requests", REQUEST)
    is_problem(await post(gateway, abroad, f"/requests/{request['id']}/bids", BID), 404, "not_found")
    assert request["id"] not in [item["id"] for item in await listed(gateway, abroad, "/requests/open", limit=100)]


async def test_a_request_that_has_ended_takes_no_bid(
    gateway: Client, system: System, customer: Person, garage: Person
) -> None:
    old, cancelled = [await made(gateway, customer, "/requests", REQUEST) for _ in range(2)]
    await passes(system, gateway, customer, "request", old["id"], "expires_at", 25)
    await done(gateway, customer, f"/requests/{cancelled['id']}/cancel")
    for request in (old, cancelled):
        is_problem(await post(gateway, garage, f"/requests/{request['id']}/bids", BID), 409, "conflict")
    open_now = [item["id"] for item in await listed(gateway, garage, "/requests/open", limit=100)]
    assert not {old["id"], cancelled["id"]} & set(open_now)


async def test_photos_of_a_bid_belong_to_the_garage_and_are_kept(
    gateway: Client, customer: Person, garage: Person
) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    mine, theirs = [(await made(gateway, who, "/uploads", {}))["id"] for who in (garage, customer)]
    path, key = f"/requests/{request['id']}/bids", {"Idempotency-Key": "a-bid"}
    is_problem(await post(gateway, garage, path, {**BID, "images": [mine, theirs]}), 422, "invalid", "images")
    body = {**BID, "images": [mine]}
    first, again = [await gateway.call("POST", path, user=garage, json=body, headers=key) for _ in range(2)]
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.json == again.json
    is_problem(await gateway.call("DELETE", f"/uploads/{mine}", user=garage), 409, "conflict")


async def test_a_bid_that_fails_leaves_its_photos_free(gateway: Client, customer: Person, garage: Person) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    await bid_on(gateway, garage, request)
    photo = (await made(gateway, garage, "/uploads", {}))["id"]
    is_problem(
        await post(gateway, garage, f"/requests/{request['id']}/bids", {**BID, "images": [photo]}), 409, "conflict"
    )
    assert (await gateway.call("DELETE", f"/uploads/{photo}", user=garage)).status == 204


async def test_a_bid_that_could_not_be_written_leaves_its_photos_free(
    gateway: Client, system: System, phones: Phones, customer: Person, garage: Person, shard: str
) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    photo = (await made(gateway, garage, "/uploads", {}))["id"]
    path, body = f"/requests/{request['id']}/bids", {**BID, "images": [photo]}
    sql = "UPDATE meridian.bucket SET state = $2 WHERE bucket = $1"
    async with system.sql(shard) as connection:
        await connection.execute(sql, bucket_of(customer), "fenced")
        try:
            refused = await post(gateway, garage, path, body)
        finally:
            await connection.execute(sql, bucket_of(customer), "owned")
    is_problem(refused, 503, "wrong_shard")

    async def is_taken() -> bool:
        return (await post(gateway, garage, path, body)).status == 201

    await until(is_taken, what="the bid, with the same photo")


async def test_photos_of_a_bid_that_a_crash_left_unmade_can_be_used_again(
    gateway: Client, system: System, customer: Person, garage: Person, shard: str
) -> None:
    request = await made(gateway, customer, "/requests", REQUEST)
    photo = (await made(gateway, garage, "/uploads", {}))["id"]
    path, body = f"/requests/{request['id']}/bids", {**BID, "images": [photo]}
    unmade = UUID(request["id"][:-4] + "abcd")
    for age, status in ((0, 409), (600, 201)):
        await changed(
            system,
            SISTER[shard],
            "UPDATE meridian.file SET used_by = $2, changed_at = now() - make_interval(secs => $3) WHERE id = $1",
            photo,
            unmade,
            age,
        )
        answer = await post(gateway, garage, path, body)
        assert answer.status == status, answer
    is_problem(await post(gateway, garage, path, body), 422, "invalid", "images")


async def test_the_feed_shows_what_is_asked_for_in_the_order_asked_for(
    gateway: Client, phones: Phones, customer: Person, shard: str, garage: Person
) -> None:
    make = f"Make {customer.id[-6:]}"
    also = await new_person(gateway, phones, SISTER[shard])
    asked = [
        await made(gateway, who, "/requests", {**REQUEST, "car_make": make, **more})
        for who, more in [
            (customer, {"condition_required": "new"}),
            (also, {"part_category": "Engine"}),
            (customer, {"condition_required": "any", "part_category": "Engine"}),
            (also, {}),
        ]
    ]
    ids = [request["id"] for request in asked]
    await bid_on(gateway, garage, asked[3])
    await bid_on(gateway, garage, asked[0])

    async def feed(**query: str | int) -> list[str]:
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await gateway.call(
                "GET",
                "/requests/open",
                user=garage,
                headers=STRONG,
                params={"make": make.upper(), "limit": 2, **query, **cursor},
            )
            assert (page.status, page.json["partial"], page.json["missing"]) == (200, False, []), page
            found += [item["id"] for item in page.json["items"]]
            if page.json["next"] is None:
                return found
            cursor = {"cursor": page.json["next"]}

    assert await feed() == sorted(ids, reverse=True)
    assert await feed(category="Engine") == [ids[2], ids[1]]
    assert await feed(condition="new") == [ids[2], ids[0]]
    fewest = await feed(sort="fewest_bids")
    counted = [(1 if id in (ids[0], ids[3]) else 0, id) for id in fewest]
    assert sorted(fewest) == sorted(ids)
    assert all(before < after for before, after in pairwise(counted))


async def test_a_cursor_of_one_order_is_refused_in_the_other(gateway: Client, customer: Person, garage: Person) -> None:
    for _ in range(2):
        await made(gateway, customer, "/requests", REQUEST)
    page = await gateway.call("GET", "/requests/open", user=garage, headers=STRONG, params={"limit": 1})
    answer = await gateway.call(
        "GET", "/requests/open", user=garage, params={"cursor": page.json["next"], "sort": "fewest_bids"}
    )
    is_problem(answer, 422, "invalid", "cursor")


async def test_the_feed_shows_nothing_of_who_asks_or_where(gateway: Client, customer: Person, garage: Person) -> None:
    await made(
        gateway,
        customer,
        "/requests",
        {**REQUEST, "delivery": {"address": "Zone 66", "lat": 25.31234, "lng": 51.52345}},
    )
    answer = await gateway.call("GET", "/requests/open", user=garage, headers=STRONG)
    for private in (customer.id, customer.phone, "Zone 66", "25.31234", "51.52345", REQUEST["vin"], "Somebody"):
        assert private not in answer.body.decode()


async def test_a_garage_sees_the_photos_of_an_open_request_and_a_stranger_does_not(
    gateway: Client, phones: Phones, customer: Person, shard: str, garage: Person
) -> None:
    photo = (await made(gateway, customer, "/uploads", {}))["id"]
    is_problem(await gateway.call("GET", f"/uploads/{photo}", user=garage), 404, "not_found")
    request = await made(gateway, customer, "/requests", {**REQUEST, "images": [photo]})
    assert (await gateway.call("GET", f"/uploads/{photo}", user=garage, headers=STRONG)).status == 200
    stranger = await new_person(gateway, phones, shard)
    abroad = await new_person(gateway, phones, "sa-1" if shard == "qa-1" else "qa-1", "garage")
    for who in (stranger, abroad):
        is_problem(await gateway.call("GET", f"/uploads/{photo}", user=who), 404, "not_found")
    winner = await new_person(gateway, phones, shard, "garage")
    await bid_on(gateway, garage, request)
    bid = await bid_on(gateway, winner, request)
    await done(gateway, customer, f"/bids/{bid['id']}/accept")
    answer = await gateway.call("GET", f"/uploads/{photo}", user=garage, headers=STRONG)
    is_problem(answer, 404, "not_found")
    assert (await gateway.call("GET", f"/uploads/{photo}", user=winner, headers=STRONG)).status == 200


async def test_what_delivery_costs_is_said_when_the_request_is_made(
    gateway: Client, customer: Person, shard: str
) -> None:
    hub = {"lat": 25.2854, "lng": 51.5310} if shard == "qa-1" else {"lat": 24.7136, "lng": 46.6753}
    for north, fee in ((0.0, "10.00"), (0.06, "15.00"), (0.2, "20.00")):
        body = {**REQUEST, "delivery": {"address": "There", "lat": hub["lat"] + north, "lng": hub["lng"]}}
        assert (await made(gateway, customer, "/requests", body))["delivery_fee"] == fee
    assert (await made(gateway, customer, "/requests", PICKUP))["delivery_fee"] is None


async def test_the_terms_of_a_bid_are_those_of_when_it_was_made(
    gateway: Client, system: System, customer: Person, garage: Person, shard: str
) -> None:
    request = await made(gateway, customer, "/requests", PICKUP)
    await set_account(system, SISTER[shard], garage, plan="gold")
    bid = await bid_on(gateway, garage, request, amount="10.10")
    await set_account(system, SISTER[shard], garage, plan="free")
    order = await done(gateway, customer, f"/bids/{bid['id']}/accept")
    seen = await strong(gateway, garage, f"/orders/{order['id']}")
    assert (seen["platform_fee"], seen["garage_payout"], seen["total"]) == ("0.51", "9.59", "10.10"), "half up: 0.505"
