"""Accepting a bid: whatever happens at the same moment, one order, and everybody knows at once."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from gateway.jobs import everywhere
from gateway.marketplace import order_numbers
from tests.integration.http.asking import REQUEST, Json, is_problem, made, new_person, shard_of
from tests.integration.http.test_bids import SISTER
from tests.integration.http.trade import PICKUP, accepted, bid_on, done, listed, post, rows_of, strong
from tests.system import Answer, Client, Person, Phones, System


@pytest.fixture(scope="module")
async def garages(gateway: Client, phones: Phones) -> dict[str, list[Person]]:
    """Six garages of each region, on both shards where there are two."""
    qatar = [await new_person(gateway, phones, "qa-1", "garage") for _ in range(6)]
    saudi = [await new_person(gateway, phones, shard, "garage") for shard in ("sa-1", "sa-2") * 3]
    return {"qa-1": qatar, "sa-1": saudi, "sa-2": saudi}


async def accept(client: Client, customer: Person, bid: Json) -> Answer:
    return await post(client, customer, f"/bids/{bid['id']}/accept")


async def request_with_bids(client: Client, customer: Person, garages: Sequence[Person]) -> tuple[Json, list[Json]]:
    request = await made(client, customer, "/requests", REQUEST)
    bids = await asyncio.gather(*(bid_on(client, garage, request) for garage in garages))
    return request, list(bids)


async def test_of_six_accepts_of_six_bids_at_once_one_wins(
    gateway: Client,
    other_gateway: Client,
    system: System,
    customer: Person,
    garages: dict[str, list[Person]],
    shard: str,
) -> None:
    took_s = []
    for _ in range(3):
        request, bids = await request_with_bids(gateway, customer, garages[shard])
        began = time.monotonic()
        answers = await asyncio.gather(
            *(accept(one, customer, bid) for one, bid in zip([gateway, other_gateway] * 3, bids, strict=True))
        )
        took_s.append(time.monotonic() - began)
        assert sorted(answer.status for answer in answers) == [200] + [409] * 5
        for answer in answers:
            assert answer.status == 200 or is_problem(answer, 409, "conflict")
        shown = await listed(gateway, customer, f"/requests/{request['id']}/bids")
        assert sorted(bid["status"] for bid in shown) == ["accepted"] + ["rejected"] * 5
        assert (await strong(gateway, customer, f"/requests/{request['id']}"))["status"] == "accepted"
        sql = "SELECT bid::text FROM marketplace.orders WHERE request = $1::text::uuid"
        [order] = await rows_of(system, shard_of(gateway, customer), sql, request["id"])
        assert order["bid"] == next(bid["id"] for bid in shown if bid["status"] == "accepted")
    assert min(took_s) < 0.2, f"all six are answered within 200 ms: {took_s}"


async def test_a_stale_offer_accepted_after_another_bid_won_makes_no_second_order(
    gateway: Client, system: System, customer: Person, garages: dict[str, list[Person]], shard: str
) -> None:
    request, (winner, loser) = await request_with_bids(gateway, customer, garages[shard][:2])
    offer = await made(gateway, customer, f"/bids/{loser['id']}/counter-offers", {"amount": "1"})
    assert (await accept(gateway, customer, winner)).status == 200
    garage = next(g for g in garages[shard] if g.id == loser["garage_id"])
    is_problem(await post(gateway, garage, f"/counter-offers/{offer['id']}/accept"), 409, "conflict")
    is_problem(await accept(gateway, customer, loser), 409, "conflict")
    sql = "SELECT id FROM marketplace.orders WHERE request = $1::text::uuid"
    assert len(await rows_of(system, shard_of(gateway, customer), sql, request["id"])) == 1


RIVALS = ("withdraw", "cancel", "bid", "offer", "again")
_LEFT = """SELECT r.status,
    (SELECT count(*) FROM marketplace.orders o WHERE o.request = r.id) AS orders,
    (SELECT count(*) FROM marketplace.bid b WHERE b.request = r.id AND b.status = 'accepted') AS accepted,
    (SELECT count(*) FROM marketplace.bid b WHERE b.request = r.id AND b.status = 'pending') AS pending,
    (SELECT count(*) FROM marketplace.counter_offer c WHERE c.request = r.id AND c.status = 'pending') AS offers
    FROM marketplace.request r WHERE r.id = $1::text::uuid"""


@pytest.mark.parametrize("rival", RIVALS)
async def test_accepting_against_whatever_else_ends_a_bid_or_a_request(
    gateway: Client, system: System, customer: Person, garages: dict[str, list[Person]], shard: str, rival: str
) -> None:
    request, [bid] = await request_with_bids(gateway, customer, garages[shard][:1])
    first, second = garages[shard][:2]
    user, path, body = {
        "withdraw": (first, f"/bids/{bid['id']}/withdraw", None),
        "cancel": (customer, f"/requests/{request['id']}/cancel", None),
        "bid": (second, f"/requests/{request['id']}/bids", {"amount": "1", "part_condition": "new"}),
        "offer": (customer, f"/bids/{bid['id']}/counter-offers", {"amount": "1"}),
        "again": (customer, f"/bids/{bid['id']}/accept", None),
    }[rival]
    accepting, other = await asyncio.gather(accept(gateway, customer, bid), post(gateway, user, path, body))
    assert {accepting.status, other.status} <= {200, 201, 409}, (accepting, other)
    if rival in ("withdraw", "cancel", "again"):
        assert {accepting.status, other.status} == {200, 409}
    won = accepting.status == 200 or (rival == "again" and other.status == 200)
    [left] = await rows_of(system, shard_of(gateway, customer), _LEFT, request["id"])
    assert left["orders"] == left["accepted"] == won, left
    if won:
        assert (left["status"], left["pending"], left["offers"]) == ("accepted", 0, 0), left


async def test_the_same_accept_three_times_with_one_key_is_one_order(
    gateway: Client, other_gateway: Client, customer: Person, garages: dict[str, list[Person]], shard: str
) -> None:
    _, [bid] = await request_with_bids(gateway, customer, garages[shard][:1])
    headers = {"Idempotency-Key": f"accept-{bid['id']}"}
    answers = await asyncio.gather(
        *(
            one.call("POST", f"/bids/{bid['id']}/accept", user=customer, headers=headers)
            for one in (gateway, other_gateway, gateway)
        )
    )
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [False, True, True]


CREATES = ["/requests", "/requests/{request}/bids", "/bids/{bid}/counter-offers"]


@pytest.mark.parametrize("path", CREATES)
async def test_the_same_create_three_times_with_one_key_is_one_row(
    gateway: Client,
    other_gateway: Client,
    system: System,
    customer: Person,
    garages: dict[str, list[Person]],
    shard: str,
    path: str,
) -> None:
    request, [bid] = await request_with_bids(gateway, customer, garages[shard][:1])
    user = garages[shard][1] if path.endswith("/bids") else customer
    body = {"/requests": REQUEST, CREATES[1]: {"amount": "7", "part_condition": "new"}, CREATES[2]: {"amount": "7"}}[
        path
    ]
    where = path.format(request=request["id"], bid=bid["id"])
    headers = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(one.call("POST", where, user=user, json=body, headers=headers) for one in (gateway, other_gateway, gateway))
    )
    assert [answer.status for answer in answers] == [201] * 3, answers
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [False, True, True]


async def test_the_order_is_what_was_agreed_and_its_books_balance(
    gateway: Client, system: System, customer: Person, garages: dict[str, list[Person]], shard: str
) -> None:
    deal = await accepted(gateway, customer, garages[shard][0], amount="333.33")
    order = deal.order
    assert (order["status"], order["part_price"], order["paid"], order["refunded"]) == (
        "pending_payment",
        "333.33",
        "0.00",
        "0.00",
    )
    assert (order["platform_fee"], order["garage_payout"]) == (None, None), "no business of the customer's"
    seen = await strong(gateway, deal.garage, f"/orders/{order['id']}")
    assert (seen["platform_fee"], seen["garage_payout"], seen["delivery"]) == ("50.00", "283.33", None)
    assert float(order["total"]) == pytest.approx(333.33 + float(order["delivery_fee"]))
    history = await strong(gateway, customer, f"/orders/{order['id']}/history")
    assert [(entry["from_status"], entry["to_status"]) for entry in history["items"]] == [(None, "pending_payment")]
    kinds = await rows_of(
        system,
        shard_of(gateway, customer),
        "SELECT kind FROM meridian.outbox WHERE subject = ANY($1::text[]::uuid[]) ORDER BY kind",
        [order["id"], deal.bid["id"]],
    )
    assert [row["kind"] for row in kinds] == ["bid.accepted", "bid.submitted", "order.status_changed"]


async def test_numbers_count_through_the_region_and_no_two_orders_share_one(
    gateway: Client, other_gateway: Client, system: System, phones: Phones, garages: dict[str, list[Person]]
) -> None:
    customers = {shard: await new_person(gateway, phones, shard) for shard in ("qa-1", "sa-1", "sa-2")}
    for shard in ("sa-1", "sa-2"):
        async with system.sql(shard) as sql:
            await sql.execute("UPDATE marketplace.order_block SET next = last - 1 WHERE next < last")
    numbers: dict[str, list[str]] = {}
    for shard, customer in customers.items():
        deals = await asyncio.gather(
            *(
                accepted(one, customer, garage, request=PICKUP)
                for one, garage in zip([gateway, other_gateway] * 3, garages[shard], strict=True)
            )
        )
        numbers[shard] = [deal.order["number"] for deal in deals]
    both = numbers["sa-1"] + numbers["sa-2"]
    assert len(set(both)) == len(both) == 12
    for region, found in (("QA", numbers["qa-1"]), ("SA", both)):
        for number in found:
            prefix, month, count = number.split("-")
            assert (prefix, len(month), len(count), count.isdigit()) == (region, 4, 6, True), number


async def use_up_numbers(system: System, shard: str) -> None:
    async with system.sql(shard) as sql:
        await sql.execute("UPDATE marketplace.order_block SET next = last + 1")


async def test_an_accept_that_had_to_fetch_numbers_is_repeated_safely(
    gateway: Client, system: System, customer: Person, garages: dict[str, list[Person]], shard: str
) -> None:
    _, [bid] = await request_with_bids(gateway, customer, garages[shard][:1])
    await use_up_numbers(system, shard)
    headers = {"Idempotency-Key": f"numbers-{bid['id']}"}
    first, again = [
        await gateway.call("POST", f"/bids/{bid['id']}/accept", user=customer, headers=headers) for _ in range(2)
    ]
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (200, 200, "true")
    assert first.json == again.json


async def test_a_shard_has_numbers_in_reserve_for_when_the_count_is_away(
    gateway: Client, system: System, customer: Person, garages: dict[str, list[Person]], shard: str
) -> None:
    assert gateway.runtime is not None
    await use_up_numbers(system, shard)
    await everywhere(order_numbers.JOBS[0], gateway.runtime)
    left = await rows_of(system, shard, "SELECT sum(last - next + 1)::int AS numbers FROM marketplace.order_block")
    assert left[0]["numbers"] >= order_numbers.SPARE_MIN
    await accepted(gateway, customer, garages[shard][0])


async def test_a_shard_goes_on_numbering_while_the_count_is_away(
    gateway: Client, system: System, phones: Phones, garages: dict[str, list[Person]]
) -> None:
    """The bucket that holds the region's count is fenced, as while it moves: the other shard has its reserve."""
    assert gateway.runtime is not None
    count = gateway.runtime.fleet.by_code[2].owner(0).name
    other = "sa-1" if count == "sa-2" else "sa-2"
    customer = await new_person(gateway, phones, other)
    await everywhere(order_numbers.JOBS[0], gateway.runtime)
    async with system.sql(count) as sql:
        await sql.execute("UPDATE meridian.bucket SET state = 'fenced' WHERE bucket = 0")
        try:
            await accepted(gateway, customer, garages[other][0])
            await use_up_numbers(system, other)
            _, [bid] = await request_with_bids(gateway, customer, garages[other][:1])
            answer = await accept(gateway, customer, bid)
            assert (answer.status, "Retry-After" in answer.headers) == (503, True), answer
        finally:
            await sql.execute("UPDATE meridian.bucket SET state = 'owned' WHERE bucket = 0")
    await done(gateway, customer, f"/bids/{bid['id']}/accept")


async def test_a_strangers_bid_cannot_be_accepted(
    gateway: Client, phones: Phones, customer: Person, garages: dict[str, list[Person]], shard: str
) -> None:
    _, [bid] = await request_with_bids(gateway, customer, garages[shard][:1])
    stranger = await new_person(gateway, phones, SISTER[shard])
    is_problem(await accept(gateway, stranger, bid), 404, "not_found")
    assert (await done(gateway, customer, f"/bids/{bid['id']}/accept"))["bid_id"] == bid["id"]
