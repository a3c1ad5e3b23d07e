"""Payments end to end: one intent however often it is tapped, one effect however often it is told, balanced books."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from core.ids import Placement
from gateway.marketplace import payments
from gateway.marketplace.providers.provider import Kind, ProviderEvent
from gateway.marketplace.providers.sandbox import Sandbox
from tests.integration.http.asking import is_problem, new_person
from tests.integration.http.paying import (
    PAYMENT_WEBHOOK,
    Parties,
    books_balance,
    deliver,
    events_of,
    of,
    order_of,
    parties_on,
    pay,
    steps_of,
    told_of,
    work,
)
from tests.integration.http.trade import Deal, accepted, changed, done, post, rows_of, strong
from tests.system import Client, Phones, System, until


@pytest.fixture(scope="module", params=["qa-1", "sa-2"])
async def parties(request: pytest.FixtureRequest, gateway: Client, system: System, phones: Phones) -> Parties:
    """People of a region with one shard, and of one with two."""
    return await parties_on(request.param, gateway, system, phones)


@pytest.fixture
async def deal(gateway: Client, parties: Parties) -> Deal:
    """A new order that waits for its payment."""
    return await accepted(gateway, parties.customer, parties.garage)


async def test_a_deposit_confirms_the_order_and_the_rest_is_paid_later(
    gateway: Client, system: System, parties: Parties, deal: Deal, phones: Phones
) -> None:
    path = f"/orders/{deal.order['id']}/payments"
    started = await done(gateway, deal.customer, path, {"kind": "deposit"})
    total = Decimal(deal.order["total"])
    assert Decimal(started["amount"]) == (total / 5).quantize(Decimal("0.01"))
    assert {name: started[name] for name in ("order_id", "kind", "status", "provider", "paid_at", "failure")} == {
        "order_id": deal.order["id"],
        "kind": "deposit",
        "status": "pending",
        "provider": "sandbox",
        "paid_at": None,
        "failure": None,
    }
    assert started["client_secret"]
    is_problem(await post(gateway, deal.customer, path, {"kind": "full"}), 409, "conflict")
    confirm = f"/payments/{started['id']}/confirm"
    is_problem(await post(gateway, deal.customer, confirm, {"method": "gold"}), 422, "invalid", "method")
    paid = await done(gateway, deal.customer, confirm, {"method": "sandbox_card"})
    assert (paid["status"], paid["refunded"]) == ("paid", "0.00")
    assert paid["paid_at"] is not None
    assert await done(gateway, deal.customer, confirm, {"method": "sandbox_card"}) == paid
    order = await order_of(gateway, deal)
    assert (order["status"], order["paid"]) == ("confirmed", paid["amount"])
    assert await steps_of(gateway, deal) == [("pending_payment", "customer"), ("confirmed", "system")]
    is_problem(await post(gateway, deal.customer, path, {"kind": "deposit"}), 409, "conflict")
    rest = await pay(gateway, deal, "full")
    assert Decimal(rest["amount"]) == total - Decimal(paid["amount"])
    nothing = await post(gateway, deal.customer, path, {"kind": "full"})
    assert is_problem(nothing, 409, "conflict")
    assert nothing.json["detail"] == "nothing is left to pay"
    assert (await books_balance(system, parties.shard, deal))["paid"] == total
    assert await told_of(system, parties.shard, paid, "payment.succeeded") == 1


async def test_a_payment_is_its_customers_and_the_regions_staff_see_it(
    gateway: Client, parties: Parties, deal: Deal, phones: Phones
) -> None:
    started = await done(gateway, deal.customer, f"/orders/{deal.order['id']}/payments", {"kind": "deposit"})
    path = f"/payments/{started['id']}"
    assert await strong(gateway, deal.customer, path) == started
    assert await strong(gateway, parties.staff, path) == {**started, "client_secret": None}
    stranger = await new_person(gateway, phones, "sa-1" if parties.shard == "qa-1" else "qa-1")
    is_problem(await gateway.call("GET", path, user=stranger), 404, "not_found")
    is_problem(await post(gateway, stranger, f"{path}/confirm", {"method": "sandbox_card"}), 404, "not_found")
    is_problem(
        await post(gateway, stranger, f"/orders/{deal.order['id']}/payments", {"kind": "full"}), 404, "not_found"
    )
    for who, below, body in (
        (parties.garage, "", None),
        (parties.garage, "/confirm", {"method": "sandbox_card"}),
        (parties.staff, "/confirm", {"method": "sandbox_card"}),
        (deal.customer, "/refund", {"reason": "please"}),
    ):
        method = "GET" if body is None else "POST"
        answer = await gateway.call(method, path + below, user=who, **({} if body is None else {"json": body}))
        is_problem(answer, 403, "forbidden")


async def test_taps_through_two_gateways_are_one_intent(
    gateway: Client, other_gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    path = f"/orders/{deal.order['id']}/payments"
    key = {"Idempotency-Key": str(uuid4())}
    taps = await asyncio.gather(
        *(
            client.call("POST", path, user=replace(deal.customer), json={"kind": "deposit"}, headers=headers)
            for client in (gateway, other_gateway)
            for headers in ({}, key, key)
        )
    )
    assert {answer.status for answer in taps} == {201}, taps
    assert len({answer.body for answer in taps}) == 1
    sql = "SELECT count(*) FROM marketplace.payment WHERE order_id = $1"
    assert (await rows_of(system, parties.shard, sql, UUID(deal.order["id"]))) == [{"count": 1}]


async def waiting(connection: asyncpg.Connection, count: int) -> None:
    """Wait until so many wait for the lock of an order. A transaction sees one picture only, so look from outside."""
    sql = """SELECT count(*) >= $1 FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT FROM marketplace.orders %'"""

    async def are_there() -> bool:
        return bool(await connection.fetchval(sql, count))

    await until(are_there, what=f"{count} waiting")


async def test_taps_and_webhooks_wait_for_whoever_is_changing_the_order(
    gateway: Client, other_gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    path, both = f"/orders/{deal.order['id']}/payments", (gateway, other_gateway)
    id, started = UUID(deal.order["id"]), []
    async with (
        system.sql(parties.shard) as connection,
        system.sql(parties.shard) as observer,
        asyncio.TaskGroup() as group,
    ):
        async with connection.transaction():
            await connection.execute("SELECT FROM marketplace.orders WHERE id = $1 FOR UPDATE", id)
            for client in (*both, gateway):
                tap = client.call("POST", path, user=replace(deal.customer), json={"kind": "deposit"})
                started.append(group.create_task(tap))
            await waiting(observer, 3)
        taps = [await tap for tap in started]
        assert [tap.status for tap in taps] == [201] * 3
        assert len({tap.body for tap in taps}) == 1
        pending = taps[0].json
        async with connection.transaction():
            await connection.execute(
                "UPDATE marketplace.orders SET status = 'cancelled_by_garage', actor_role = 'garage' WHERE id = $1", id
            )
            told = [group.create_task(deliver(client, of(pending, Kind.PAYMENT_SUCCEEDED))) for client in both]
            await waiting(observer, 2)
        assert [(await answer).status for answer in told] == [204, 204]
    books = await books_balance(system, parties.shard, deal)
    assert (books["status"], books["paid"]) == ("cancelled_by_garage", Decimal(pending["amount"]))
    assert books["refunded"] == books["paid"]


async def test_what_a_crash_left_undone_is_finished_by_the_next_tap(
    gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    path = f"/orders/{deal.order['id']}/payments"
    key = {"Idempotency-Key": str(uuid4())}
    first = await gateway.call("POST", path, user=deal.customer, json={"kind": "deposit"}, headers=key)
    sql = "UPDATE marketplace.payment SET reference = NULL, client_secret = NULL WHERE id = $1"
    for headers in (key, {}):
        await changed(system, parties.shard, sql, first.json["id"])
        again = await gateway.call("POST", path, user=deal.customer, json={"kind": "deposit"}, headers=headers)
        assert (again.status, again.json) == (201, first.json)
        assert (again.headers.get("Idempotent-Replayed") == "true") is bool(headers)
    await changed(system, parties.shard, sql, first.json["id"])
    confirmed = await done(gateway, deal.customer, f"/payments/{first.json['id']}/confirm", {"method": "sandbox_card"})
    assert confirmed["status"] == "paid"


async def test_a_confirm_that_was_cut_off_is_done_when_its_key_comes_again(
    gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    started = await done(gateway, deal.customer, f"/orders/{deal.order['id']}/payments", {"kind": "deposit"})
    path, key = f"/payments/{started['id']}/confirm", {"Idempotency-Key": str(uuid4())}
    await changed(system, parties.shard, "UPDATE marketplace.payment SET reference = NULL WHERE id = $1", started["id"])
    card = {"method": "sandbox_card"}
    statuses = []
    for paid in (Decimal(1), Decimal(0)):  # books that do not balance refuse the settlement, and nothing before it
        await changed(
            system, parties.shard, "UPDATE marketplace.orders SET paid = $2 WHERE id = $1", deal.order["id"], paid
        )
        answer = await gateway.call("POST", path, user=deal.customer, json=card, headers=key)
        statuses.append((answer.status, answer.json.get("status")))
    assert statuses == [(409, 409), (200, "paid")]
    await books_balance(system, parties.shard, deal)


async def test_a_declined_payment_can_be_tried_anew(
    gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    failed = await pay(gateway, deal, method="sandbox_declined")
    assert (failed["status"], failed["failure"], failed["paid_at"]) == ("failed", "card_declined", None)
    again = {"method": "sandbox_card"}
    is_problem(await post(gateway, deal.customer, f"/payments/{failed['id']}/confirm", again), 409, "conflict")
    with capture_logs() as logs:
        assert (await deliver(gateway, of(failed, Kind.PAYMENT_SUCCEEDED))).status == 204
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["paid_after_failure"]
    assert (await order_of(gateway, deal))["status"] == "pending_payment"
    paid = await pay(gateway, deal)
    assert (paid["status"], paid["id"] != failed["id"]) == ("paid", True)
    await books_balance(system, parties.shard, deal)


async def test_webhooks_twice_at_once_and_out_of_order_have_one_effect(
    gateway: Client, other_gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    pending = await pay(gateway, deal, method="sandbox_pending")
    assert pending["status"] == "pending"
    both = (gateway, other_gateway)
    told = await asyncio.gather(
        *(deliver(client, of(pending, Kind.PAYMENT_SUCCEEDED)) for client in both for _ in range(2)),
        post(gateway, deal.customer, f"/payments/{pending['id']}/confirm", {"method": "sandbox_card"}),
    )
    assert sorted(answer.status for answer in told) == [200, 204, 204, 204, 204]
    assert await events_of(system, parties.shard, pending) == ["payment.succeeded"]
    for client in both:
        assert (await deliver(client, of(pending, Kind.PAYMENT_FAILED, "evt_late"))).status == 204
        assert (await deliver(client, of(pending, Kind.PAYMENT_SUCCEEDED, "evt_other"))).status == 204
    payment = await strong(gateway, deal.customer, f"/payments/{pending['id']}")
    assert (payment["status"], payment["failure"]) == ("paid", None)
    assert (await order_of(gateway, deal))["paid"] == payment["amount"]
    assert await steps_of(gateway, deal) == [("pending_payment", "customer"), ("confirmed", "system")]
    assert await told_of(system, parties.shard, payment, "payment.succeeded") == 1
    await books_balance(system, parties.shard, deal)


async def test_a_webhook_that_is_not_proven_or_about_nothing_here_changes_nothing(
    gateway: Client, parties: Parties, deal: Deal
) -> None:
    assert gateway.runtime is not None
    pending = await pay(gateway, deal, method="sandbox_pending")
    event = of(pending, Kind.PAYMENT_SUCCEEDED)
    body, headers = gateway.runtime.parts.payments.webhook(event)
    json = {"Content-Type": "application/json"}
    forged = Sandbox("another secret", now=gateway.runtime.now).webhook(event)
    for sent, said in ((body, json), (body + b" ", headers), forged):
        is_problem(await gateway.call("POST", PAYMENT_WEBHOOK, data=sent, headers=said), 403, "forbidden")
    text = {**headers, "Content-Type": "text/plain"}
    is_problem(await gateway.call("POST", PAYMENT_WEBHOOK, data=body, headers=text), 415, "unsupported_media")
    large = await gateway.call("POST", PAYMENT_WEBHOOK, data=b" " * 300_000, headers=headers)
    is_problem(large, 413, "too_large")
    here = gateway.runtime.new_id(Placement(1, 7))
    for unknown in (here, gateway.runtime.new_id(Placement(200, 7)), uuid4(), None):
        for kind in Kind:
            told = await deliver(gateway, ProviderEvent("evt_unknown", kind, payment=unknown, refund=unknown))
            assert told.status == 204, told
    assert (await strong(gateway, deal.customer, f"/payments/{pending['id']}"))["status"] == "pending"
    abroad = await gateway.call("POST", PAYMENT_WEBHOOK, data=body, headers={**headers, "X-Forwarded-For": "8.8.8.8"})
    assert abroad.status == 204
    assert (await strong(gateway, deal.customer, f"/payments/{pending['id']}"))["status"] == "paid"


async def test_amounts_keep_the_three_decimals_of_a_dinar(
    gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    sql = """UPDATE marketplace.orders SET currency = 'KWD', minor_unit = 3, part_price = 12.3425, delivery_fee = 0,
        total = 12.3425, platform_fee = 0, garage_payout = 12.3425 WHERE id = $1"""
    await changed(system, parties.shard, sql, deal.order["id"])
    paid = await pay(gateway, deal)
    assert (paid["amount"], paid["refunded"], paid["currency"]) == ("2.469", "0.000", "KWD")


async def test_a_payment_that_nobody_makes_ends_once_whoever_looks(
    gateway: Client, other_gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    started = await done(gateway, deal.customer, f"/orders/{deal.order['id']}/payments", {"kind": "full"})
    await work(payments.JOBS[0], (gateway, other_gateway))
    assert (await strong(gateway, deal.customer, f"/payments/{started['id']}"))["status"] == "pending"
    sql = """UPDATE marketplace.payment SET due_at = due_at - interval '1 hour', reference = NULL, client_secret = NULL
        WHERE id = $1"""
    await changed(system, parties.shard, sql, started["id"])
    await work(payments.JOBS[0], (gateway, other_gateway))

    async def has_failed() -> bool:
        found = await strong(gateway, deal.customer, f"/payments/{started['id']}")
        return bool(found["status"] == "failed")

    await until(has_failed, what="the payment's end")
    assert await events_of(system, parties.shard, started) == ["payment.failed"]
    assert await told_of(system, parties.shard, started, "payment.failed") == 1
    assert (await pay(gateway, deal, "full"))["status"] == "paid"
