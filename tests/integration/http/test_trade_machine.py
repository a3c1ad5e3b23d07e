"""Whatever people of any role do in whatever order, the books balance and nothing is in a state outside the table.

A hypothesis state machine calls the API on real servers: mostly what somebody would do next, and now and then anything
by anybody. After each step the customer's rows are looked at as the primary has them.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.jobs import everywhere
from gateway.marketplace import SERVICE
from gateway.marketplace.providers.provider import Kind, ProviderEvent
from tests.integration.http.asking import REQUEST, Json, new_person
from tests.integration.http.test_bids import SISTER
from tests.integration.http.trade import PICKUP, bucket_of, hired
from tests.system import Answer, Client, Person, Phones, System

T = TypeVar("T")

BROKEN = """
WITH o AS (SELECT * FROM marketplace.orders WHERE bucket = $1 AND customer = $2),
p AS (SELECT *, status IN ('paid', 'refunded', 'partially_refunded') AS taken
      FROM marketplace.payment WHERE bucket = $1 AND customer = $2),
f AS (SELECT * FROM marketplace.refund WHERE bucket = $1 AND customer = $2 AND status <> 'failed'),
b AS (SELECT * FROM marketplace.bid WHERE bucket = $1 AND customer = $2),
r AS (SELECT * FROM marketplace.request WHERE bucket = $1 AND customer = $2),
h AS (SELECT *, lag(to_status) OVER (PARTITION BY order_id ORDER BY at) AS before,
             row_number() OVER (PARTITION BY order_id ORDER BY at DESC) = 1 AS is_last
      FROM marketplace.order_history WHERE bucket = $1 AND order_id IN (SELECT id FROM o))
SELECT 'total is not part and delivery' AS what, id FROM o WHERE total <> part_price + delivery_fee
UNION ALL SELECT 'part is not fee and payout', id FROM o WHERE part_price <> platform_fee + garage_payout
UNION ALL SELECT 'more refunded than paid', id FROM o WHERE refunded > paid
UNION ALL SELECT 'more paid than the total, and kept', id FROM o WHERE paid - refunded > total
UNION ALL SELECT 'paid is not the sum of payments', id FROM o
    WHERE paid <> (SELECT coalesce(sum(amount), 0) FROM p WHERE p.order_id = o.id AND taken)
UNION ALL SELECT 'refunded is not the sum of the payments', id FROM o
    WHERE refunded <> (SELECT coalesce(sum(refunded), 0) FROM p WHERE p.order_id = o.id)
UNION ALL SELECT 'a payment is not the sum of its refunds', id FROM p
    WHERE refunded <> (SELECT coalesce(sum(amount), 0) FROM f WHERE f.payment = p.id)
UNION ALL SELECT 'refunded but not all of it', id FROM p WHERE status = 'refunded' AND refunded <> amount
UNION ALL SELECT 'refunded though not paid', id FROM p WHERE status IN ('pending', 'failed') AND refunded > 0
UNION ALL SELECT 'confirmed though nothing was paid', id FROM o
    WHERE status NOT IN ('pending_payment', 'cancelled_by_customer', 'cancelled_by_garage') AND paid = 0
UNION ALL SELECT 'an order that is not what was agreed', o.id FROM o JOIN b ON b.id = o.bid
    WHERE b.status <> 'accepted' OR o.part_price <> coalesce(b.agreed, b.amount)
UNION ALL SELECT 'history has a gap', order_id FROM h WHERE from_status IS DISTINCT FROM before
UNION ALL SELECT 'a step outside the table', order_id FROM h
    WHERE from_status IS NOT NULL AND NOT EXISTS (SELECT FROM marketplace.transition t WHERE t.entity = 'orders'
        AND (t.from_status, t.to_status) = (h.from_status, h.to_status) AND h.actor_role = ANY (t.actors))
UNION ALL SELECT 'history ends elsewhere', o.id FROM o JOIN h ON h.order_id = o.id AND is_last
    WHERE to_status <> o.status
UNION ALL SELECT 'two orders of one request', request FROM o GROUP BY request HAVING count(*) > 1
UNION ALL SELECT 'accepted without an order, or the other way round', r.id FROM r
    WHERE (status = 'accepted') <> EXISTS (SELECT FROM o WHERE o.request = r.id)
UNION ALL SELECT 'not one accepted bid', r.id FROM r
    WHERE (SELECT count(*) FROM b WHERE b.request = r.id AND b.status = 'accepted') <> (r.status = 'accepted')::int
UNION ALL SELECT 'pending bids are miscounted', r.id FROM r WHERE r.status = 'active'
    AND bids <> (SELECT count(*) FROM b WHERE b.request = r.id AND b.status = 'pending')
UNION ALL SELECT 'a pending bid on an ended request', b.id FROM b JOIN r ON r.id = b.request
    WHERE b.status = 'pending' AND r.status <> 'active'
UNION ALL SELECT 'a pending offer on a decided bid', b.id FROM b
    JOIN marketplace.counter_offer c ON c.bucket = $1 AND c.bid = b.id
    WHERE c.status = 'pending' AND b.status <> 'pending'
UNION ALL SELECT 'a dispute of an order that has none', d.id FROM marketplace.dispute d JOIN o ON o.id = d.order_id
    WHERE o.status <> CASE d.status WHEN 'open' THEN 'disputed' WHEN 'rejected' THEN 'completed' ELSE 'refunded' END
UNION ALL SELECT 'a review before the end', v.id FROM marketplace.review v JOIN o ON o.id = v.order_id
    WHERE o.status <> 'completed'
"""
STATUSES = {200, 201, 204, 403, 404, 409, 422}
ORDER_STEPS = ("preparing", "ready_for_pickup", "collected", "in_transit", "delivered")


@dataclass
class Play:
    """A region's players and the wires to them; `loop` is the servers' event loop, not the machine's thread."""

    loop: asyncio.AbstractEventLoop
    client: Client
    system: System
    phones: Phones
    shard: str
    people: dict[str, Person]
    sql: asyncpg.Connection

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


@dataclass
class Things:
    """What was made so far, by kind; the newest last."""

    of: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, id: str) -> None:
        if id not in self.of.setdefault(kind, []):
            self.of[kind].append(id)

    def count(self, kind: str) -> int:
        return len(self.of.get(kind, []))

    def pick(self, kind: str, back: int) -> str:
        found = self.of.get(kind, [])
        return found[-1 - back % len(found)] if found else "01a207d9-2100-7555-806b-1c9d4e7a35f0"


AMOUNTS = st.sampled_from(["0.01", "9.99", "100", "333.33"])
BACK = st.sampled_from([0, 0, 0, 1, 2])
ROLES = st.sampled_from(["customer", "garage", "other_garage", "driver", "staff", "stranger"])


class Trade(RuleBasedStateMachine):
    """One customer's trade. `play` is set before it runs."""

    play: ClassVar[Play]

    @initialize()
    def begin(self) -> None:
        person = self.play.run(new_person(self.play.client, self.play.phones, self.play.shard))
        self.people = {**self.play.people, "customer": person}
        self.things = Things()
        self.bucket, self.customer = bucket_of(person), UUID(person.id)

    def call(self, who: str, method: str, path: str, body: Json | None = None, **more: Any) -> Answer:
        headers = {"Consistency": "strong"} if method == "GET" else None
        sent = {} if body is None else {"json": body}
        answer = self.play.run(
            self.play.client.call(method, path, user=self.people[who], headers=headers, **sent, **more)
        )
        assert answer.status in STATUSES, (who, method, path, body, answer)
        return answer

    def make(self, who: str, kind: str, path: str, body: Json | None = None) -> Answer:
        answer = self.call(who, "POST", path, body)
        if answer.status in (200, 201):
            self.things.add(kind, answer.json["id"])
        return answer

    @precondition(lambda self: self.things.count("request") < 5)
    @rule(pickup=st.booleans())
    def ask(self, pickup: bool) -> None:
        self.make("customer", "request", "/requests", PICKUP if pickup else REQUEST)

    @precondition(lambda self: self.things.count("request") > 0)
    @rule(who=st.sampled_from(["garage", "other_garage"]), amount=AMOUNTS, back=BACK)
    def bid(self, who: str, amount: str, back: int) -> None:
        body = {"amount": amount, "part_condition": "new"}
        self.make(who, "bid", f"/requests/{self.things.pick('request', back)}/bids", body)

    @precondition(lambda self: self.things.count("bid") > 0)
    @rule(who=st.sampled_from(["customer", "garage", "other_garage"]), amount=AMOUNTS, back=BACK)
    def haggle(self, who: str, amount: str, back: int) -> None:
        self.make(who, "offer", f"/bids/{self.things.pick('bid', back)}/counter-offers", {"amount": amount})

    @precondition(lambda self: self.things.count("offer") > 0)
    @rule(who=st.sampled_from(["customer", "garage"]), verb=st.sampled_from(["accept", "reject"]), back=BACK)
    def answer(self, who: str, verb: str, back: int) -> None:
        self.call(who, "POST", f"/counter-offers/{self.things.pick('offer', back)}/{verb}")

    @precondition(lambda self: self.things.count("bid") > 0)
    @rule(who=st.sampled_from(["garage", "other_garage"]), amount=AMOUNTS, back=BACK)
    def better(self, who: str, amount: str, back: int) -> None:
        self.call(who, "PATCH", f"/bids/{self.things.pick('bid', back)}", {"amount": amount})

    @precondition(lambda self: self.things.count("bid") > 0)
    @rule(back=BACK)
    def accept(self, back: int) -> None:
        self.make("customer", "order", f"/bids/{self.things.pick('bid', back)}/accept")

    @precondition(lambda self: self.things.count("order") < 3)
    @rule(
        paid=st.sampled_from([None, "deposit", "full", "full"]),
        steps=st.sampled_from([0, 1, 2, 5, 5, 5]),
        pickup=st.sampled_from([False, False, True]),
    )
    def deal(self, paid: str | None, steps: int, pickup: bool) -> None:
        """The usual way at once, for some way, so that what comes late is reached often."""
        self.ask(pickup=pickup)
        self.bid(who="garage", amount="333.33", back=0)
        self.accept(back=0)
        if paid is not None:
            self.pay(kind=paid, method="card")
            self.assign(back=0)
            self.go_on(steps=steps, back=0)

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(back=BACK)
    def assign(self, back: int) -> None:
        self.call("staff", "POST", f"/orders/{self.things.pick('order', back)}/assign-driver", self.driver)

    @property
    def driver(self) -> Json:
        return {"driver_id": self.people["driver"].id}

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(kind=st.sampled_from(["deposit", "full"]), method=st.sampled_from(["card", "card", "declined", "pending"]))
    def pay(self, kind: str, method: str) -> None:
        self.make("customer", "payment", f"/orders/{self.things.pick('order', 0)}/payments", {"kind": kind})
        payment = self.things.pick("payment", 0)
        self.call("customer", "POST", f"/payments/{payment}/confirm", {"method": f"sandbox_{method}"})

    @precondition(lambda self: self.things.count("payment") > 0)
    @rule(kind=st.sampled_from([Kind.PAYMENT_SUCCEEDED, Kind.PAYMENT_FAILED]), back=BACK)
    def webhook(self, kind: Kind, back: int) -> None:
        payment = self.things.pick("payment", back)
        event = ProviderEvent(f"{payment}:{kind}:told", kind, payment=UUID(payment))
        assert self.play.client.runtime is not None
        body, headers = self.play.client.runtime.parts.payments.webhook(event)
        answer = self.play.run(self.play.client.call("POST", "/webhooks/payments", data=body, headers=headers))
        assert answer.status == 204, answer

    @precondition(lambda self: self.things.count("payment") > 0)
    @rule(amount=st.sampled_from([None, "0.01", "100"]), back=BACK)
    def refund(self, amount: str | None, back: int) -> None:
        body = {"reason": "goodwill"} | ({} if amount is None else {"amount": amount})
        self.call("staff", "POST", f"/payments/{self.things.pick('payment', back)}/refund", body)

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(steps=st.integers(1, 5), back=BACK)
    def go_on(self, steps: int, back: int) -> None:
        """The next steps, each by whom it belongs to; those that are not next are refused."""
        for status in ORDER_STEPS[:steps]:
            who = "garage" if status in ORDER_STEPS[:2] else "driver"
            self.call(who, "PATCH", f"/orders/{self.things.pick('order', back)}/status", {"status": status})

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(who=st.sampled_from(["customer", "garage"]), back=BACK)
    def cancel(self, who: str, back: int) -> None:
        self.call(who, "POST", f"/orders/{self.things.pick('order', back)}/cancel", {})

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(back=BACK)
    def confirm(self, back: int) -> None:
        self.call("customer", "POST", f"/orders/{self.things.pick('order', back)}/confirm-delivery")

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(reason=st.sampled_from(["wrong_part", "does_not_fit", "changed_mind"]), back=BACK)
    def dispute(self, reason: str, back: int) -> None:
        body = {"reason": reason, "description": "Not what I need"}
        self.make("customer", "dispute", f"/orders/{self.things.pick('order', back)}/dispute", body)

    @precondition(lambda self: self.things.count("dispute") > 0)
    @rule(decision=st.sampled_from(["refund", "reject"]), back=BACK)
    def resolve(self, decision: str, back: int) -> None:
        body = {"decision": decision, "note": "Looked at"}
        self.call("staff", "POST", f"/disputes/{self.things.pick('dispute', back)}/resolve", body)

    @precondition(lambda self: self.things.count("order") > 0)
    @rule(back=BACK)
    def review(self, back: int) -> None:
        self.make("customer", "review", f"/orders/{self.things.pick('order', back)}/review", {"rating": 5})

    @rule(hours=st.sampled_from([25, 49]))
    def time_passes(self, hours: int) -> None:
        """Everything of the customer's is so much older, and every job is done."""
        assert self.play.client.runtime is not None
        for table, column in (("request", "expires_at"), ("counter_offer", "expires_at"), ("orders", "delivered_at")):
            older = f"{column} = {column} - make_interval(hours => $3)"
            sql = f"UPDATE marketplace.{table} SET {older} WHERE bucket = $1 AND customer = $2"
            self.play.run(self.play.sql.execute(sql, self.bucket, self.customer, hours))
        for job in SERVICE.jobs:
            if job.name != "order numbers":
                self.play.run(everywhere(job, self.play.client.runtime))

    @rule(
        who=ROLES,
        what=st.sampled_from(
            [
                ("POST", "/requests/{request}/cancel", None),
                ("POST", "/requests/{request}/bids", {"amount": "5", "part_condition": "new"}),
                ("POST", "/bids/{bid}/withdraw", None),
                ("POST", "/bids/{bid}/accept", None),
                ("POST", "/bids/{bid}/counter-offers", {"amount": "7"}),
                ("POST", "/counter-offers/{offer}/accept", None),
                ("POST", "/orders/{order}/payments", {"kind": "full"}),
                ("POST", "/payments/{payment}/confirm", {"method": "sandbox_card"}),
                ("POST", "/payments/{payment}/refund", {"reason": "just so"}),
                ("PATCH", "/orders/{order}/status", {"status": "delivered"}),
                ("POST", "/orders/{order}/cancel", {}),
                ("POST", "/orders/{order}/confirm-delivery", None),
                ("POST", "/orders/{order}/dispute", {"reason": "damaged", "description": "Broken"}),
                ("POST", "/disputes/{dispute}/resolve", {"decision": "refund", "note": "Yes"}),
                ("POST", "/orders/{order}/review", {"rating": 1}),
            ]
        ),
        back=BACK,
    )
    def anybody_does_anything(self, who: str, what: tuple[str, str, Json | None], back: int) -> None:
        method, path, body = what
        kinds = ("request", "bid", "offer", "order", "payment", "dispute")
        self.call(who, method, path.format(**{kind: self.things.pick(kind, back) for kind in kinds}), body)

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "bucket"):
            broken = self.play.run(self.play.sql.fetch(BROKEN, self.bucket, self.customer))
            assert [dict(row) for row in broken] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shard", ["qa-1", "sa-1"])
async def test_no_sequence_of_calls_unbalances_the_books(
    gateway: Client, system: System, phones: Phones, shard: str
) -> None:
    sister = SISTER[shard]
    people = {
        "garage": await new_person(gateway, phones, sister, "garage"),
        "other_garage": await new_person(gateway, phones, shard, "garage"),
        "driver": await hired(gateway, system, phones, sister, "driver"),
        "staff": await hired(gateway, system, phones, sister, "staff"),
        "stranger": await new_person(gateway, phones, shard),
    }
    async with system.sql(shard) as sql:
        Trade.play = Play(asyncio.get_running_loop(), gateway, system, phones, shard, people, sql)
        bounds = settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        await asyncio.to_thread(run_state_machine_as_test, Trade, settings=bounds)
