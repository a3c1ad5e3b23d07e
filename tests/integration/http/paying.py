"""Steps of paying that tests share: payments, webhooks, the books of an order, and jobs on several gateways at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from gateway import jobs
from gateway.marketplace.providers.provider import Kind, ProviderEvent
from gateway.marketplace.providers.sandbox import Sandbox, event_id
from gateway.operations import Job
from tests.integration.http.asking import Json, new_person
from tests.integration.http.trade import Deal, done, hired, rows_of, strong
from tests.system import Answer, Client, Person, Phones, System, until

PAYMENT_WEBHOOK = "/webhooks/payments"


@dataclass
class Parties:
    """People of one region whom the tests of a module share; the customer lives on `shard`."""

    shard: str
    customer: Person
    garage: Person
    staff: Person


async def parties_on(shard: str, client: Client, system: System, phones: Phones) -> Parties:
    """New people; the garage and the staff live on another shard of the region, where there is one."""
    other = "qa-1" if shard == "qa-1" else "sa-1"
    return Parties(
        shard,
        await new_person(client, phones, shard),
        await new_person(client, phones, other, "garage"),
        await hired(client, system, phones, other, "staff"),
    )


async def pay(client: Client, deal: Deal, kind: str = "deposit", method: str = "sandbox_card") -> Json:
    """Start a payment and confirm it."""
    started = await done(client, deal.customer, f"/orders/{deal.order['id']}/payments", {"kind": kind})
    return await done(client, deal.customer, f"/payments/{started['id']}/confirm", {"method": method})


async def order_of(client: Client, deal: Deal) -> Json:
    found: Json = await strong(client, deal.customer, f"/orders/{deal.order['id']}")
    return found


async def steps_of(client: Client, deal: Deal) -> list[tuple[str, str]]:
    """The order's history: what it became, and by whom."""
    found = await strong(client, deal.customer, f"/orders/{deal.order['id']}/history")
    return [(step["to_status"], step["actor_role"]) for step in found["items"]]


async def deliver(client: Client, event: ProviderEvent) -> Answer:
    """A webhook, as the gateway's sandbox signs it."""
    assert client.runtime is not None
    sandbox = client.runtime.parts.payments
    assert isinstance(sandbox, Sandbox)
    body, headers = sandbox.webhook(event)
    return await client.call("POST", PAYMENT_WEBHOOK, data=body, headers=headers)


def of(payment: Json, kind: Kind, id: str = "") -> ProviderEvent:
    subject = UUID(payment["id"])
    return ProviderEvent(id or event_id(kind, subject), kind, payment=subject)


async def books_balance(system: System, shard: str, deal: Deal) -> Json:
    """The order's row; what it says was paid and given back is what its payments and refunds say."""
    [row] = await rows_of(
        system,
        shard,
        """SELECT o.status, o.total, o.paid, o.refunded, o.cancellation_fee,
            (SELECT coalesce(sum(amount), 0) FROM marketplace.payment
             WHERE order_id = o.id AND status NOT IN ('pending', 'failed')) AS sum_paid,
            (SELECT coalesce(sum(refunded), 0) FROM marketplace.payment WHERE order_id = o.id) AS sum_back,
            (SELECT coalesce(sum(amount), 0) FROM marketplace.refund
             WHERE order_id = o.id AND status <> 'failed') AS sum_refunds
           FROM marketplace.orders o WHERE o.id = $1""",
        UUID(deal.order["id"]),
    )
    assert row["paid"] == row["sum_paid"] <= row["total"], row
    assert row["refunded"] == row["sum_back"] == row["sum_refunds"] <= row["paid"], row
    return row


async def events_of(system: System, shard: str, payment: Json) -> list[str]:
    found = await rows_of(
        system, shard, "SELECT kind FROM marketplace.payment_event WHERE payment = $1", UUID(payment["id"])
    )
    return sorted(row["kind"] for row in found)


async def told_of(system: System, shard: str, payment: Json, kind: str) -> int:
    """How many outbox events of a kind tell of a payment."""
    sql = "SELECT count(*) FROM meridian.outbox WHERE subject = $1 AND kind = $2"
    [row] = await rows_of(system, shard, sql, UUID(payment["id"]), kind)
    return int(row["count"])


async def work(job: Job, clients: Sequence[Client]) -> None:
    """Do a job on every shard by each gateway, all at once."""
    await asyncio.gather(*(jobs.everywhere(job, client.runtime) for client in clients if client.runtime is not None))


async def is_sent_back(client: Client, deal: Deal, payment: Json) -> None:
    """Wait until a payment was given back: another gateway's job may have claimed it, and be at it still."""

    async def is_refunded() -> bool:
        found = await strong(client, deal.customer, f"/payments/{payment['id']}")
        return bool(found["status"] == "refunded" and found["refunded"] == found["amount"])

    await until(is_refunded, what="the refund")
