"""Payments of orders: made, confirmed and settled. What the provider decides is settled in one statement, once."""

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

import structlog
from pydantic import Field

from core.database.statement import OWNED, Lock, Query, Row, Write
from core.errors import Conflict, MeridianError, NotFound
from core.ids import placement_of
from core.limits import PAYMENT_JOB_ROWS
from gateway.marketplace.access import oversees
from gateway.marketplace.money import Money, shown
from gateway.marketplace.orders import no_order
from gateway.marketplace.providers.provider import Intent, Kind, Outcome, PaymentProvider, ProviderEvent, State
from gateway.marketplace.roles import ADMIN, CUSTOMER, STAFF
from gateway.operations import (
    READ,
    WRITE,
    Api,
    Call,
    Consistency,
    Created,
    Input,
    Items,
    Job,
    Label,
    Output,
    Place,
    Shift,
)

api = Api("", tag="payments")

_log = structlog.get_logger("payments")

DEPOSIT_PERCENT: Final = 20
ENDED: Final = ("cancelled_by_customer", "cancelled_by_garage", "refunded")
_NOT_PAYABLE: Final = (*ENDED, "disputed")
WhatFor = Literal["deposit", "full"]
Status = Literal["pending", "paid", "failed", "refunded", "partially_refunded"]


class NewPayment(Input):
    """What to pay: the `deposit`, or everything that is not paid yet (`full`)."""

    kind: WhatFor


class Confirmation(Input):
    """How to pay: a payment method as the provider names it."""

    method: Label = Field(examples=["sandbox_card"])


class Payment(Output):
    """A payment. `refunded` is what goes or went back; `client_secret` is for the provider's library in your app.

    `status`: `pending` until it is decided; `paid`; `failed` for good, with the reason in `failure`; once money has
    gone back, `partially_refunded` or `refunded`.
    """

    id: UUID
    order_id: UUID
    kind: WhatFor
    amount: Money
    refunded: Money
    currency: str
    status: Status
    provider: str
    client_secret: str | None = Field(repr=False)
    failure: str | None
    created_at: datetime
    paid_at: datetime | None


class Stored(Payment):
    """A payment with what only the marketplace knows of it."""

    customer: UUID
    minor_unit: int
    reference: str | None

    @property
    def intent(self) -> Intent:
        """It, as the provider is told of it."""
        return Intent(self.id, self.order_id, Decimal(self.amount), self.currency, self.minor_unit)

    def to(self, customer: UUID | None) -> Payment:
        """What its customer sees of it, or (None) the staff, who cannot pay it."""
        hidden = set() if customer is not None else {"client_secret"}
        return Payment.model_validate({**self.model_dump(), **dict.fromkeys(hidden)})


class Settled(Stored):
    """A payment after an event: `was` its status before; `is_new`: the event had not been seen."""

    was: Status
    is_new: bool


_COLUMNS: Final = f"""p.id, p.order_id, p.customer, p.kind, {shown("p.amount", "p.minor_unit")} AS amount,
    {shown("p.refunded", "p.minor_unit")} AS refunded, p.currency, p.minor_unit, p.status, p.provider, p.reference,
    p.client_secret, p.failure, p.created_at, p.paid_at"""


def _stored(row: Row) -> Stored:
    return Stored.model_validate({**row})


def _words(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _one(id: UUID, customer: UUID | None) -> Query[Stored]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.payment p
            WHERE p.bucket = $1 AND p.id = $2 AND ($3::uuid IS NULL OR p.customer = $3)""",
        (placement_of(id).bucket, id, customer),
        _stored,
    )


def _of_order(order: UUID, customer: UUID | None) -> Query[Stored | None]:
    """The payments of an order, the newest first; None for one that has none, and no row where there is no order."""
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.orders o
            LEFT JOIN marketplace.payment p ON p.bucket = o.bucket AND p.order_id = o.id
            WHERE o.bucket = $1 AND o.id = $2 AND ($3::uuid IS NULL OR o.customer = $3) ORDER BY p.id DESC""",
        (placement_of(order).bucket, order, customer),
        lambda row: None if row["id"] is None else _stored(row),
    )


def _start(order: UUID, id: UUID, customer: UUID, kind: WhatFor, provider: str) -> Write[Stored]:
    """The order's pending payment of this kind, or a new one."""
    bucket = placement_of(order).bucket
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", order),
        first=f"""
        o AS (
            SELECT t.*, CASE $5::text WHEN 'deposit'
                THEN greatest(round(t.total * {DEPOSIT_PERCENT} / 100, t.minor_unit), 10::numeric ^ -t.minor_unit)
                ELSE t.total - t.paid END AS due
            FROM marketplace.orders t
            WHERE t.bucket = $1 AND t.id = $2 AND t.customer = $3
                AND (t.status = 'pending_payment' OR $5 = 'full' AND t.status NOT IN ({_words(_NOT_PAYABLE)}))),
        live AS (
            SELECT p.* FROM marketplace.payment p JOIN o ON p.bucket = o.bucket AND p.order_id = o.id
            WHERE p.status <> 'failed' AND (p.status = 'pending' OR p.kind = $5)),
        made AS (
            INSERT INTO marketplace.payment
                (bucket, id, order_id, customer, garage, kind, amount, currency, minor_unit, provider)
            SELECT o.bucket, $4, o.id, o.customer, o.garage, $5, round(o.due, o.minor_unit), o.currency,
                o.minor_unit, $6
            FROM o WHERE o.due > 0 AND NOT EXISTS (SELECT FROM live)
            RETURNING *)""",
        sql=f"""SELECT {_COLUMNS} FROM made p
                UNION ALL SELECT {_COLUMNS} FROM live p WHERE p.status = 'pending' AND p.kind = $5""",
        args=(bucket, order, customer, id, kind, provider),
        row=_stored,
        if_none=Conflict("this order cannot be paid now"),
    )


def _why_not(order: UUID, customer: UUID, kind: WhatFor) -> Query[str]:
    """Why a payment could not be started."""

    def why(row: Row) -> str:
        if row["status"] in _NOT_PAYABLE:
            return f"this order is {row['status']}: it is not to be paid"
        if row["pending"] is not None:
            return f"a payment ({row['pending']}) of this order is under way: finish that one first"
        if row["is_paid"]:
            return "nothing is left to pay"
        return f"the {kind} cannot be paid any more: pay what is left with kind full"

    return Query(
        """SELECT o.status, o.paid >= o.total AS is_paid, (SELECT p.kind FROM marketplace.payment p
                WHERE p.bucket = o.bucket AND p.order_id = o.id AND p.status = 'pending') AS pending
           FROM marketplace.orders o WHERE o.bucket = $1 AND o.id = $2 AND o.customer = $3""",
        (placement_of(order).bucket, order, customer),
        why,
    )


def _told(payment: Stored, reference: str, client_secret: str) -> Write[Stored]:
    """Keep what the provider calls it."""
    bucket = placement_of(payment.id).bucket
    return Write(
        bucket=bucket,
        first="""p AS (
            UPDATE marketplace.payment
            SET reference = coalesce(reference, $3), client_secret = coalesce(client_secret, $4)
            WHERE bucket = $1 AND id = $2 RETURNING *)""",
        sql=f"SELECT {_COLUMNS} FROM p",
        args=(bucket, payment.id, reference, client_secret),
        row=_stored,
    )


def settlement(payment: UUID, event: ProviderEvent, provider: str) -> Write[Settled]:
    """Act on an event of a payment: once, whoever tells it and however often.

    Money that comes when the order is not to be paid any more, or beyond its total, goes back at once.
    """
    bucket = placement_of(payment).bucket
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", payment, through=("marketplace.payment", "order_id")),
        first=f"""
        before AS (SELECT * FROM marketplace.payment WHERE bucket = $1 AND id = $2 AND provider = $3),
        seen AS (
            INSERT INTO marketplace.payment_event (bucket, provider, event, payment, kind)
            SELECT $1, $3, $4, id, $5 FROM before ON CONFLICT ON CONSTRAINT event_seen DO NOTHING RETURNING kind),
        o AS (
            SELECT t.bucket, t.id, t.status IN ({_words(ENDED)}) OR t.paid + b.amount > t.total AS is_late
            FROM marketplace.orders t JOIN before b ON t.bucket = b.bucket AND t.id = b.order_id),
        after AS (
            UPDATE marketplace.payment p SET
                status = CASE WHEN seen.kind = '{Kind.PAYMENT_SUCCEEDED}' THEN 'paid' ELSE 'failed' END,
                paid_at = CASE WHEN seen.kind = '{Kind.PAYMENT_SUCCEEDED}' THEN now() END,
                failure = CASE WHEN seen.kind = '{Kind.PAYMENT_FAILED}' THEN coalesce($6::text, 'failed') END,
                refunded = CASE WHEN seen.kind = '{Kind.PAYMENT_SUCCEEDED}' AND o.is_late THEN p.amount ELSE 0 END
            FROM seen, o WHERE p.bucket = $1 AND p.id = $2 AND p.status = 'pending'
            RETURNING p.*),
        booked AS (
            UPDATE marketplace.orders t SET paid = t.paid + p.amount, refunded = t.refunded + p.refunded,
                status = CASE WHEN t.status = 'pending_payment' THEN 'confirmed' ELSE t.status END,
                actor = CASE WHEN t.status = 'pending_payment' THEN NULL ELSE t.actor END,
                actor_role = CASE WHEN t.status = 'pending_payment' THEN 'system' ELSE t.actor_role END,
                note = CASE WHEN t.status = 'pending_payment' THEN NULL ELSE t.note END,
                updated_at = now()
            FROM after p WHERE t.bucket = p.bucket AND t.id = p.order_id AND p.status = 'paid'),
        sent_back AS (
            INSERT INTO marketplace.refund
                (bucket, id, payment, order_id, customer, amount, currency, minor_unit, reason)
            SELECT bucket, meridian.new_id(bucket), id, order_id, customer, refunded, currency, minor_unit, 'late'
            FROM after WHERE status = 'paid' AND refunded > 0),
        now_is AS (
            SELECT * FROM after UNION ALL SELECT * FROM before WHERE NOT EXISTS (SELECT FROM after))""",
        sql=f"""SELECT {_COLUMNS}, before.status AS was, EXISTS (SELECT FROM seen) AS is_new
                FROM now_is p CROSS JOIN before""",
        args=(bucket, payment, provider, event.id, event.kind, event.reason),
        row=lambda row: Settled.model_validate({**row}),
        if_none=NotFound("there is no such payment"),
    )


def check(settled: Settled, kind: Kind) -> Settled:
    """Log what a person must look at: money that came for a payment that had been given up as failed."""
    if settled.is_new and kind is Kind.PAYMENT_SUCCEEDED and settled.was == "failed":
        _log.error("paid_after_failure", payment=str(settled.id), order=str(settled.order_id))
    return settled


def event_of(outcome: Outcome, payment: UUID) -> ProviderEvent:
    """A decision that the provider answered with, as if it had told of it by itself."""
    kind = Kind.PAYMENT_SUCCEEDED if outcome.state is State.DONE else Kind.PAYMENT_FAILED
    return ProviderEvent(outcome.event, kind, payment=payment, reason=outcome.reason)


async def _prepared(place: Place, payment: Stored, provider: PaymentProvider) -> Stored:
    """A payment that the provider knows, and we know its name there."""
    if payment.provider != provider.name:
        raise Conflict(f"this payment was begun with {payment.provider}, which is not in use any more")
    if payment.reference is not None:
        return payment
    created = await provider.create(payment.intent)
    # The call's idempotency key belongs to what the call is for, which is not this.
    return await place.prepare(_told(payment, created.reference, created.client_secret))


@api.post(
    "/orders/{order_id}/payments", intent=WRITE, role=CUSTOMER, errors=["conflict", "not_found", "payment_unavailable"]
)
async def create(call: Call, order_id: UUID, payment: NewPayment) -> Created[Payment]:
    """Start a payment of an order: the deposit (20 % of the total), or all that is not paid yet.

    The deposit confirms the order, and so does the full amount; after a deposit, `full` is the rest, which can be paid
    at any time. While a payment is pending the same call answers with that very one, so a second tap never pays twice;
    one of the other kind is refused (409) until it has ended. A payment that nobody makes fails after an hour.

    Give `client_secret` to the payment provider's library in your app, or send the payment method to `confirm`.
    """
    provider: PaymentProvider = call.parts.payments
    place = call.at(order_id)
    start = _start(order_id, place.new_id(), call.user.id, payment.kind, provider.name)
    try:
        stored = await place.write(start)
    except Conflict as exc:
        if exc is not start.if_none:
            raise
        why = _why_not(order_id, call.user.id, payment.kind)
        missing = NotFound("you have no such order")
        raise Conflict(await place.read_one(why, missing, consistency=Consistency.STRONG)) from None
    return Created((await _prepared(place, stored, provider)).to(call.user.id))


@api.post(
    "/payments/{payment_id}/confirm",
    intent=WRITE,
    role=CUSTOMER,
    errors=["conflict", "not_found", "payment_unavailable"],
)
async def confirm(call: Call, payment_id: UUID, confirmation: Confirmation) -> Payment:
    """Pay a pending payment with a payment method.

    Look at `status` in the answer: `paid`; `failed`, with the reason in `failure` (start another payment to try again);
    or `pending`, when the bank takes longer: read the payment again later. A payment that is paid already is answered
    as it is. When the order was cancelled meanwhile, the money goes back by itself.

    In the sandbox the methods are `sandbox_card`, `sandbox_declined` and `sandbox_pending`.
    """
    provider: PaymentProvider = call.parts.payments
    place, no_payment = call.at(payment_id), NotFound("you have no such payment")
    query = _one(payment_id, call.user.id)
    stored = await place.read_one(query, no_payment, consistency=Consistency.STRONG)
    if stored.status == "failed":
        raise Conflict("this payment has failed: start another one")
    if stored.status != "pending":
        return stored.to(call.user.id)
    stored = await _prepared(place, stored, provider)
    outcome = await provider.confirm(stored.reference or "", confirmation.method)
    if outcome.state is State.PENDING:
        return stored.to(call.user.id)
    event = event_of(outcome, payment_id)
    settled = await place.write(settlement(payment_id, event, provider.name))
    return check(settled, event.kind).to(call.user.id)


@api.get("/orders/{order_id}/payments", intent=READ, role=[CUSTOMER, STAFF, ADMIN])
async def of_order(call: Call, order_id: UUID) -> Items[Payment]:
    """The payments of an order, the newest first, failed ones with them; all on one page."""
    party = None if oversees(call, order_id) else call.user.id
    payments = await call.at(order_id).read(_of_order(order_id, party))
    if not payments:
        raise no_order()
    return Items[Payment](items=[payment.to(party) for payment in payments if payment is not None])


@api.get("/payments/{payment_id}", intent=READ, role=[CUSTOMER, STAFF, ADMIN])
async def one(call: Call, payment_id: UUID) -> Payment:
    """A payment of your own; the staff see those of their region, without the secret."""
    whose = None if oversees(call, payment_id) else call.user.id
    stored = await call.at(payment_id).read_one(_one(payment_id, whose), NotFound("there is no such payment"))
    return stored.to(whose)


def _due(provider: str) -> Write[list[Stored]]:
    """Claim pending payments whose time is over: nobody else asks for them until their time is pushed back."""
    return Write(
        bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
        first=f"""
        due AS (
            SELECT bucket, id FROM marketplace.payment
            WHERE status = 'pending' AND provider = $1 AND due_at <= now()
                AND {OWNED.format(bucket="bucket")}
            ORDER BY due_at LIMIT {PAYMENT_JOB_ROWS} FOR UPDATE SKIP LOCKED),
        claimed AS (
            UPDATE marketplace.payment p SET due_at = now() + least(interval '1 hour', greatest(interval '1 minute',
                now() - p.created_at)) FROM due WHERE (p.bucket, p.id) = (due.bucket, due.id) RETURNING p.*)""",
        sql=f"SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') AS payments FROM (SELECT {_COLUMNS} FROM claimed p) AS c",
        args=(provider,),
        row=lambda row: [Stored.model_validate(payment) for payment in row["payments"]],
    )


async def _end_all(shift: Shift) -> int:
    """End what nobody has paid, or settle it if it was paid after all."""
    provider: PaymentProvider = shift.parts.payments
    claimed = await shift.write(_due(provider.name))
    await asyncio.gather(*(_end(shift, payment, provider) for payment in claimed))
    return len(claimed)


async def _end(shift: Shift, payment: Stored, provider: PaymentProvider) -> None:
    try:
        # What a crash cut off may have reached the provider: only there can it be ended for certain.
        reference = payment.reference or (await provider.create(payment.intent)).reference
        outcome = await provider.cancel(reference)
        if outcome.state is not State.PENDING:
            event = event_of(outcome, payment.id)
            check(await shift.write_at(settlement(payment.id, event, provider.name)), event.kind)
    except MeridianError as exc:
        _log.warning("payment_not_ended", payment=str(payment.id), reason=exc.code)


JOBS: Final[tuple[Job, ...]] = (Job("end payments", 10.0, PAYMENT_JOB_ROWS, _end_all),)
