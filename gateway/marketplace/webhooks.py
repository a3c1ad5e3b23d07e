"""What the payment provider tells by itself: verified, and acted on once."""

from uuid import UUID

from core.errors import NotFound
from gateway.marketplace import payments, refunds
from gateway.marketplace.providers.provider import Kind, PaymentProvider, ProviderEvent
from gateway.operations import WRITE, Api, Call, RawBody

api = Api("/webhooks", tag="payments")


@api.post("/payments", intent=WRITE, public=True, errors=["forbidden"])
async def webhook(call: Call, body: RawBody) -> None:
    """For the payment provider: its signed messages about payments and refunds.

    An event that was acted on already, or is about nothing that is known here, is answered with 204 too: there is no
    need to send it again. 403 when the signature is not good or older than five minutes.

    The sandbox's messages have `id`, `kind` (`payment.succeeded`, `payment.failed`, `refund.succeeded`,
    `refund.failed`) and the id of the `payment` or `refund`. They are signed in `Payment-Signature: t=...,v1=...`: the
    time in Unix seconds, and the hexadecimal HMAC-SHA256 of that time, a full stop and the body.
    """
    provider: PaymentProvider = call.parts.payments
    event = provider.event(body.headers, body.content)
    try:
        await _act(call, event, provider.name)
    except NotFound:
        return


async def _act(call: Call, event: ProviderEvent, provider: str) -> None:
    """Raises NotFound for what is not known here."""
    match event.kind:
        case Kind.PAYMENT_SUCCEEDED | Kind.PAYMENT_FAILED:
            payment = _known(event.payment)
            settled = await call.at(payment).write(payments.settlement(payment, event, provider))
            payments.check(settled, event.kind)
        case Kind.REFUND_SUCCEEDED | Kind.REFUND_FAILED:
            refund = _known(event.refund)
            given_back = await call.at(refund).write(refunds.settlement(refund, event, provider))
            refunds.check(given_back, event.kind)
        case Kind.IGNORED:
            return


def _known(id: UUID | None) -> UUID:
    if id is None:
        raise NotFound("the event is about nothing of ours")
    return id
