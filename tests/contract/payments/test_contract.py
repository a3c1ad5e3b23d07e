"""What every payment provider promises: decisions that stay, questions that can be repeated, messages with a proof."""

from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from core.errors import Conflict, Forbidden, Invalid, Malformed, PaymentUnavailable
from gateway.marketplace.providers import stripe as stripe_provider
from gateway.marketplace.providers.provider import Giveback, Intent, Kind, Outcome, State
from gateway.marketplace.providers.signature import sign
from tests.contract.payments.conftest import NOW_S, SECRET, World
from tests.servers import stripe


def intent(amount: str = "24.10", currency: str = "QAR", minor_unit: int = 2) -> Intent:
    return Intent(uuid4(), uuid4(), Decimal(amount), currency, minor_unit)


def giveback(of: Intent, reference: str, amount: str | None = None, id: UUID | None = None) -> Giveback:
    back = of.amount if amount is None else Decimal(amount)
    return Giveback(id or uuid4(), of.payment, reference, back, of.amount, of.currency, of.minor_unit)


async def test_the_same_payment_is_made_once(world: World) -> None:
    wanted = intent()
    made = await world.provider.create(wanted)
    assert (made.reference, made.client_secret) != ("", "")
    assert made.client_secret not in repr(made)
    assert await world.provider.create(wanted) == made
    assert (await world.provider.create(intent())).reference != made.reference


async def test_a_good_card_pays_and_asking_again_says_the_same(world: World) -> None:
    made = await world.provider.create(intent())
    outcome = await world.provider.confirm(made.reference, world.card)
    assert outcome.state is State.DONE
    assert outcome.event
    assert await world.provider.confirm(made.reference, world.card) == outcome


async def test_a_declined_card_is_final_and_says_why(world: World) -> None:
    made = await world.provider.create(intent())
    outcome = await world.provider.confirm(made.reference, world.declined)
    assert (outcome.state, outcome.reason) == (State.FAILED, "card_declined")
    assert (await world.provider.cancel(made.reference)).event == outcome.event


async def test_what_waits_for_the_bank_is_pending_and_can_be_ended(world: World) -> None:
    made = await world.provider.create(intent())
    assert await world.provider.confirm(made.reference, world.pending) == Outcome(State.PENDING)
    ended = await world.provider.cancel(made.reference)
    assert ended.state is State.FAILED
    assert (await world.provider.cancel(made.reference)).event == ended.event


async def test_an_unknown_method_is_a_wrong_field(world: World) -> None:
    made = await world.provider.create(intent())
    with pytest.raises(Invalid) as caught:
        await world.provider.confirm(made.reference, "a_wish")
    assert [fault.field for fault in caught.value.fields] == ["method"]


async def test_a_refund_is_sent_once_however_often_it_is_asked_for(world: World) -> None:
    wanted = intent()
    made = await world.provider.create(wanted)
    await world.provider.confirm(made.reference, world.card)
    back = giveback(wanted, made.reference, "10.00")
    outcome = await world.provider.refund(back)
    assert outcome.state is State.DONE
    if world.server is not None:
        world.server.forget_keys()
    assert await world.provider.refund(back) == outcome
    assert world.server is None or [r["amount"] for r in world.server.refunds.values()] == [1000]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_signed_message_is_understood(world: World, kind: Kind) -> None:
    payment, refund = uuid4(), uuid4() if kind.startswith("refund") else None
    body, headers = world.message("evt_1", kind, payment, refund)
    event = world.provider.event(headers, body)
    assert (event.id, event.kind) == ("evt_1", kind)
    if kind is not Kind.IGNORED:
        assert (event.payment, event.refund) == (payment, refund)


@pytest.mark.parametrize("age_s", [301, -301])
def test_an_old_message_and_one_of_the_future_are_refused(world: World, age_s: float) -> None:
    body, headers = world.message("evt_1", Kind.PAYMENT_SUCCEEDED, uuid4(), age_s=age_s)
    with pytest.raises(Forbidden):
        world.provider.event(headers, body)
    body, headers = world.message("evt_1", Kind.PAYMENT_SUCCEEDED, uuid4(), age_s=age_s * 0.99)
    assert world.provider.event(headers, body).id == "evt_1"


def test_a_forged_message_is_refused(world: World) -> None:
    body, headers = world.message("evt_1", Kind.PAYMENT_SUCCEEDED, uuid4())
    good = headers[world.signature]
    at = good.partition(",")[0]
    for forged in ("", "t=,v1=", at, good.replace("v1=", "v0="), f"{at},v1={'0' * 64}", f"{at},v1=ü", f"{at},{good}"):
        with pytest.raises(Forbidden):
            world.provider.event({world.signature: forged}, body)
    with pytest.raises(Forbidden):
        world.provider.event({}, body)
    with pytest.raises(Forbidden):
        world.provider.event(headers, body + b" ")
    with pytest.raises(Forbidden):
        world.provider.event({world.signature: sign(body, "another secret", int(NOW_S))}, body)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{}", b'{"id": 1', b"\xff"])
def test_signed_rubbish_is_malformed(world: World, body: bytes) -> None:
    secret = stripe.WEBHOOK_SECRET if world.server is not None else SECRET
    with pytest.raises(Malformed):
        world.provider.event({world.signature: sign(body, secret, int(NOW_S))}, body)


async def test_stripe_says_when_it_is_too_late_to_end_a_payment(stripe_world: World) -> None:
    made = await stripe_world.provider.create(intent())
    paid = await stripe_world.provider.confirm(made.reference, stripe.CARD)
    assert await stripe_world.provider.cancel(made.reference) == paid
    again = await stripe_world.provider.create(intent())
    await stripe_world.provider.confirm(again.reference, stripe.DECLINED)
    assert (await stripe_world.provider.confirm(again.reference, stripe.CARD)).state is State.FAILED


async def test_stripe_takes_three_decimals_in_tens(stripe_world: World) -> None:
    assert stripe_world.server is not None
    wanted = intent("12.345", "KWD", 3)
    made = await stripe_world.provider.create(wanted)
    assert stripe_world.server.intents[made.reference]["amount"] == 12350
    await stripe_world.provider.confirm(made.reference, stripe.CARD)
    for part in ("6.172", "6.173"):
        assert (await stripe_world.provider.refund(giveback(wanted, made.reference, part))).state is State.DONE
    too_small = await stripe_world.provider.refund(giveback(wanted, made.reference, "0.009"))
    assert (too_small.state, too_small.reason) == (State.FAILED, "too_small")
    assert [refund["amount"] for refund in stripe_world.server.refunds.values()] == [6170, 6170]


async def test_stripe_refuses_more_than_was_paid(stripe_world: World) -> None:
    wanted = intent()
    made = await stripe_world.provider.create(wanted)
    await stripe_world.provider.confirm(made.reference, stripe.CARD)
    assert (await stripe_world.provider.refund(giveback(wanted, made.reference))).state is State.DONE
    more = await stripe_world.provider.refund(giveback(wanted, made.reference, "0.01"))
    assert (more.state, more.reason) == (State.FAILED, "charge_already_refunded")


async def test_stripe_out_of_reach_or_slow_is_told_apart_from_a_refusal(
    stripe_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stripe_world.server is not None
    wanted = intent()
    made = await stripe_world.provider.create(wanted)
    with pytest.raises(Conflict):
        await stripe_world.provider.create(Intent(wanted.payment, wanted.order, Decimal(1), "QAR", 2))
    await stripe_world.server.stop()
    for asked in (
        stripe_world.provider.create(intent()),
        stripe_world.provider.confirm(made.reference, stripe.CARD),
        stripe_world.provider.cancel(made.reference),
        stripe_world.provider.refund(giveback(wanted, made.reference)),
    ):
        with pytest.raises(PaymentUnavailable):
            await asked
    await stripe_world.server.start()
    monkeypatch.setattr(stripe_provider, "PAYMENT_PROVIDER_TIMEOUT_S", 0.0)
    with pytest.raises(PaymentUnavailable):
        await stripe_world.provider.create(intent())
    monkeypatch.undo()
    assert await stripe_world.provider.create(wanted) == made


async def test_a_wrong_key_of_stripes_is_not_shown() -> None:
    server = stripe.StripeServer()
    await server.start()
    try:
        async with stripe_provider.open_stripe(
            secret_key="sk_live_wrong", webhook_secret="w", api_base=server.url, now=lambda: NOW_S
        ) as provider:
            with pytest.raises(PaymentUnavailable) as caught:
                await provider.create(intent())
        assert "sk_live" not in str(caught.value)
    finally:
        await server.stop()
