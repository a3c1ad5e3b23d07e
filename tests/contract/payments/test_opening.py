"""Which provider the settings name, and every wrong one named."""

from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from core.errors import Invalid
from gateway.marketplace.providers.opening import PaymentSettings, open_parts

STRIPE = {"PAYMENT_PROVIDER": "stripe", "STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}
PRODUCTION = {"NODE_ENV": "production"}


@pytest.mark.parametrize(
    ("variables", "name", "warns"),
    [
        ({}, "sandbox", False),
        ({"PAYMENT_PROVIDER": "sandbox"}, "sandbox", False),
        (PRODUCTION, "sandbox", True),
        ({**PRODUCTION, "PAYMENT_PROVIDER": "sandbox"}, "sandbox", False),
        ({**PRODUCTION, **STRIPE}, "stripe", False),
    ],
)
async def test_the_provider_is_the_one_that_is_named(variables: Mapping[str, str], name: str, warns: bool) -> None:
    with capture_logs() as logs:
        async with open_parts(variables) as parts:
            assert parts.payments.name == name
    assert bool(logs) is warns


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({"PAYMENT_PROVIDER": "cash"}, ["PAYMENT_PROVIDER"]),
        ({"PAYMENT_PROVIDER": "stripe"}, ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"]),
        ({**STRIPE, "STRIPE_API_BASE": "ftp://x"}, ["STRIPE_API_BASE"]),
        ({**STRIPE, **PRODUCTION, "STRIPE_API_BASE": "http://x"}, ["STRIPE_API_BASE"]),
        ({**PRODUCTION, "PAYMENT_WEBHOOK_SECRET": "short"}, ["PAYMENT_WEBHOOK_SECRET"]),
    ],
)
def test_every_wrong_variable_is_named(variables: Mapping[str, str], wrong: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        PaymentSettings.of(variables)
    assert [fault.field for fault in caught.value.fields] == wrong


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(PaymentSettings.of({**STRIPE, "PAYMENT_WEBHOOK_SECRET": "hidden-one"}))
    assert not [secret for secret in ("sk_test_1", "whsec_1", "hidden-one") if secret in shown]
