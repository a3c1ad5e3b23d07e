"""What the marketplace asks of a payment provider, and what it is told; every answer is repeatable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class State(StrEnum):
    """Whether a payment or refund has been decided. Once it is `done` or `failed`, it stays so."""

    DONE = "done"
    FAILED = "failed"
    PENDING = "pending"


class Kind(StrEnum):
    """What a provider's event tells of; `ignored`: nothing that the marketplace acts on."""

    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_FAILED = "payment.failed"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment to be made: `payment` is the marketplace's id of it, `amount` is in units of the currency."""

    payment: UUID
    order: UUID
    amount: Decimal
    currency: str
    minor_unit: int


@dataclass(frozen=True, slots=True)
class Created:
    """A payment that the provider knows: its own name of it, and what the customer's app needs to pay with."""

    reference: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Giveback:
    """A refund to be made: `refund` is the marketplace's id of it, `paid` what the payment was of."""

    refund: UUID
    payment: UUID
    reference: str
    amount: Decimal
    paid: Decimal
    currency: str
    minor_unit: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a payment or refund. `event` names the decision: the same for the same one, always."""

    state: State
    event: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Something that a provider tells by itself; `id` is the same however often it is told.

    `payment` and `refund` are the marketplace's ids; None where it is about something else, or nothing of ours.
    """

    id: str
    kind: Kind
    payment: UUID | None = None
    refund: UUID | None = None
    reason: str | None = None


class PaymentProvider(Protocol):
    """A payment provider. Each question ends within PAYMENT_PROVIDER_TIMEOUT_S.

    Any may raise PaymentUnavailable: then nothing is known, and the same question may be asked again.
    """

    @property
    def name(self) -> str:
        """Its name in rows and settings."""
        ...

    async def create(self, intent: Intent) -> Created:
        """Tell it of a payment. The same payment again gives the same answer. Raises Conflict if it is refused."""
        ...

    async def confirm(self, reference: str, method: str) -> Outcome:
        """Pay with a method that the customer's app was given for it. Failed is final: it can never be paid later.

        Raises Invalid, naming the field `method`, for one that there is not.
        """
        ...

    async def cancel(self, reference: str) -> Outcome:
        """End a payment that nobody has paid. Failed once it can never be paid, done if that came too late."""
        ...

    async def refund(self, giveback: Giveback) -> Outcome:
        """Send money back. The same refund again sends nothing again and answers what has become of it."""
        ...

    def event(self, headers: Mapping[str, str], body: bytes) -> ProviderEvent:
        """A webhook's message. Raises Forbidden if its signature is not good or old, Malformed if it is no message."""
        ...
