"""The sandbox: a provider that moves no money. What happens depends on the method alone; it keeps nothing."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from core.errors import FieldError, Invalid, Malformed
from gateway.marketplace.providers.provider import (
    Created,
    Giveback,
    Intent,
    Kind,
    Outcome,
    ProviderEvent,
    State,
)
from gateway.marketplace.providers.signature import sign, verify

SIGNATURE: Final = "Payment-Signature"
CARD: Final = "sandbox_card"
DECLINED: Final = "sandbox_declined"
PENDING: Final = "sandbox_pending"
_METHODS: Final = (CARD, DECLINED, PENDING)
_PREFIX: Final = "sandbox_"


class _Message(BaseModel):
    id: Annotated[str, Field(min_length=1, max_length=200)]
    kind: str
    payment: UUID | None = None
    refund: UUID | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


class Sandbox:
    """Pays with `sandbox_card`, fails with `sandbox_declined`, waits for a webhook with `sandbox_pending`.

    Whoever holds `secret` can sign webhooks; `now` is the time in Unix seconds.
    """

    def __init__(self, secret: str, *, now: Callable[[], float]) -> None:
        self._secret = secret
        self._now = now

    @property
    def name(self) -> str:
        """Its name in rows and settings."""
        return "sandbox"

    async def create(self, intent: Intent) -> Created:
        """Names made of the payment's id."""
        return Created(f"{_PREFIX}{intent.payment}", f"{_PREFIX}{intent.payment}_secret")

    async def confirm(self, reference: str, method: str) -> Outcome:
        """What the method says."""
        if method not in _METHODS:
            raise Invalid([FieldError("method", f"must be {', '.join(_METHODS)}")])
        if method == PENDING:
            return Outcome(State.PENDING)
        if method == DECLINED:
            return Outcome(State.FAILED, event_id(Kind.PAYMENT_FAILED, _payment_of(reference)), "card_declined")
        return Outcome(State.DONE, event_id(Kind.PAYMENT_SUCCEEDED, _payment_of(reference)))

    async def cancel(self, reference: str) -> Outcome:
        """Always in time."""
        return Outcome(State.FAILED, event_id(Kind.PAYMENT_FAILED, _payment_of(reference)), "cancelled")

    async def refund(self, giveback: Giveback) -> Outcome:
        """Always done."""
        return Outcome(State.DONE, event_id(Kind.REFUND_SUCCEEDED, giveback.refund))

    def event(self, headers: Mapping[str, str], body: bytes) -> ProviderEvent:
        """A message that `webhook` has signed."""
        verify(body, headers.get(SIGNATURE, ""), self._secret, self._now)
        try:
            message = _Message.model_validate_json(body)
        except ValidationError as exc:
            raise Malformed("the body is no event of the sandbox") from exc
        kind = Kind(message.kind) if message.kind in list(Kind) else Kind.IGNORED
        return ProviderEvent(message.id, kind, message.payment, message.refund, message.reason)

    def webhook(self, event: ProviderEvent) -> tuple[bytes, dict[str, str]]:
        """The body and headers by which the sandbox tells of an event."""
        message = _Message(
            id=event.id, kind=event.kind, payment=event.payment, refund=event.refund, reason=event.reason
        )
        body = message.model_dump_json().encode()
        return body, {
            SIGNATURE: sign(body, self._secret, int(self._now())),
            "Content-Type": "application/json",
        }


def event_id(kind: Kind, subject: UUID) -> str:
    """The id of the event that tells of a decision: a confirmed payment's webhook tells nothing new."""
    return f"{subject}:{kind}"


def _payment_of(reference: str) -> UUID:
    return UUID(reference.removeprefix(_PREFIX))
