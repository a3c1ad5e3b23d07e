"""Drivers and deliveries: an order is given to a driver, taken step by step, and seen by its own driver alone."""

import asyncio
from uuid import UUID

import pytest

from tests.integration.http.asking import Json, is_problem, new_person, shard_of
from tests.integration.http.trade import PICKUP, Deal, accepted, at_status, changed, done, hired, post, rows_of, strong
from tests.system import Client, Person, Phones, System

SHARDS_OF = {"qa": ("qa-1",), "sa": ("sa-1", "sa-2")}


@pytest.fixture(params=SHARDS_OF)
def region(request: pytest.FixtureRequest) -> str:
    """A region of one shard, and one of two."""
    return str(request.param)


async def confirmed(
    system: System, client: Client, phones: Phones, region: str, request: Json | None = None
) -> list[Deal]:
    """A paid order on each shard of a region, all of one garage."""
    garage = await new_person(client, phones, SHARDS_OF[region][0], "garage")
    deals = []
    for shard in SHARDS_OF[region]:
        customer = await new_person(client, phones, shard)
        deal = await accepted(client, customer, garage, request=request)
        await at_status(system, client, deal, "confirmed")
        deals.append(deal)
    return deals


async def ready(system: System, client: Client, deal: Deal) -> None:
    shard = shard_of(client, deal.customer)
    for status in ("preparing", "ready_for_pickup"):
        sql = f"UPDATE marketplace.orders SET status = '{status}', actor_role = 'garage' WHERE id = $1"
        await changed(system, shard, sql, deal.order["id"])


async def assign(client: Client, staff: Person, deal: Deal, driver_id: str) -> Json:
    return await done(client, staff, f"/orders/{deal.order['id']}/assign-driver", {"driver_id": driver_id})


async def test_an_order_goes_from_the_garage_to_the_customer_by_its_own_driver(
    gateway: Client, system: System, phones: Phones, region: str
) -> None:
    deals = await confirmed(system, gateway, phones, region)
    staff, driver, former = [
        await hired(gateway, system, phones, SHARDS_OF[region][-1], role, full_name=role.title())
        for role in ("staff", "driver", "driver")
    ]
    for deal in deals:
        assert (await assign(gateway, staff, deal, former.id))["driver_id"] == former.id
        for _ in range(2):
            given = await assign(gateway, staff, deal, driver.id)
            assert (given["driver_id"], given["driver_name"], given["status"]) == (driver.id, "Driver", "confirmed")
        told = """SELECT kind, body->'to'->>0 AS who FROM meridian.outbox
            WHERE subject = $1 AND kind LIKE 'delivery.%'"""
        events = await rows_of(system, shard_of(gateway, deal.customer), told, UUID(deal.order["id"]))
        assert sorted((event["kind"], event["who"]) for event in events) == sorted(
            [("delivery.assigned", former.id), ("delivery.assigned", driver.id), ("delivery.unassigned", former.id)]
        )

    wanted = [deal.order["id"] for deal in reversed(deals)]
    first = await strong(gateway, driver, "/deliveries", limit=1)
    rest = await strong(gateway, driver, "/deliveries", cursor=first["next"]) if first["next"] else {"items": []}
    assert [d["id"] for d in first["items"] + rest["items"]] == wanted
    assert (await strong(gateway, former, "/deliveries"))["items"] == []
    shown = first["items"][0]
    customer = deals[-1].customer
    assert (shown["customer_phone"], shown["customer_name"]) == (customer.phone, "Somebody")
    assert (shown["address"], shown["lat"], shown["garage_name"]) == ("Street 1", 25.3, "Parts")

    deal, path = deals[-1], f"/deliveries/{deals[-1].order['id']}/status"
    is_problem(await post(gateway, driver, path, {"status": "collected"}), 409, "conflict")
    await ready(system, gateway, deal)
    is_problem(await post(gateway, driver, path, {"status": "in_transit"}), 409, "conflict")
    both = await asyncio.gather(*(post(gateway, who, path, {"status": "collected"}) for who in (driver, former)))
    assert [answer.status for answer in both] == [200, 404]
    taps = await asyncio.gather(*(post(gateway, driver, path, {"status": "in_transit"}) for _ in range(3)))
    assert [(answer.status, answer.json["status"]) for answer in taps] == [(200, "in_transit")] * 3
    late = await post(gateway, staff, f"/orders/{deal.order['id']}/assign-driver", {"driver_id": former.id})
    is_problem(late, 409, "conflict")
    over = await done(gateway, driver, path, {"status": "delivered", "note": "To the guard"})
    assert (over["status"], over["customer_phone"]) == ("delivered", None)
    assert over["delivered_at"] is not None

    assert [d["id"] for d in (await strong(gateway, driver, "/deliveries", status="done"))["items"]] == wanted[:1]
    assert [d["id"] for d in (await strong(gateway, driver, "/deliveries", status="active"))["items"]] == wanted[1:]
    history = await strong(gateway, customer, f"/orders/{deal.order['id']}/history")
    steps = [(e["to_status"], e["actor_role"], e["note"]) for e in history["items"]][-3:]
    assert steps == [
        ("collected", "driver", None),
        ("in_transit", "driver", None),
        ("delivered", "driver", "To the guard"),
    ]


async def test_only_drivers_of_the_region_are_given_orders_that_are_delivered(
    gateway: Client, system: System, phones: Phones
) -> None:
    (deal,) = await confirmed(system, gateway, phones, "qa")
    (pickup,) = await confirmed(system, gateway, phones, "qa", PICKUP)
    staff = await hired(gateway, system, phones, "qa-1", "staff")
    driver = await hired(gateway, system, phones, "qa-1", "driver")
    far_staff, far_driver = [await hired(gateway, system, phones, "sa-2", role) for role in ("admin", "driver")]
    path = f"/orders/{deal.order['id']}/assign-driver"
    for wrong in (deal.customer.id, deal.order["id"], far_driver.id, "01234567-0123-4123-8123-0123456789ab", "x"):
        is_problem(await post(gateway, staff, path, {"driver_id": wrong}), 422, "invalid", "driver_id")
    is_problem(await post(gateway, far_staff, path, {"driver_id": far_driver.id}), 404, "not_found")
    nowhere = f"/orders/{deal.bid['id']}/assign-driver"
    is_problem(await post(gateway, staff, nowhere, {"driver_id": driver.id}), 404, "not_found")
    refused = await post(gateway, staff, f"/orders/{pickup.order['id']}/assign-driver", {"driver_id": driver.id})
    is_problem(refused, 409, "conflict")
