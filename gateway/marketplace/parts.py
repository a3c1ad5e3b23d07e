"""What the marketplace makes for itself when the gateway starts: `call.parts` and `shift.parts`."""

from dataclasses import dataclass

from gateway.marketplace.providers.provider import PaymentProvider


@dataclass(frozen=True, slots=True)
class Parts:
    """The marketplace's own parts."""

    payments: PaymentProvider
