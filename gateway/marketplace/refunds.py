"""Money that goes back: set aside in the database in the transaction that decides on it, then sent by the provider."""

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

import structlog
from pydantic import Field

from core.database.statement import OWNED, Lock, Query, Row, Write
from core.errors import Conflict, MeridianError, NotFound, PaymentUnavailable
from core.ids import placement_of
from core.limits import PAYMENT_JOB_ROWS
from gateway.marketplace.access import require_home
from gateway.marketplace.money import Amount, Money, exact, shown
from gateway.marketplace.providers.provider import Giveback, Kind, Outcome, PaymentProvider, ProviderEvent, State
from gateway.marketplace.roles import ADMIN, STAFF
from gateway.operations import WRITE, Api, Call, Consistency, Created, Input, Job, Note, Output, Shift

api = Api("", tag="payments")

_log = structlog.get_logger("payments")


def reserve(*, order: str, amount: str, reason: str, bucket: str = "$1") -> str:
    """SQL that gives back what an order has paid, for the statement that decides on it: text for `Write.first`.

    All arguments are SQL expressions: `order` the order's id, `bucket` its bucket, `amount` how much (null or nothing:
    no refund), `reason` a text. The amount is rounded to the order's minor unit and spread over the order's paid
    payments, the newest first, at most what each has paid and not given back. For each a pending refund is made, which
    the provider is asked for within a minute.

    The text ends with the expression `reserved(amount)`: one row, what was really set aside (0 if nothing was). The
    order's row is left to the caller, because one statement can change a row only once; so the caller's own UPDATE of
    the order must add it, or the books no longer balance:

        Write(
            lock=Lock("marketplace.orders", order_id),
            first="o AS (SELECT ...), " + reserve(order="$2", amount="(SELECT back FROM o)", reason="'cancelled'"),
            sql="UPDATE marketplace.orders t SET status = ..., refunded = t.refunded + (SELECT amount FROM reserved)"
                " WHERE t.bucket = $1 AND t.id = $2 RETURNING ...",
        )

    The order must be locked. The money is set aside whatever the caller's UPDATE finds: let `amount` come from an
    expression that has a row only if the order may be changed, or raise when it may not.
    """
    return f"""refund_plan AS (
        SELECT bucket, payment, order_id, customer, currency, minor_unit, least(free, asked - before) AS amount
        FROM (
            SELECT p.bucket, p.id AS payment, p.order_id, p.customer, p.currency, p.minor_unit,
                   p.amount - p.refunded AS free, round(coalesce(({amount})::numeric, 0), p.minor_unit) AS asked,
                   coalesce(sum(p.amount - p.refunded) OVER (
                       ORDER BY p.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM marketplace.payment p
            WHERE p.bucket = {bucket} AND p.order_id = {order} AND p.status IN ('paid', 'partially_refunded')
        ) AS paid
        WHERE least(free, asked - before) > 0),
    refund_raised AS (
        UPDATE marketplace.payment p SET refunded = p.refunded + r.amount
        FROM refund_plan r WHERE p.bucket = r.bucket AND p.id = r.payment),
    refund_made AS (
        INSERT INTO marketplace.refund (bucket, id, payment, order_id, customer, amount, currency, minor_unit, reason)
        SELECT bucket, meridian.new_id(bucket), payment, order_id, customer, amount, currency, minor_unit, {reason}
        FROM refund_plan),
    reserved(amount) AS (SELECT coalesce(sum(r.amount), 0) FROM refund_plan r)"""


class NewRefund(Input):
    """How much to give back (all that is left, if it is not said), and why."""

    amount: Amount | None = None
    reason: Note = Field(examples=["Scratched on the way"])


class Refund(Output):
    """A refund. While it is `pending` the provider is asked again and again; `failed` money can be given back anew."""

    id: UUID
    payment_id: UUID
    order_id: UUID
    amount: Money
    currency: str
    reason: str
    status: Literal["pending", "succeeded", "failed"]
    failure: str | None
    created_at: datetime


class Stored(Refund):
    """A refund with what only the marketplace knows of it."""

    minor_unit: int
    paid: Money
    provider: str
    reference: str | None

    @property
    def giveback(self) -> Giveback:
        """It, as the provider is told of it."""
        return Giveback(
            self.id,
            self.payment_id,
            self.reference or "",
            Decimal(self.amount),
            Decimal(self.paid),
            self.currency,
            self.minor_unit,
        )

    def shown(self) -> Refund:
        """What people see of it."""
        return Refund.model_validate(self.model_dump())


class Settled(Stored):
    """A refund after an event: `was` its status before; `is_new`: the event had not been seen."""

    was: Literal["pending", "succeeded", "failed"]
    is_new: bool


_COLUMNS: Final = f"""r.id, r.payment AS payment_id, r.order_id, {shown("r.amount", "r.minor_unit")} AS amount,
    r.currency, r.minor_unit, r.reason, r.status, r.failure, r.created_at,
    {shown("p.amount", "p.minor_unit")} AS paid, p.provider, p.reference"""


def _stored(row: Row) -> Stored:
    return Stored.model_validate({**row})


def _ask(payment: UUID, id: UUID, amount: Decimal | None, reason: str) -> Write[Stored]:
    """Set money of a payment aside; the job leaves it to this call for half a minute."""
    bucket = placement_of(payment).bucket
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", payment, through=("marketplace.payment", "order_id")),
        first="""
        plan AS (
            SELECT p.*, coalesce($4::numeric, p.amount - p.refunded) AS back FROM marketplace.payment p
            WHERE p.bucket = $1 AND p.id = $2 AND p.status IN ('paid', 'partially_refunded')
                AND p.amount - p.refunded > 0 AND coalesce($4, 0) <= p.amount - p.refunded),
        raised AS (
            UPDATE marketplace.payment p SET refunded = p.refunded + plan.back FROM plan
            WHERE p.bucket = plan.bucket AND p.id = plan.id),
        booked AS (
            UPDATE marketplace.orders o SET refunded = o.refunded + plan.back, updated_at = now() FROM plan
            WHERE o.bucket = plan.bucket AND o.id = plan.order_id),
        r AS (
            INSERT INTO marketplace.refund
                (bucket, id, payment, order_id, customer, amount, currency, minor_unit, reason, due_at)
            SELECT bucket, $3, id, order_id, customer, back, currency, minor_unit, $5, now() + interval '30 seconds'
            FROM plan RETURNING *)""",
        sql=f"SELECT {_COLUMNS} FROM r JOIN plan p ON p.id = r.payment",
        args=(bucket, payment, id, amount, reason),
        row=_stored,
        if_none=Conflict("so much cannot be given back"),
    )


def _left(payment: UUID) -> Query[str]:
    """Why nothing was given back."""
    return Query(
        f"""SELECT CASE WHEN status IN ('pending', 'failed') THEN 'this payment is not paid'
                ELSE currency || ' ' || {shown("amount - refunded", "minor_unit")} || ' is left to give back' END AS why
            FROM marketplace.payment WHERE bucket = $1 AND id = $2""",
        (placement_of(payment).bucket, payment),
        lambda row: str(row["why"]),
    )


def settlement(refund: UUID, event: ProviderEvent, provider: str) -> Write[Settled]:
    """Act on an event of a refund, once: it has succeeded, or has failed and its money is the order's again."""
    bucket = placement_of(refund).bucket
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.orders", refund, through=("marketplace.refund", "order_id")),
        first=f"""
        before AS (
            SELECT r.* FROM marketplace.refund r JOIN marketplace.payment p ON p.bucket = r.bucket AND p.id = r.payment
            WHERE r.bucket = $1 AND r.id = $2 AND p.provider = $3),
        seen AS (
            INSERT INTO marketplace.payment_event (bucket, provider, event, payment, kind)
            SELECT $1, $3, $4, payment, $5 FROM before ON CONFLICT ON CONSTRAINT event_seen DO NOTHING RETURNING kind),
        after AS (
            UPDATE marketplace.refund r SET
                status = CASE WHEN seen.kind = '{Kind.REFUND_SUCCEEDED}' THEN 'succeeded' ELSE 'failed' END,
                failure = CASE WHEN seen.kind = '{Kind.REFUND_FAILED}' THEN coalesce($6::text, 'failed') END
            FROM seen WHERE r.bucket = $1 AND r.id = $2 AND r.status = 'pending' RETURNING r.*),
        sent AS (
            SELECT coalesce(sum(r.amount), 0) AS amount FROM marketplace.refund r
            WHERE r.bucket = $1 AND r.payment = (SELECT payment FROM after) AND r.status = 'succeeded'),
        p AS (
            UPDATE marketplace.payment p SET
                refunded = CASE WHEN r.status = 'failed' THEN p.refunded - r.amount ELSE p.refunded END,
                status = CASE WHEN r.status = 'failed' THEN p.status
                              WHEN sent.amount + r.amount >= p.amount THEN 'refunded' ELSE 'partially_refunded' END
            FROM after r, sent WHERE p.bucket = r.bucket AND p.id = r.payment),
        booked AS (
            UPDATE marketplace.orders o SET refunded = o.refunded - r.amount, updated_at = now()
            FROM after r WHERE o.bucket = r.bucket AND o.id = r.order_id AND r.status = 'failed'),
        now_is AS (
            SELECT * FROM after UNION ALL SELECT * FROM before WHERE NOT EXISTS (SELECT FROM after))""",
        sql=f"""SELECT {_COLUMNS}, before.status AS was, EXISTS (SELECT FROM seen) AS is_new FROM now_is r
                CROSS JOIN before JOIN marketplace.payment p ON p.bucket = $1 AND p.id = r.payment""",
        args=(bucket, refund, provider, event.id, event.kind, event.reason),
        row=lambda row: Settled.model_validate({**row}),
        if_none=NotFound("there is no such refund"),
    )


def check(settled: Settled, kind: Kind) -> Settled:
    """Log what a person must look at: money that did not reach its customer."""
    if settled.is_new and kind is Kind.REFUND_FAILED:
        _log.error("refund_failed", refund=str(settled.id), was=settled.was, reason=settled.failure)
    return settled


def event_of(outcome: Outcome, refund: UUID) -> ProviderEvent:
    """A decision that the provider answered with, as if it had told of it by itself."""
    kind = Kind.REFUND_SUCCEEDED if outcome.state is State.DONE else Kind.REFUND_FAILED
    return ProviderEvent(outcome.event, kind, refund=refund, reason=outcome.reason)


@api.post("/payments/{payment_id}/refund", intent=WRITE, role=[STAFF, ADMIN], errors=["conflict", "not_found"])
async def refund(call: Call, payment_id: UUID, wanted: NewRefund) -> Created[Refund]:
    """Give a payment back, whole or in part; never more than was paid.

    While the provider does not answer, the refund is `pending` and is sent as soon as it does: do not ask for another.
    """
    no_payment = NotFound("there is no such payment")
    require_home(call, payment_id, no_payment)
    provider: PaymentProvider = call.parts.payments
    place = call.at(payment_id)
    amount = None if wanted.amount is None else exact(wanted.amount, place.region.spec, field="amount")
    ask = _ask(payment_id, place.new_id(), amount, wanted.reason)
    try:
        stored = await place.write(ask)
    except Conflict as exc:
        if exc is not ask.if_none:
            raise
        why = await place.read_one(_left(payment_id), no_payment, consistency=Consistency.STRONG)
        raise Conflict(why) from None
    if stored.provider != provider.name:
        return Created(stored.shown())
    try:
        outcome = await provider.refund(stored.giveback)
    except PaymentUnavailable:
        return Created(stored.shown())
    if outcome.state is State.PENDING:
        return Created(stored.shown())
    event = event_of(outcome, stored.id)
    settled = await place.write(settlement(stored.id, event, provider.name))
    return Created(check(settled, event.kind).shown())


def _due(provider: str) -> Write[list[Stored]]:
    """Claim refunds that are due: nobody else asks for them until their time is pushed back, each time further."""
    return Write(
        bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
        first=f"""
        due AS (
            SELECT r.bucket, r.id, p.amount, p.minor_unit, p.provider, p.reference
            FROM marketplace.refund r JOIN marketplace.payment p ON p.bucket = r.bucket AND p.id = r.payment
            WHERE r.status = 'pending' AND r.due_at <= now() AND p.provider = $1
                AND {OWNED.format(bucket="r.bucket")}
            ORDER BY r.due_at LIMIT {PAYMENT_JOB_ROWS} FOR UPDATE OF r SKIP LOCKED),
        claimed AS (
            UPDATE marketplace.refund r SET due_at = now() + least(interval '1 hour', greatest(interval '30 seconds',
                now() - r.created_at)) FROM due WHERE (r.bucket, r.id) = (due.bucket, due.id) RETURNING r.*)""",
        sql=f"""SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') AS refunds
                FROM (SELECT {_COLUMNS} FROM claimed r JOIN due p USING (bucket, id)) AS c""",
        args=(provider,),
        row=lambda row: [Stored.model_validate(refund) for refund in row["refunds"]],
    )


async def _send_all(shift: Shift) -> int:
    provider: PaymentProvider = shift.parts.payments
    claimed = await shift.write(_due(provider.name))
    await asyncio.gather(*(_send(shift, refund, provider) for refund in claimed))
    return len(claimed)


async def _send(shift: Shift, refund: Stored, provider: PaymentProvider) -> None:
    try:
        outcome = await provider.refund(refund.giveback)
        if outcome.state is not State.PENDING:
            event = event_of(outcome, refund.id)
            check(await shift.write_at(settlement(refund.id, event, provider.name)), event.kind)
    except MeridianError as exc:
        _log.warning("refund_not_sent", refund=str(refund.id), reason=exc.code)


JOBS: Final[tuple[Job, ...]] = (Job("send refunds", 5.0, PAYMENT_JOB_ROWS, _send_all),)
