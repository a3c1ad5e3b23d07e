"""Money that goes back: once, to the last dirham and never more, whoever cancels and whatever is out of reach."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from gateway.marketplace import refunds
from gateway.marketplace.providers.provider import Kind
from tests.integration.http.asking import Json, is_problem
from tests.integration.http.paying import (
    PAYMENT_WEBHOOK,
    Parties,
    books_balance,
    deliver,
    is_sent_back,
    of,
    parties_on,
    pay,
    told_of,
    work,
)
from tests.integration.http.trade import Deal, accepted, at_status, changed, done, post, rows_of, strong
from tests.servers import stripe
from tests.servers.stripe import StripeServer
from tests.system import Client, Phones, System, until


@pytest.fixture(scope="module", params=["qa-1", "sa-2"])
async def parties(request: pytest.FixtureRequest, gateway: Client, system: System, phones: Phones) -> Parties:
    """People of a region with one shard, and of one with two."""
    return await parties_on(request.param, gateway, system, phones)


@pytest.fixture
async def deal(gateway: Client, parties: Parties) -> Deal:
    """A new order that waits for its payment."""
    return await accepted(gateway, parties.customer, parties.garage)


async def test_money_for_an_order_that_was_cancelled_meanwhile_goes_back(
    gateway: Client, other_gateway: Client, system: System, parties: Parties
) -> None:
    late, race = [await accepted(gateway, parties.customer, parties.garage) for _ in range(2)]
    pending = await pay(gateway, late, method="sandbox_pending")
    await done(gateway, late.customer, f"/orders/{late.order['id']}/cancel", {})
    again = await post(gateway, late.customer, f"/orders/{late.order['id']}/payments", {"kind": "full"})
    is_problem(again, 409, "conflict")
    await asyncio.gather(*(deliver(client, of(pending, Kind.PAYMENT_SUCCEEDED)) for client in (gateway, other_gateway)))
    books = await books_balance(system, parties.shard, late)
    assert (books["status"], books["paid"]) == ("cancelled_by_customer", books["refunded"])
    assert books["paid"] == Decimal(pending["amount"])
    await work(refunds.JOBS[0], (gateway, other_gateway))
    await is_sent_back(gateway, late, pending)
    assert await told_of(system, parties.shard, pending, "payment.refunded") == 1

    started = await done(gateway, race.customer, f"/orders/{race.order['id']}/payments", {"kind": "deposit"})
    confirm, cancel = await asyncio.gather(
        post(gateway, replace(race.customer), f"/payments/{started['id']}/confirm", {"method": "sandbox_card"}),
        post(other_gateway, replace(race.customer), f"/orders/{race.order['id']}/cancel", {}),
    )
    assert (confirm.status in (200, 409), cancel.status) == (True, 200), (confirm, cancel)
    books = await books_balance(system, parties.shard, race)
    assert books["status"] == "cancelled_by_customer"
    assert books["paid"] - books["refunded"] == books["cancellation_fee"]


async def test_a_cancelled_order_is_given_back_from_its_newest_payment_on(
    gateway: Client, other_gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    deposit, rest = await pay(gateway, deal), await pay(gateway, deal, "full")
    await done(gateway, deal.customer, f"/orders/{deal.order['id']}/cancel", {})
    books = await books_balance(system, parties.shard, deal)
    fee = (books["total"] / 20).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert (books["cancellation_fee"], books["refunded"]) == (fee, books["total"] - fee)
    await work(refunds.JOBS[0], (gateway, other_gateway))
    await is_sent_back(gateway, deal, rest)

    async def is_given_back_in_part() -> bool:
        found = await strong(gateway, deal.customer, f"/payments/{deposit['id']}")
        return bool(found["status"] == "partially_refunded")

    await until(is_given_back_in_part, what="the deposit's refund")
    found = await strong(gateway, deal.customer, f"/payments/{deposit['id']}")
    assert Decimal(found["refunded"]) == Decimal(deposit["amount"]) - fee
    for payment in (deposit, rest):
        assert await told_of(system, parties.shard, payment, "payment.refunded") == 1


async def test_a_cancel_that_is_refused_gives_nothing_back(
    gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    paid = await pay(gateway, deal, "full")
    await at_status(system, gateway, deal, "delivered", paid=False)
    is_problem(await post(gateway, deal.customer, f"/orders/{deal.order['id']}/cancel", {}), 409, "conflict")
    assert (await books_balance(system, parties.shard, deal))["refunded"] == 0
    sql = "SELECT id FROM marketplace.refund WHERE payment = $1::text::uuid"
    assert await rows_of(system, parties.shard, sql, paid["id"]) == []


async def test_refunds_never_exceed_what_was_paid(
    gateway: Client, other_gateway: Client, system: System, parties: Parties, deal: Deal
) -> None:
    paid = await pay(gateway, deal, "full")
    path, amount = f"/payments/{paid['id']}/refund", Decimal(paid["amount"])
    part = {"amount": str((amount * 2 / 5).quantize(Decimal("0.01"))), "reason": "A scratch"}
    key = {"Idempotency-Key": str(uuid4())}
    answers = await asyncio.gather(
        *(
            client.call("POST", path, user=replace(parties.staff), json=part, headers=headers)
            for client in (gateway, other_gateway)
            for headers in (key, {}, {})
        )
    )
    assert sorted(answer.status for answer in answers) == [201, 201, 201, 409, 409, 409] or sorted(
        answer.status for answer in answers
    ) == [201, 201, 409, 409, 409, 409], answers
    given = {answer.json["id"]: answer.json for answer in answers if answer.status == 201}
    assert len(given) == 2
    assert {refund["status"] for refund in given.values()} == {"succeeded"}
    after = await strong(gateway, parties.staff, f"/payments/{paid['id']}")
    assert (after["status"], Decimal(after["refunded"])) == ("partially_refunded", Decimal(part["amount"]) * 2)
    for wrong, status, code in (("1000.00", 409, "conflict"), ("0.001", 422, "invalid"), ("-1", 422, "invalid")):
        is_problem(
            await post(gateway, parties.staff, path, {"amount": wrong, "reason": "No"}),
            status,
            code,
            *(["amount"] if status == 422 else []),
        )
    rest = await done(gateway, parties.staff, path, {"reason": "All of it"})
    assert Decimal(rest["amount"]) == amount - Decimal(after["refunded"])
    is_problem(await post(gateway, parties.staff, path, {"reason": "More"}), 409, "conflict")
    books = await books_balance(system, parties.shard, deal)
    assert books["refunded"] == amount
    assert (await strong(gateway, parties.staff, f"/payments/{paid['id']}"))["status"] == "refunded"


@pytest.fixture
async def stripe_server() -> AsyncIterator[StripeServer]:
    """A Stripe."""
    server = StripeServer()
    await server.start()
    yield server
    await server.stop()


async def test_while_the_provider_is_away_nothing_is_lost_and_what_it_refuses_can_be_given_back_anew(
    gateway: Client, system: System, parties: Parties, stripe_server: StripeServer
) -> None:
    variables: dict[str, Any] = {
        "PAYMENT_PROVIDER": "stripe",
        "STRIPE_SECRET_KEY": stripe.KEY,
        "STRIPE_WEBHOOK_SECRET": stripe.WEBHOOK_SECRET,
        "STRIPE_API_BASE": stripe_server.url,
    }
    deal = await accepted(gateway, parties.customer, parties.garage)
    elsewhere = replace(system, variables={**system.variables, **variables})
    path = f"/orders/{deal.order['id']}/payments"
    async with elsewhere.gateway() as client:
        await stripe_server.stop()
        away = await post(client, deal.customer, path, {"kind": "full"})
        assert is_problem(away, 503, "payment_unavailable")
        assert away.headers["Retry-After"]
        await stripe_server.start()
        paid = await pay(client, deal, "full", stripe.CARD)
        assert (paid["status"], paid["provider"]) == ("paid", "stripe")
        await stripe_server.stop()
        refund = f"/payments/{paid['id']}/refund"
        pending = await done(client, parties.staff, refund, {"reason": "Wrong part"})
        assert pending["status"] == "pending"
        assert (await books_balance(system, parties.shard, deal))["refunded"] == Decimal(paid["amount"])
        is_problem(await post(client, parties.staff, refund, {"reason": "Again"}), 409, "conflict")
        stripe_server.refund_status = "pending"
        await stripe_server.start()
        await sent_now(client, system, parties.shard, pending)
        [made] = stripe_server.refunds.values()
        body, headers = stripe.event(
            "evt_1", "refund.failed", {**made, "status": "failed", "failure_reason": "lost_card"}
        )
        with capture_logs() as logs:
            told = [await client.call("POST", PAYMENT_WEBHOOK, data=body, headers=headers) for _ in range(2)]
        assert [answer.status for answer in told] == [204, 204]
        assert [log["event"] for log in logs if log["log_level"] == "error"] == ["refund_failed"]
        assert (await books_balance(system, parties.shard, deal))["refunded"] == 0
        # Stripe gives the money of a failed refund back to the account: it is there to be sent again.
        stripe_server.refunds.clear()
        stripe_server.refund_status = "succeeded"
        again = await done(client, parties.staff, refund, {"reason": "Wrong part"})
        assert (again["status"], again["amount"]) == ("succeeded", paid["amount"])
        assert (await strong(client, deal.customer, f"/payments/{paid['id']}"))["status"] == "refunded"


async def sent_now(client: Client, system: System, shard: str, refund: Json) -> None:
    """Let a refund be due until the provider was asked."""
    assert client.runtime is not None
    sql = "UPDATE marketplace.refund SET due_at = now() WHERE id = $1"
    await changed(system, shard, sql, refund["id"])
    await work(refunds.JOBS[0], [client])
