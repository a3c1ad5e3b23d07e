"""Which payment provider there is, by the service's own settings."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from core.errors import FieldError, Invalid
from gateway.marketplace.parts import Parts
from gateway.marketplace.providers.provider import PaymentProvider
from gateway.marketplace.providers.sandbox import Sandbox
from gateway.marketplace.providers.stripe import open_stripe

_log = structlog.get_logger("payments")
PROVIDERS: Final = ("sandbox", "stripe")
_SECRET_CHARS_MIN: Final = 32


@dataclass(frozen=True, slots=True)
class PaymentSettings:
    """The settings of payments. `is_chosen`: the provider was named, and is not just the default."""

    provider: str
    is_chosen: bool
    is_production: bool
    webhook_secret: str = field(repr=False)
    stripe_secret_key: str = field(repr=False)
    stripe_webhook_secret: str = field(repr=False)
    stripe_api_base: str | None = None

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "PaymentSettings":
        """From the environment's variables. Raises Invalid naming each one that is wrong."""
        given = {name: variables.get(name, "").strip() for name in _NAMES}
        provider = given["PAYMENT_PROVIDER"] or "sandbox"
        settings = cls(
            provider=provider,
            is_chosen=bool(given["PAYMENT_PROVIDER"]),
            is_production=given["NODE_ENV"] == "production",
            webhook_secret=given["PAYMENT_WEBHOOK_SECRET"],
            stripe_secret_key=given["STRIPE_SECRET_KEY"],
            stripe_webhook_secret=given["STRIPE_WEBHOOK_SECRET"],
            stripe_api_base=given["STRIPE_API_BASE"].rstrip("/") or None,
        )
        faults = _faults(settings)
        if faults:
            raise Invalid(faults)
        return settings


_NAMES: Final = (
    "PAYMENT_PROVIDER",
    "PAYMENT_WEBHOOK_SECRET",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_API_BASE",
    "NODE_ENV",
)


def _faults(settings: PaymentSettings) -> list[FieldError]:
    faults = []
    if settings.provider not in PROVIDERS:
        faults.append(FieldError("PAYMENT_PROVIDER", f"must be {' or '.join(PROVIDERS)}"))
    if settings.webhook_secret and settings.is_production and len(settings.webhook_secret) < _SECRET_CHARS_MIN:
        faults.append(FieldError("PAYMENT_WEBHOOK_SECRET", f"must have {_SECRET_CHARS_MIN} characters or more"))
    if settings.provider == "stripe":
        if not settings.stripe_secret_key:
            faults.append(FieldError("STRIPE_SECRET_KEY", "is needed for PAYMENT_PROVIDER=stripe"))
        if not settings.stripe_webhook_secret:
            faults.append(FieldError("STRIPE_WEBHOOK_SECRET", "is needed for PAYMENT_PROVIDER=stripe"))
    base = settings.stripe_api_base
    if base is not None and not base.startswith("https://" if settings.is_production else ("https://", "http://")):
        faults.append(FieldError("STRIPE_API_BASE", "must be an https:// address"))
    return faults


@asynccontextmanager
async def open_parts(variables: Mapping[str, str]) -> AsyncIterator[Parts]:
    """The marketplace's parts, for the life of the gateway. Raises Invalid naming a variable that is wrong."""
    async with open_provider(PaymentSettings.of(variables)) as provider:
        yield Parts(provider)


@asynccontextmanager
async def open_provider(settings: PaymentSettings) -> AsyncIterator[PaymentProvider]:
    """The provider that the settings name."""
    if settings.provider == "stripe":
        async with open_stripe(
            secret_key=settings.stripe_secret_key,
            webhook_secret=settings.stripe_webhook_secret,
            api_base=settings.stripe_api_base,
            now=time.time,
        ) as stripe:
            yield stripe
        return
    if settings.is_production and not settings.is_chosen:
        _log.warning("PAYMENT_PROVIDER is not set: payments go to the sandbox, which moves no money")
    yield Sandbox(settings.webhook_secret or secrets.token_hex(32), now=time.time)
