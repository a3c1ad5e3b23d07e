"""Haggling: whose turn it is, three rounds, a day for each offer, and a price that is agreed once."""

import asyncio

import pytest

from gateway.jobs import everywhere
from gateway.marketplace import counter_offers
from tests.integration.http.asking import REQUEST, Json, is_problem, made, new_person, shard_of
from tests.integration.http.test_bids import SISTER
from tests.integration.http.trade import Deal, bid_on, done, listed, passes, post, rows_of
from tests.system import Answer, Client, Person, Phones, System


@pytest.fixture
async def deal(gateway: Client, phones: Phones, customer: Person, shard: str) -> Deal:
    """A bid of 120.50 on a request, with no order yet."""
    garage = await new_person(gateway, phones, SISTER[shard], "garage")
    request = await made(gateway, customer, "/requests", REQUEST)
    return Deal(customer, garage, request, await bid_on(gateway, garage, request), {})


async def offer(client: Client, user: Person, deal: Deal, amount: str) -> Answer:
    return await post(client, user, f"/bids/{deal.bid['id']}/counter-offers", {"amount": amount})


async def offers_of(client: Client, deal: Deal) -> list[tuple[int, str, str, str]]:
    [bid] = await listed(client, deal.customer, f"/requests/{deal.request['id']}/bids")
    return [(o["round"], o["made_by"], o["amount"], o["status"]) for o in bid["counter_offers"]]


async def test_three_rounds_and_the_last_is_agreed(gateway: Client, deal: Deal) -> None:
    first = await offer(gateway, deal.customer, deal, "100")
    assert (first.status, first.json["round"], first.json["amount"]) == (201, 1, "100.00"), first
    second = await offer(gateway, deal.garage, deal, "110")
    third = await offer(gateway, deal.customer, deal, "105")
    assert await offers_of(gateway, deal) == [
        (1, "customer", "100.00", "countered"),
        (2, "garage", "110.00", "countered"),
        (3, "customer", "105.00", "pending"),
    ]
    is_problem(await offer(gateway, deal.garage, deal, "109"), 409, "conflict")
    is_problem(await post(gateway, deal.customer, f"/counter-offers/{third.json['id']}/accept"), 409, "conflict")
    is_problem(await post(gateway, deal.customer, f"/counter-offers/{second.json['id']}/accept"), 409, "conflict")
    agreed = await done(gateway, deal.garage, f"/counter-offers/{third.json['id']}/accept")
    assert agreed["status"] == "accepted"
    [bid] = await listed(gateway, deal.garage, "/bids")
    assert (bid["amount"], bid["price"]) == ("120.50", "105.00")
    is_problem(await offer(gateway, deal.customer, deal, "50"), 409, "conflict")
    better = await gateway.call("PATCH", f"/bids/{bid['id']}", user=deal.garage, json={"amount": "90"})
    is_problem(better, 409, "conflict")
    order = await done(gateway, deal.customer, f"/bids/{bid['id']}/accept")
    assert order["part_price"] == "105.00"


async def test_a_garage_only_answers(gateway: Client, deal: Deal) -> None:
    is_problem(await offer(gateway, deal.garage, deal, "100"), 409, "conflict")
    mine = await offer(gateway, deal.customer, deal, "100")
    is_problem(await offer(gateway, deal.customer, deal, "101"), 409, "conflict")
    assert (await done(gateway, deal.garage, f"/counter-offers/{mine.json['id']}/reject"))["status"] == "rejected"
    is_problem(await offer(gateway, deal.garage, deal, "110"), 409, "conflict")
    assert (await offer(gateway, deal.customer, deal, "101")).status == 201


async def test_of_answers_to_one_offer_one_counts(gateway: Client, deal: Deal) -> None:
    id = (await offer(gateway, deal.customer, deal, "100")).json["id"]
    answers = await asyncio.gather(
        *(post(gateway, deal.garage, f"/counter-offers/{id}/accept") for _ in range(3)),
        *(post(gateway, deal.garage, f"/counter-offers/{id}/reject") for _ in range(3)),
        *(offer(gateway, deal.garage, deal, "110") for _ in range(3)),
    )
    assert sorted(answer.status for answer in answers) in ([200] + [409] * 8, [201] + [409] * 8)


async def test_an_offer_lives_a_day_and_then_makes_room(gateway: Client, system: System, deal: Deal) -> None:
    id = (await offer(gateway, deal.customer, deal, "100")).json["id"]
    await passes(system, gateway, deal.customer, "counter_offer", id, "expires_at", 24)
    assert [status for *_, status in await offers_of(gateway, deal)] == ["expired"]
    is_problem(await post(gateway, deal.garage, f"/counter-offers/{id}/accept"), 409, "conflict")
    is_problem(await offer(gateway, deal.garage, deal, "110"), 409, "conflict")
    assert (await offer(gateway, deal.customer, deal, "99")).status == 201
    second = (await _pending(gateway, deal))["id"]
    await passes(system, gateway, deal.customer, "counter_offer", second, "expires_at", 24)
    assert gateway.runtime is not None
    await everywhere(counter_offers.JOBS[0], gateway.runtime)
    sql = "SELECT status FROM marketplace.counter_offer WHERE id = $1::text::uuid"
    assert await rows_of(system, shard_of(gateway, deal.customer), sql, second) == [{"status": "expired"}]


async def _pending(client: Client, deal: Deal) -> Json:
    [bid] = await listed(client, deal.customer, f"/requests/{deal.request['id']}/bids")
    found: Json = bid["counter_offers"][-1]
    return found


async def test_what_ends_a_bid_ends_the_offers_on_it(gateway: Client, deal: Deal) -> None:
    await offer(gateway, deal.customer, deal, "100")
    await done(gateway, deal.garage, f"/bids/{deal.bid['id']}/withdraw")
    assert [status for *_, status in await offers_of(gateway, deal)] == ["expired"]
    is_problem(await offer(gateway, deal.customer, deal, "99"), 409, "conflict")


async def test_nobody_else_haggles(gateway: Client, phones: Phones, deal: Deal, shard: str) -> None:
    id = (await offer(gateway, deal.customer, deal, "100")).json["id"]
    for role in ("customer", "garage"):
        stranger = await new_person(gateway, phones, shard, role)
        is_problem(await offer(gateway, stranger, deal, "1"), 404, "not_found")
        for verb in ("accept", "reject"):
            is_problem(await post(gateway, stranger, f"/counter-offers/{id}/{verb}"), 404, "not_found")
        is_problem(await gateway.call("GET", f"/counter-offers/{id}", user=stranger), 404, "not_found")
