"""The order of the seven signals, and what each error is."""

from itertools import combinations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Malformed, NotFound, RegionUnavailable
from core.ids import Placement, make_id
from gateway.geography.address import IPAddress
from gateway.geography.decision import Decision, Signal, Signals
from gateway.geography.resolve import Geography

PROXY = "10.0.0.1"
CODES = {"qa": 1, "sa": 2, "kw": 3}
PHONES = {"qa": "+97433123456", "sa": "+966501234567"}
ADDRESSES = {"qa": "37.210.4.5", "sa": "2001:16a0::5"}


def id_in(code: int, bucket: int = 77) -> UUID:
    return make_id(Placement(code, bucket), now_ms=1_790_000_000_000, random_bits=5)


def inputs(signal: Signal, region: str) -> dict[str, Any]:
    """The raw inputs by which `signal` names `region`."""
    by_signal: dict[Signal, dict[str, Any]] = {
        Signal.ID: {"id": id_in(CODES[region])},
        Signal.USER: {"user": Placement(CODES[region], 9)},
        Signal.EXPLICIT: {"explicit": region},
        Signal.PHONE: {"phone": PHONES.get(region)},
        Signal.COUNTRY: {"country": region.upper(), "peer": PROXY},
        Signal.ADDRESS: {"forwarded_for": ADDRESSES.get(region), "peer": PROXY},
        Signal.DEFAULT: {},
    }
    return by_signal[signal]


def outcome(decision: Decision) -> tuple[str, int | None, Signal]:
    return decision.region.name, decision.bucket, decision.by


NAMING = [signal for signal in Signal if signal is not Signal.DEFAULT]


@pytest.mark.parametrize("region", ["qa", "sa"])
@pytest.mark.parametrize("signal", NAMING)
def test_each_signal_decides_when_it_is_alone(geography: Geography, signal: Signal, region: str) -> None:
    signals = Signals(**inputs(signal, region))
    bucket = {Signal.ID: 77, Signal.USER: 9}.get(signal)
    decision = geography.decide(signals)
    assert outcome(decision) == (region, bucket, signal)
    assert decision.signals is signals


def test_a_request_without_any_signal_goes_to_the_default_region(geography: Geography) -> None:
    assert outcome(geography.decide(Signals())) == ("kw", None, Signal.DEFAULT)


@pytest.mark.parametrize(("winner", "loser"), [("qa", "sa"), ("sa", "qa")])
@pytest.mark.parametrize(("earlier", "later"), list(combinations(NAMING, 2)))
def test_of_two_signals_the_earlier_decides(
    geography: Geography, earlier: Signal, later: Signal, winner: str, loser: str
) -> None:
    signals = Signals(**(inputs(later, loser) | inputs(earlier, winner)))
    decision = geography.decide(signals)
    assert (decision.region.name, decision.by) == (winner, earlier)


@given(st.lists(st.sampled_from(NAMING), unique=True))
def test_of_any_set_of_signals_the_first_in_order_decides(geography: Geography, present: list[Signal]) -> None:
    raw: dict[str, Any] = {}
    for signal in present:
        raw |= inputs(signal, "sa")
    decision = geography.decide(Signals(**raw))
    assert decision.by is min(present, key=list(Signal).index, default=Signal.DEFAULT)


@pytest.mark.parametrize("signal", [Signal.ID, Signal.USER, Signal.EXPLICIT, Signal.PHONE, Signal.COUNTRY])
def test_a_decided_request_never_has_its_address_looked_up(make_geography: Any, signal: Signal) -> None:
    def forbidden(address: IPAddress) -> str | None:
        raise AssertionError(f"looked up {address}")

    geography = make_geography(country_of=forbidden)
    decision = geography.decide(Signals(**(inputs(Signal.ADDRESS, "sa") | inputs(signal, "qa"))))
    assert decision.by is signal


@given(st.sampled_from([1, 2, 3]), st.integers(0, 4095))
def test_an_id_decides_its_own_region_and_bucket(geography: Geography, code: int, bucket: int) -> None:
    decision = geography.decide(Signals(id=id_in(code, bucket)))
    assert (decision.region.code, decision.bucket) == (code, bucket)


def test_an_id_of_a_region_that_is_not_on_the_map_is_not_found(geography: Geography) -> None:
    with pytest.raises(NotFound, match="region code 200"):
        geography.decide(Signals(id=id_in(200), user=Placement(1, 1)))


def test_an_id_without_a_placement_is_not_found(geography: Geography) -> None:
    with pytest.raises(NotFound):
        geography.decide(Signals(id=uuid4()))


def test_a_user_whose_home_is_not_on_the_map_is_refused_and_never_sent_elsewhere(geography: Geography) -> None:
    with pytest.raises(RegionUnavailable, match="region code 200"):
        geography.decide(Signals(user=Placement(200, 1), explicit="qa"))


@pytest.mark.parametrize("earlier", [None, Signal.ID, Signal.USER])
@pytest.mark.parametrize("name", ["xx", "QA", " qa", "qa,sa"])
def test_an_unknown_explicit_region_is_malformed_whatever_else_decides(
    geography: Geography, name: str, earlier: Signal | None
) -> None:
    others = inputs(earlier, "qa") if earlier else {}
    with pytest.raises(Malformed, match="it knows qa, sa, kw"):
        geography.decide(Signals(explicit=name, **others))


def test_an_unknown_explicit_region_is_malformed_even_with_an_id_of_no_region(geography: Geography) -> None:
    with pytest.raises(Malformed):
        geography.decide(Signals(explicit="xx", id=id_in(200)))


def test_an_empty_explicit_region_is_no_choice(geography: Geography) -> None:
    assert geography.decide(Signals(explicit="", phone=PHONES["qa"])).by is Signal.PHONE


UNLISTED = [
    (Signal.PHONE, {"phone": "+14155552671"}),
    (Signal.COUNTRY, {"country": "US", "peer": PROXY}),
    (Signal.ADDRESS, {"peer": "8.8.8.8"}),
    (Signal.ADDRESS, {"peer": PROXY, "forwarded_for": "8.8.8.8"}),
]


@pytest.mark.parametrize(("signal", "raw"), UNLISTED)
def test_a_country_no_region_lists_is_refused_by_name_if_the_map_says_so(
    geography: Geography, signal: Signal, raw: dict[str, Any]
) -> None:
    with pytest.raises(RegionUnavailable, match="no region serves US"):
        geography.decide(Signals(**raw))


@pytest.mark.parametrize(("signal", "raw"), UNLISTED)
def test_a_country_no_region_lists_goes_to_the_default_region_by_its_own_signal(
    make_geography: Any, signal: Signal, raw: dict[str, Any]
) -> None:
    decision = make_geography(unlisted="default").decide(Signals(**raw))
    assert outcome(decision) == ("kw", None, signal)


def test_an_unlisted_phone_decides_for_the_default_before_a_listed_country(make_geography: Any) -> None:
    signals = Signals(phone="+14155552671", country="QA", peer=PROXY)
    assert outcome(make_geography(unlisted="default").decide(signals)) == ("kw", None, Signal.PHONE)


@pytest.mark.parametrize("value", ["XX", "xx", "T1", "", "  ", "ZZ", "Qatar", "EU", "Q", "QA,SA"])
def test_a_header_that_names_no_country_is_not_a_signal(geography: Geography, value: str) -> None:
    assert geography.decide(Signals(country=value, peer=PROXY)).by is Signal.DEFAULT


def test_the_country_header_is_read_in_any_case(geography: Geography) -> None:
    assert geography.decide(Signals(country=" sa ", peer=PROXY)).region.name == "sa"


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "::1", "192.168.1.9", "10.0.0.9", "::ffff:10.0.0.9", "fe80::1%eth0", "", None]
)
def test_an_address_without_a_country_is_not_a_signal(geography: Geography, peer: str | None) -> None:
    assert geography.decide(Signals(peer=peer)).by is Signal.DEFAULT


@pytest.mark.parametrize("phone", ["33123456", "", "hello", "+80012345678", "+999123", "+"])
def test_a_number_that_shows_no_country_is_not_a_signal(geography: Geography, phone: str) -> None:
    assert geography.decide(Signals(phone=phone)).by is Signal.DEFAULT


@pytest.mark.parametrize("peer", ["203.0.113.9", "::ffff:203.0.113.9", "", None])
def test_country_and_forwarded_for_from_an_untrusted_peer_do_not_count(geography: Geography, peer: str | None) -> None:
    spoofed = Signals(country="QA", forwarded_for=ADDRESSES["sa"], peer=peer)
    assert outcome(geography.decide(spoofed)) == ("kw", None, Signal.DEFAULT)


def test_a_mapped_ipv4_peer_is_looked_up_as_ipv4(geography: Geography) -> None:
    assert geography.decide(Signals(peer="::ffff:37.210.4.5")).region.name == "qa"


def test_a_region_serves_all_of_its_countries(geography: Geography) -> None:
    assert geography.decide(Signals(phone="+97336001234")).region.name == "sa"


_text = st.none() | st.text(max_size=40)


@given(phone=_text, country=_text, peer=_text, forwarded_for=_text)
def test_whatever_strangers_send_the_request_gets_a_region_or_a_refusal(
    geography: Geography, phone: str | None, country: str | None, peer: str | None, forwarded_for: str | None
) -> None:
    try:
        decision = geography.decide(Signals(phone=phone, country=country, peer=peer, forwarded_for=forwarded_for))
    except RegionUnavailable:
        return
    assert geography.explain(decision)[-1].signal is Signal.DEFAULT
