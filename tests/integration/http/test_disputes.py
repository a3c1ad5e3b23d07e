"""Disputes: opened once within 48 hours, decided once, and the money, the order and the dispute always agree."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest

from gateway.jobs import on_shard
from gateway.marketplace import order_changes
from tests.integration.http.asking import Json, is_problem, made, new_person, region_of, shard_of
from tests.integration.http.trade import Deal, accepted, at_status, changed, done, hired, passes, post, rows_of, strong
from tests.system import Client, Person, Phones, System

SHARDS_OF = {"qa": ("qa-1",), "sa": ("sa-1", "sa-2")}
COMPLAINT: Json = {"reason": "does_not_fit", "description": "It is for the left side"}
PAID = """WITH p AS (
    INSERT INTO marketplace.payment (bucket, id, order_id, customer, garage, kind, amount, currency, minor_unit,
        provider, reference, status, paid_at)
    SELECT bucket, meridian.new_id(bucket), id, customer, garage, 'full', total, currency, minor_unit, 'sandbox',
        'dispute-' || id, 'paid', now() FROM marketplace.orders WHERE id = $1)
    UPDATE marketplace.orders SET paid = total WHERE id = $1"""


@pytest.fixture(params=SHARDS_OF)
def region(request: pytest.FixtureRequest) -> str:
    """A region of one shard, and one of two."""
    return str(request.param)


async def delivered(system: System, client: Client, customer: Person, garage: Person) -> Deal:
    """An order that was paid and delivered."""
    deal = await accepted(client, customer, garage)
    await at_status(system, client, deal, "delivered")
    await changed(system, shard_of(client, customer), PAID, deal.order["id"])
    return deal


async def dispute(client: Client, deal: Deal, **more: object) -> Json:
    """A dispute of an order; asked for twice under one key, as an app does whose answer was lost."""
    again = {"headers": {"Idempotency-Key": deal.order["id"]}, "json": {**COMPLAINT, **more}}
    path = f"/orders/{deal.order['id']}/dispute"
    first, second = [await client.call("POST", path, user=deal.customer, **again) for _ in range(2)]
    assert (first.status, second.status, second.headers["Idempotent-Replayed"]) == (201, 201, "true"), second
    assert first.json == second.json
    made: Json = first.json
    return made


async def books(system: System, client: Client, deal: Deal) -> Json:
    """An order with all that was set aside for it."""
    sql = """SELECT o.status, o.paid, o.refunded,
        (SELECT sum(amount) FROM marketplace.refund WHERE order_id = o.id) AS back,
        (SELECT sum(refunded) FROM marketplace.payment WHERE order_id = o.id) AS of_payments,
        (SELECT count(*) FROM marketplace.dispute WHERE order_id = o.id) AS disputes
        FROM marketplace.orders o WHERE o.id = $1"""
    return (await rows_of(system, shard_of(client, deal.customer), sql, UUID(deal.order["id"])))[0]


async def test_a_dispute_is_seen_by_its_parties_and_decided_once_with_its_money(
    gateway: Client, other_gateway: Client, system: System, phones: Phones, region: str
) -> None:
    garage, stranger = [await new_person(gateway, phones, SHARDS_OF[region][0], "garage") for _ in range(2)]
    staff = await hired(gateway, system, phones, SHARDS_OF[region][-1], "staff")
    far = await hired(gateway, system, phones, "sa-1" if region == "qa" else "qa-1", "staff")
    deals, disputes = [], []
    for shard in SHARDS_OF[region] * 2:
        customer = await new_person(gateway, phones, shard)
        deals.append(await delivered(system, gateway, customer, garage))
        image = (await made(gateway, customer, "/uploads", {}))["id"]
        disputes.append(await dispute(gateway, deals[-1], images=[image]))
        assert (disputes[-1]["images"], disputes[-1]["status"]) == ([image], "open")
        is_problem(await gateway.call("DELETE", f"/uploads/{image}", user=customer), 409, "conflict")

    ids = [one["id"] for one in disputes]
    assert (await strong(gateway, deals[0].customer, "/disputes"))["items"] == disputes[:1]
    assert [d["id"] for d in (await strong(gateway, garage, "/disputes"))["items"]] == ids[::-1]
    assert (await strong(gateway, stranger, "/disputes"))["items"] == []
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 1}
    while len(seen) < 50:
        page = await strong(gateway, staff, "/disputes", **query)
        seen += [d["id"] for d in page["items"]]
        if page["next"] is None:
            break
        query = {"limit": 1, "cursor": page["next"]}
    assert seen == sorted(seen)
    assert [id for id in seen if id in ids] == ids
    for who in (deals[0].customer, garage, staff):
        assert await strong(gateway, who, f"/disputes/{ids[0]}") == disputes[0]
    for who in (deals[1].customer, stranger, far):
        is_problem(await gateway.call("GET", f"/disputes/{ids[0]}", user=who), 404, "not_found")

    path, decision = f"/disputes/{ids[0]}/resolve", {"decision": "refund", "note": "It does not fit"}
    is_problem(await post(gateway, far, path, decision), 404, "not_found")
    both = await asyncio.gather(*(post(client, staff, path, decision) for client in (gateway, other_gateway) * 2))
    assert sorted(answer.status for answer in both) == [200, 409, 409, 409]
    back = (Decimal(deals[0].order["total"]) * 85 / 100).quantize(Decimal("0.01"), "ROUND_HALF_UP")
    resolved = await strong(gateway, garage, f"/disputes/{ids[0]}")
    assert (resolved["status"], resolved["refund_amount"], resolved["refund_percent"]) == ("resolved", str(back), 85)
    assert resolved["resolution"] == "It does not fit"
    found = await books(system, gateway, deals[0])
    assert found == {
        "status": "refunded",
        "paid": Decimal(deals[0].order["total"]),
        "refunded": back,
        "back": back,
        "of_payments": back,
        "disputes": 1,
    }
    rejected = await done(gateway, staff, f"/disputes/{ids[1]}/resolve", {"decision": "reject", "note": "It fits"})
    assert (rejected["status"], float(rejected["refund_amount"])) == ("rejected", 0.0)
    found = await books(system, gateway, deals[1])
    assert (found["status"], found["refunded"], found["back"]) == ("completed", 0, None)
    again = await post(gateway, staff, f"/disputes/{ids[1]}/resolve", decision)
    is_problem(again, 409, "conflict")


async def test_an_order_is_disputed_once_and_in_time_whatever_else_happens_to_it(
    gateway: Client, other_gateway: Client, system: System, phones: Phones
) -> None:
    customer, stranger = [await new_person(gateway, phones, "sa-2") for _ in range(2)]
    garage = await new_person(gateway, phones, "sa-1", "garage")
    early = await accepted(gateway, customer, garage)
    path = f"/orders/{early.order['id']}/dispute"
    image = (await made(gateway, customer, "/uploads", {}))["id"]
    is_problem(await post(gateway, customer, path, {**COMPLAINT, "images": [image]}), 409, "conflict")
    is_problem(await post(gateway, stranger, path, COMPLAINT), 404, "not_found")
    assert (await gateway.call("DELETE", f"/uploads/{image}", user=customer)).status == 204, (
        "it was attached to nothing"
    )

    deal = await delivered(system, gateway, customer, garage)
    path = f"/orders/{deal.order['id']}/dispute"
    is_problem(await post(gateway, customer, path, {**COMPLAINT, "images": [image]}), 422, "invalid", "images")
    assert (await books(system, gateway, deal))["status"] == "delivered"
    for wrong in ({"reason": "ugly"}, {"description": "x" * 1001}):
        is_problem(await post(gateway, customer, path, {**COMPLAINT, **wrong}), 422, "invalid", *wrong)
    taps = await asyncio.gather(*(post(client, customer, path, COMPLAINT) for client in (gateway, other_gateway) * 2))
    assert sorted(answer.status for answer in taps) == [201, 409, 409, 409]

    torn = await delivered(system, gateway, customer, garage)
    both = await asyncio.gather(
        post(gateway, customer, f"/orders/{torn.order['id']}/dispute", COMPLAINT),
        post(other_gateway, customer, f"/orders/{torn.order['id']}/confirm-delivery"),
    )
    found = await books(system, gateway, torn)
    assert sorted(answer.status < 300 for answer in both) == [False, True]
    assert (found["status"], found["disputes"]) in (("disputed", 1), ("completed", 0))

    late = await delivered(system, gateway, customer, garage)
    await passes(system, gateway, customer, "orders", late.order["id"], "delivered_at", 48)
    assert gateway.runtime is not None
    place, runtime = region_of(gateway, customer), gateway.runtime
    shard = next(shard for name, shard in place.shards.items() if name == "sa-2")
    answer, _ = await asyncio.gather(
        post(gateway, customer, f"/orders/{late.order['id']}/dispute", COMPLAINT),
        asyncio.gather(*(on_shard(job, runtime, place, shard) for job in order_changes.JOBS)),
    )
    is_problem(answer, 409, "conflict")
    # The job passes over a row that the dispute holds just then, and takes it the next time.
    await asyncio.gather(*(on_shard(job, runtime, place, shard) for job in order_changes.JOBS))
    assert (await books(system, gateway, late))["status"] == "completed"
