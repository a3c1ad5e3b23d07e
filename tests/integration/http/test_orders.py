"""Orders: each step by whom it belongs to, cancelling with its fee, confirming, and what time does by itself."""

import asyncio
from dataclasses import dataclass

import pytest

from core.database.statement import Query
from gateway.jobs import everywhere, on_shard
from gateway.marketplace import order_changes, requests
from gateway.operations import Job, Shift
from tests.integration.http.asking import Json, is_problem, made, new_person, region_of, shard_of
from tests.integration.http.test_bids import SISTER
from tests.integration.http.trade import (
    PICKUP,
    Deal,
    accepted,
    at_status,
    bid_on,
    done,
    hired,
    listed,
    passes,
    post,
    rows_of,
    strong,
)
from tests.system import SHARDS, Answer, Client, Person, Phones, System


@dataclass
class Cast:
    """Who plays in a region's orders; the garage and the driver live on the other shard, where there is one."""

    customer: Person
    garage: Person
    driver: Person
    staff: Person


@pytest.fixture(scope="module")
async def casts(gateway: Client, system: System, phones: Phones) -> dict[str, Cast]:
    """One for each shard."""
    found = {}
    for shard, sister in SISTER.items():
        found[shard] = Cast(
            await new_person(gateway, phones, shard),
            await new_person(gateway, phones, sister, "garage"),
            await hired(gateway, system, phones, sister, "driver"),
            await hired(gateway, system, phones, sister, "staff"),
        )
    return found


@pytest.fixture
def cast(casts: dict[str, Cast], shard: str) -> Cast:
    """The shard's."""
    return casts[shard]


async def set_status(client: Client, user: Person, deal: Deal, status: str) -> Answer:
    return await client.call("PATCH", f"/orders/{deal.order['id']}/status", user=user, json={"status": status})


async def cancel(client: Client, user: Person, deal: Deal, reason: str | None = None) -> Answer:
    return await post(client, user, f"/orders/{deal.order['id']}/cancel", {"reason": reason})


async def test_an_order_walks_from_payment_to_completion(gateway: Client, system: System, cast: Cast) -> None:
    deal = await accepted(gateway, cast.customer, cast.garage)
    is_problem(await set_status(gateway, cast.garage, deal, "preparing"), 409, "conflict")
    await at_status(system, gateway, deal, "confirmed", driver=cast.driver)
    for who, status in [
        (cast.garage, "preparing"),
        (cast.garage, "ready_for_pickup"),
        (cast.driver, "collected"),
        (cast.driver, "in_transit"),
        (cast.driver, "delivered"),
    ]:
        moved = await set_status(gateway, who, deal, status)
        assert (moved.status, moved.json["status"]) == (200, status), moved
        assert (await set_status(gateway, who, deal, status)).status == 200, "again: nothing changes"
    completed = await done(gateway, cast.customer, f"/orders/{deal.order['id']}/confirm-delivery")
    assert (completed["status"], completed["completed_at"] is not None) == ("completed", True)
    is_problem(await post(gateway, cast.customer, f"/orders/{deal.order['id']}/confirm-delivery"), 409, "conflict")
    history = (await strong(gateway, cast.customer, f"/orders/{deal.order['id']}/history"))["items"]
    steps = [(entry["to_status"], entry["actor_role"]) for entry in history]
    assert steps == [
        ("pending_payment", "customer"),
        ("confirmed", "system"),
        ("preparing", "garage"),
        ("ready_for_pickup", "garage"),
        ("collected", "driver"),
        ("in_transit", "driver"),
        ("delivered", "driver"),
        ("completed", "customer"),
    ]
    assert [entry["from_status"] for entry in history[1:]] == [to for to, _ in steps[:-1]]
    assert [entry["at"] for entry in history] == sorted(entry["at"] for entry in history)


async def test_nobody_takes_anothers_step(gateway: Client, system: System, cast: Cast) -> None:
    deal = await accepted(gateway, cast.customer, cast.garage)
    await at_status(system, gateway, deal, "ready_for_pickup", driver=cast.driver)
    is_problem(await set_status(gateway, cast.garage, deal, "collected"), 403, "forbidden")
    is_problem(await set_status(gateway, cast.driver, deal, "preparing"), 403, "forbidden")
    early = await set_status(gateway, cast.driver, deal, "delivered")
    is_problem(early, 409, "conflict")
    assert early.json["detail"].endswith("it is ready_for_pickup"), "a refusal names the step that the order is at"
    is_problem(await post(gateway, cast.customer, f"/orders/{deal.order['id']}/confirm-delivery"), 409, "conflict")


async def test_what_cancelling_costs_the_customer(gateway: Client, system: System, cast: Cast) -> None:
    for status, percent in (("pending_payment", 0), ("confirmed", 5), ("preparing", 10), ("in_transit", 10)):
        deal = await accepted(gateway, cast.customer, cast.garage, request=PICKUP, amount="99.90")
        await at_status(system, gateway, deal, status, driver=cast.driver)
        ended = (await cancel(gateway, cast.customer, deal, "Found it at home")).json
        fee = {0: "0.00", 5: "5.00", 10: "9.99"}[percent]
        assert (ended["status"], ended["cancellation_fee"]) == ("cancelled_by_customer", fee), "4.995 is 5.00"
        is_problem(await cancel(gateway, cast.customer, deal), 409, "conflict")
        last = (await strong(gateway, cast.garage, f"/orders/{deal.order['id']}/history"))["items"][-1]
        assert (last["to_status"], last["note"]) == ("cancelled_by_customer", "Found it at home")


async def test_a_cancel_needs_no_reason_and_no_body(gateway: Client, cast: Cast) -> None:
    deal = await accepted(gateway, cast.customer, cast.garage)
    ended = await post(gateway, cast.customer, f"/orders/{deal.order['id']}/cancel")
    assert (ended.status, ended.json["status"]) == (200, "cancelled_by_customer")
    document = (await gateway.call("GET", "/api/openapi.json")).json["paths"]
    required = {
        path: document[f"/api/v1{path}"]["post"]["requestBody"]["required"]
        for path in ("/orders/{order_id}/cancel", "/orders/{order_id}/payments", "/notifications/read")
    }
    assert list(required.values()) == [False, True, True]


async def test_a_garage_cancels_until_the_part_is_collected(gateway: Client, system: System, cast: Cast) -> None:
    deal = await accepted(gateway, cast.customer, cast.garage)
    await at_status(system, gateway, deal, "ready_for_pickup", driver=cast.driver)
    ended = await cancel(gateway, cast.garage, deal)
    assert (ended.json["status"], ended.json["cancellation_fee"]) == ("cancelled_by_garage", "0.00")
    late = await accepted(gateway, cast.customer, cast.garage)
    await at_status(system, gateway, late, "collected", driver=cast.driver)
    is_problem(await cancel(gateway, cast.garage, late), 409, "conflict")


async def test_cancelling_against_a_step_leaves_one_of_them(gateway: Client, system: System, cast: Cast) -> None:
    for _ in range(4):
        deal = await accepted(gateway, cast.customer, cast.garage)
        await at_status(system, gateway, deal, "in_transit", driver=cast.driver)
        step, ended = await asyncio.gather(
            set_status(gateway, cast.driver, deal, "delivered"), cancel(gateway, cast.customer, deal)
        )
        assert sorted((step.status, ended.status)) == [200, 409], (step, ended)
        order = await strong(gateway, cast.customer, f"/orders/{deal.order['id']}")
        history = (await strong(gateway, cast.customer, f"/orders/{deal.order['id']}/history"))["items"]
        assert order["status"] == ("delivered" if step.status == 200 else "cancelled_by_customer")
        assert (history[-1]["from_status"], history[-1]["to_status"]) == ("in_transit", order["status"])


async def test_what_is_collected_is_confirmed_twice(gateway: Client, system: System, cast: Cast) -> None:
    deal = await accepted(gateway, cast.customer, cast.garage, request=PICKUP)
    await at_status(system, gateway, deal, "ready_for_pickup")
    path = f"/orders/{deal.order['id']}/confirm-delivery"
    taps = await asyncio.gather(*(post(gateway, cast.customer, path) for _ in range(3)))
    assert {(tap.status, tap.json["status"]) for tap in taps} == {(200, "delivered")}, "its 48 hours have just begun"
    await passes(system, gateway, cast.customer, "orders", deal.order["id"], "delivered_at", 1)
    assert (await done(gateway, cast.customer, path))["status"] == "completed"


async def test_after_48_hours_an_order_completes_by_itself_once(
    gateway: Client, other_gateway: Client, system: System, cast: Cast
) -> None:
    old, young = [await accepted(gateway, cast.customer, cast.garage) for _ in range(2)]
    for deal, hours in ((old, 49), (young, 47)):
        await at_status(system, gateway, deal, "delivered", driver=cast.driver)
        await passes(system, gateway, cast.customer, "orders", deal.order["id"], "delivered_at", hours)
    assert gateway.runtime is not None
    assert other_gateway.runtime is not None
    runtimes = (gateway.runtime, other_gateway.runtime)
    await asyncio.gather(*(everywhere(order_changes.JOBS[0], runtime) for runtime in runtimes))
    history = (await strong(gateway, cast.customer, f"/orders/{old.order['id']}/history"))["items"]
    assert [entry["to_status"] for entry in history].count("completed") == 1
    assert history[-1]["actor_role"] == "system"
    assert (await strong(gateway, cast.customer, f"/orders/{young.order['id']}"))["status"] == "delivered"


async def test_expired_requests_end_with_their_bids_whoever_sweeps(
    gateway: Client, other_gateway: Client, system: System, cast: Cast
) -> None:
    request = await made(gateway, cast.customer, "/requests", PICKUP)
    bid = await bid_on(gateway, cast.garage, request)
    await passes(system, gateway, cast.customer, "request", request["id"], "expires_at", 25)
    region, shard = region_of(gateway, cast.customer), shard_of(gateway, cast.customer)
    assert gateway.runtime is not None
    assert other_gateway.runtime is not None
    await asyncio.gather(
        *(
            on_shard(requests.JOBS[0], client.runtime, region_of(client, cast.customer), region.shards[shard])  # type: ignore[arg-type, index]
            for client in (gateway, other_gateway)
        )
    )
    assert (await strong(gateway, cast.customer, f"/requests/{request['id']}"))["status"] == "expired"
    shown = await listed(gateway, cast.garage, "/bids")
    assert next(item for item in shown if item["id"] == bid["id"])["status"] == "expired"
    sql = "SELECT kind FROM meridian.outbox WHERE subject = ANY($1::text[]::uuid[]) ORDER BY kind"
    kinds = await rows_of(system, shard, sql, [request["id"], bid["id"]])
    assert [row["kind"] for row in kinds] == ["bid.expired", "bid.submitted", "request.created", "request.expired"]


async def test_everybody_lists_their_own_orders_page_by_page(
    gateway: Client, system: System, phones: Phones, cast: Cast, shard: str
) -> None:
    garage = await new_person(gateway, phones, shard, "garage")
    sister = await new_person(gateway, phones, SISTER[shard])
    customers = [cast.customer, sister, cast.customer, sister, cast.customer]
    deals = [await accepted(gateway, customer, garage) for customer in customers]
    for deal in deals:
        await at_status(system, gateway, deal, "confirmed", driver=cast.driver)
    await cancel(gateway, garage, deals[0])

    async def ids(user: Person, **query: str | int) -> list[str]:
        found: list[str] = []
        while True:
            page = await strong(gateway, user, "/orders", limit=2, **query)
            assert (page["partial"], page["missing"]) == (False, [])
            found += [item["id"] for item in page["items"]]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    all_of_them = [deal.order["id"] for deal in reversed(deals)]
    assert await ids(garage) == all_of_them
    assert await ids(garage, status="cancelled_by_garage") == all_of_them[-1:]
    assert await ids(sister) == [all_of_them[1], all_of_them[3]]
    assert (await ids(cast.driver))[:5] == all_of_them
    of_region = await ids(cast.staff)
    assert [id for id in of_region if id in all_of_them] == all_of_them


async def test_an_order_of_anothers_or_of_another_region_is_not_there(
    gateway: Client, system: System, phones: Phones, casts: dict[str, Cast], cast: Cast, shard: str
) -> None:
    deal = await accepted(gateway, cast.customer, cast.garage)
    abroad = casts["sa-1" if shard == "qa-1" else "qa-1"]
    strangers: list[Person] = [*vars(abroad).values(), await new_person(gateway, phones, shard), cast.driver]
    for stranger in strangers:
        for path in ("", "/history"):
            answer = await gateway.call("GET", f"/orders/{deal.order['id']}{path}", user=stranger)
            is_problem(answer, 404, "not_found")
    staff: Json = await strong(gateway, cast.staff, f"/orders/{deal.order['id']}")
    assert staff["delivery"] is not None
    assert staff["platform_fee"] is not None


def test_each_shard_is_in_the_cast() -> None:
    assert tuple(SISTER) == SHARDS


async def test_a_job_that_is_at_fault_on_one_shard_is_done_on_the_others_first(gateway: Client) -> None:
    done_on = []

    async def run(shift: Shift) -> int:
        if shift.shard.name == "qa-1":
            raise ValueError("at fault")
        await shift.read(Query("SELECT pg_sleep(0.1)", (), dict))
        done_on.append(shift.shard.name)
        return 0

    assert gateway.runtime is not None
    with pytest.raises(ValueError, match="at fault"):
        await everywhere(Job("at fault", every_s=1.0, batch=1, run=run), gateway.runtime)
    assert sorted(done_on) == ["sa-1", "sa-2"]
