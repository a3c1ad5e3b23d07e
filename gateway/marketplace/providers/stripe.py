"""Stripe, through its own library (the extra `stripe`): PaymentIntents, Refunds and signed events.

https://docs.stripe.com/api/payment_intents, /refunds, /idempotent_requests; https://docs.stripe.com/currencies
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import structlog

from core.errors import Conflict, FieldError, Forbidden, Invalid, Malformed, PaymentUnavailable
from core.limits import PAYMENT_PROVIDER_TIMEOUT_S
from gateway.marketplace.providers.provider import (
    Created,
    Giveback,
    Intent,
    Kind,
    Outcome,
    ProviderEvent,
    State,
)
from gateway.marketplace.providers.signature import verify

if TYPE_CHECKING:
    from stripe import PaymentIntent, Refund, StripeClient

_log = structlog.get_logger("payments")
SIGNATURE: Final = "Stripe-Signature"
_PAYMENT_KINDS: Final = {
    # A declined card (`payment_intent.payment_failed`) decides nothing: the customer may try another one.
    "payment_intent.succeeded": Kind.PAYMENT_SUCCEEDED,
    "payment_intent.canceled": Kind.PAYMENT_FAILED,
}
_REFUND_EVENTS: Final = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
_REFUND_KINDS: Final = {
    "succeeded": Kind.REFUND_SUCCEEDED,
    "failed": Kind.REFUND_FAILED,
    "canceled": Kind.REFUND_FAILED,
}
_REFUNDS_LISTED_MAX: Final = 100


@asynccontextmanager
async def open_stripe(
    *, secret_key: str, webhook_secret: str, api_base: str | None, now: Callable[[], float]
) -> AsyncIterator["Stripe"]:
    """Stripe for the length of the block. Raises Invalid when its library is not installed."""
    try:
        from stripe import AIOHTTPClient, StripeClient
    except ImportError as exc:
        raise Invalid([FieldError("PAYMENT_PROVIDER", "stripe needs its library: install meridian[stripe]")]) from exc
    # Its own bound would be too long and is not kept everywhere: each question has one here.
    http = AIOHTTPClient(timeout=None)
    client = StripeClient(
        secret_key, http_client=http, base_addresses={"api": api_base} if api_base else None, max_network_retries=0
    )
    try:
        yield Stripe(client, webhook_secret=webhook_secret, now=now)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


class Stripe:
    """Payments by Stripe. What has been asked twice is done once: by idempotency keys, and by asking what there is."""

    def __init__(self, client: "StripeClient", *, webhook_secret: str, now: Callable[[], float]) -> None:
        self._client = client
        self._webhook_secret = webhook_secret
        self._now = now

    @property
    def name(self) -> str:
        """Its name in rows and settings."""
        return "stripe"

    async def create(self, intent: Intent) -> Created:
        """A PaymentIntent, whose client secret the customer's app gives to Stripe's own library."""
        async with _at_the_door():
            made = await self._client.v1.payment_intents.create_async(
                {
                    "amount": minor_units(intent.amount, intent.minor_unit),
                    "currency": intent.currency.lower(),
                    "metadata": {"payment": str(intent.payment), "order": str(intent.order)},
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                },
                {"idempotency_key": f"payment:{intent.payment}"},
            )
        return Created(made.id, made.client_secret or "")

    async def confirm(self, reference: str, method: str) -> Outcome:
        """Pay with a PaymentMethod (`pm_...`). Declined, the PaymentIntent is cancelled, so that it stays unpaid."""
        from stripe import CardError, InvalidRequestError

        async with _at_the_door():
            try:
                return _paid(
                    await self._client.v1.payment_intents.confirm_async(
                        reference,
                        {"payment_method": method},
                        {"idempotency_key": f"confirm:{reference}:{method}"},
                    )
                )
            except CardError as exc:
                ended = await self._end(reference)
                reason = exc.code or "card_declined"
                return Outcome(ended.state, ended.event, reason) if ended.state is State.FAILED else ended
            except InvalidRequestError as exc:
                if exc.param == "payment_method" or exc.code == "resource_missing":
                    raise Invalid([FieldError("method", "is not a payment method that can be used here")]) from exc
                return _paid(await self._client.v1.payment_intents.retrieve_async(reference))

    async def cancel(self, reference: str) -> Outcome:
        """Cancel a PaymentIntent; one that is just being processed stays pending."""
        async with _at_the_door():
            return await self._end(reference)

    async def refund(self, giveback: Giveback) -> Outcome:
        """A Refund. Stripe forgets idempotency keys after a day, so it is looked for before it is made."""
        from stripe import InvalidRequestError

        amount = refund_units(giveback)
        if amount == 0:
            return Outcome(State.FAILED, f"{giveback.refund}:too_small", "too_small")
        refunds = self._client.v1.refunds
        async with _at_the_door():
            listed = await refunds.list_async({"payment_intent": giveback.reference, "limit": _REFUNDS_LISTED_MAX})
            for made in listed.data:
                if _ours(made.to_dict().get("metadata") or {}, "refund") == giveback.refund:
                    return _sent_back(made)
            try:
                return _sent_back(
                    await refunds.create_async(
                        {
                            "payment_intent": giveback.reference,
                            "amount": amount,
                            "metadata": {"refund": str(giveback.refund), "payment": str(giveback.payment)},
                        },
                        {"idempotency_key": f"refund:{giveback.refund}"},
                    )
                )
            except InvalidRequestError as exc:
                return Outcome(State.FAILED, f"{giveback.refund}:refused", exc.code or "refused")

    def event(self, headers: Mapping[str, str], body: bytes) -> ProviderEvent:
        """An Event; those that the marketplace does not act on are `ignored`."""
        verify(body, headers.get(SIGNATURE, ""), self._webhook_secret, self._now)
        try:
            event = json.loads(body)
            return _event(str(event["id"]), str(event["type"]), event["data"]["object"])
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Malformed("the body is no event of Stripe") from exc

    async def _end(self, reference: str) -> Outcome:
        from stripe import InvalidRequestError

        try:
            return _paid(await self._client.v1.payment_intents.cancel_async(reference))
        except InvalidRequestError:
            return _paid(await self._client.v1.payment_intents.retrieve_async(reference))


def minor_units(amount: Decimal, minor_unit: int, rounding: str = ROUND_HALF_UP) -> int:
    """An amount as Stripe counts it. Of three decimals Stripe wants the last to be 0: rounded to the nearest ten."""
    step = Decimal(1).scaleb(-min(minor_unit, 2))
    return int(amount.quantize(step, rounding).scaleb(minor_unit))


def refund_units(giveback: Giveback) -> int:
    """A refund as Stripe counts it. A whole payment is rounded as it was when it was paid, and a part of one down.

    So the parts never sum to more than was paid.
    """
    is_whole = giveback.amount == giveback.paid
    return minor_units(giveback.amount, giveback.minor_unit, ROUND_HALF_UP if is_whole else ROUND_DOWN)


def _paid(intent: "PaymentIntent") -> Outcome:
    if intent.status == "succeeded":
        return Outcome(State.DONE, f"{intent.id}:succeeded")
    if intent.status == "canceled":
        return Outcome(State.FAILED, f"{intent.id}:canceled", intent.cancellation_reason or "cancelled")
    return Outcome(State.PENDING)


def _sent_back(refund: "Refund") -> Outcome:
    kind = _REFUND_KINDS.get(refund.status or "")
    if kind is None:
        return Outcome(State.PENDING)
    if kind is Kind.REFUND_SUCCEEDED:
        return Outcome(State.DONE, f"{refund.id}:succeeded")
    return Outcome(State.FAILED, f"{refund.id}:failed", refund.failure_reason or "failed")


def _event(id: str, type: str, about: Mapping[str, Any]) -> ProviderEvent:
    metadata = about.get("metadata") or {}
    if type in _PAYMENT_KINDS:
        reason = about.get("cancellation_reason") or "cancelled" if type == "payment_intent.canceled" else None
        return ProviderEvent(id, _PAYMENT_KINDS[type], payment=_ours(metadata, "payment"), reason=reason)
    if type in _REFUND_EVENTS:
        kind = _REFUND_KINDS.get(str(about.get("status")), Kind.IGNORED)
        payment, refund = _ours(metadata, "payment"), _ours(metadata, "refund")
        return ProviderEvent(id, kind, payment, refund, about.get("failure_reason"))
    return ProviderEvent(id, Kind.IGNORED)


def _ours(metadata: Mapping[str, Any], name: Literal["payment", "refund"]) -> UUID | None:
    """The marketplace's id that was sent along, if it was: the same account may be used for other things too."""
    try:
        return UUID(str(metadata[name]))
    except (KeyError, ValueError):
        return None


@asynccontextmanager
async def _at_the_door() -> AsyncIterator[None]:
    """Bound a question, and turn what the library raises into the marketplace's errors.

    Stripe's sentences stay outside: they may name the account, or show a part of its key.
    """
    from stripe import CardError, IdempotencyError, InvalidRequestError

    try:
        async with asyncio.timeout(PAYMENT_PROVIDER_TIMEOUT_S):
            yield
    except (Conflict, Forbidden, Invalid):
        raise
    except (CardError, InvalidRequestError, IdempotencyError) as exc:
        raise Conflict(f"the payment provider refuses this ({exc.code or 'no reason given'})") from exc
    except Exception as exc:
        # A broken connection comes as many things; and a wrong key is the operators' to mend.
        _log.warning("payment_provider_failed", reason=type(exc).__name__)
        raise PaymentUnavailable("the payment provider does not answer now", retry_after_s=5) from exc
