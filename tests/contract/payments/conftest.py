"""The providers that keep the contract: the sandbox, and Stripe's own library against a server of tests."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from gateway.marketplace.providers import sandbox
from gateway.marketplace.providers.provider import Kind, PaymentProvider
from gateway.marketplace.providers.stripe import open_stripe
from tests.servers import stripe
from tests.servers.stripe import StripeServer

NOW_S = 1_795_000_000.0
SECRET = "a-webhook-secret-of-tests"
_STRIPE_TYPES = {
    Kind.PAYMENT_SUCCEEDED: ("payment_intent.succeeded", "succeeded"),
    Kind.PAYMENT_FAILED: ("payment_intent.canceled", "canceled"),
    Kind.REFUND_SUCCEEDED: ("refund.updated", "succeeded"),
    Kind.REFUND_FAILED: ("refund.failed", "failed"),
    Kind.IGNORED: ("payment_intent.payment_failed", "requires_payment_method"),
}
Message = tuple[bytes, dict[str, str]]


@dataclass
class World:
    """A provider at a time that stands still, its methods, and its webhooks as the provider itself would sign them."""

    provider: PaymentProvider
    card: str
    declined: str
    pending: str
    signature: str
    server: StripeServer | None = None

    def message(self, id: str, kind: Kind, payment: UUID, refund: UUID | None = None, *, age_s: float = 0) -> Message:
        """A signed message, `age_s` seconds old."""
        at_s = NOW_S - age_s
        if self.server is not None:
            type, status = _STRIPE_TYPES[kind]
            metadata = {"payment": str(payment)} | ({"refund": str(refund)} if refund else {})
            return stripe.event(id, type, {"id": "x_1", "status": status, "metadata": metadata}, at_s=at_s)
        body = json.dumps({"id": id, "kind": kind, "payment": str(payment), "refund": str(refund) if refund else None})
        digest = hmac.new(SECRET.encode(), f"{int(at_s)}.{body}".encode(), hashlib.sha256).hexdigest()
        return body.encode(), {sandbox.SIGNATURE: f"t={int(at_s)},v1={digest}"}


@pytest.fixture
async def server() -> AsyncIterator[StripeServer]:
    """A Stripe."""
    running = StripeServer()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def stripe_world(server: StripeServer) -> AsyncIterator[World]:
    """Stripe's library in front of it."""
    async with open_stripe(
        secret_key=stripe.KEY, webhook_secret=stripe.WEBHOOK_SECRET, api_base=server.url, now=lambda: NOW_S
    ) as provider:
        yield World(provider, stripe.CARD, stripe.DECLINED, stripe.PENDING, "Stripe-Signature", server)


@pytest.fixture(params=["sandbox", "stripe"])
def world(request: pytest.FixtureRequest) -> World:
    """Each provider in turn."""
    if request.param == "stripe":
        found: World = request.getfixturevalue("stripe_world")
        return found
    provider = sandbox.Sandbox(SECRET, now=lambda: NOW_S)
    return World(provider, sandbox.CARD, sandbox.DECLINED, sandbox.PENDING, sandbox.SIGNATURE)
