"""What people are told of a decision: all of it, in order, and nothing private."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import Placement, make_id
from core.shard_map.model import RegionName
from gateway.geography.decision import Decision, Seen, Signal, Signals
from gateway.geography.resolve import Geography
from gateway.geography.view import RouteView

PROXY = "10.0.0.1"
STRANGER = "203.0.113.9"
DEFAULT_LAST = Seen(Signal.DEFAULT, "kw", RegionName("kw"), "decided")
ID: UUID = make_id(Placement(2, 77), now_ms=0, random_bits=0)
CALLING_CODES = {"974": 8, "966": 9, "965": 8, "1": 10, "44": 10, "800": 8}


def explained(geography: Geography, **raw: Any) -> list[Seen]:
    return list(geography.explain(geography.decide(Signals(**raw))))


def test_every_signal_is_listed_in_order_with_what_it_says(geography: Geography) -> None:
    seen = explained(
        geography,
        id=ID,
        user=Placement(1, 5),
        explicit="qa",
        phone="+96550001234",
        country="BH",
        peer=PROXY,
        forwarded_for="37.210.4.5",
    )
    later = "not needed: id decided"
    assert seen == [
        Seen(Signal.ID, str(ID), RegionName("sa"), "decided"),
        Seen(Signal.USER, "bucket 5 of region code 1", RegionName("qa"), later),
        Seen(Signal.EXPLICIT, "qa", RegionName("qa"), later),
        Seen(Signal.PHONE, "+965…", RegionName("kw"), later),
        Seen(Signal.COUNTRY, "BH", RegionName("sa"), later),
        Seen(Signal.ADDRESS, "QA 37.210.4.0/24", RegionName("qa"), f"{later}; from X-Forwarded-For"),
        Seen(Signal.DEFAULT, "kw", RegionName("kw"), later),
    ]


def test_an_absent_signal_is_not_listed(geography: Geography) -> None:
    assert explained(geography) == [DEFAULT_LAST]


def test_a_spoofed_country_and_forwarded_for_are_shown_as_ignored(geography: Geography) -> None:
    seen = explained(geography, country="QA", forwarded_for="8.8.8.8, 37.210.4.5", peer=STRANGER)
    ignored = "ignored: peer 203.0.113.9 is not in TRUSTED_PROXIES"
    assert seen == [
        Seen(Signal.COUNTRY, "QA", None, ignored),
        Seen(Signal.ADDRESS, "X-Forwarded-For 37.210.4.0/24", None, ignored),
        Seen(Signal.ADDRESS, "203.0.113.0/24", None, "not a signal: the address has no country"),
        DEFAULT_LAST,
    ]


def test_a_stranger_is_placed_by_its_own_address_and_not_by_what_it_claims(geography: Geography) -> None:
    seen = explained(geography, forwarded_for="212.118.0.1", peer="37.210.4.5")
    assert [(one.signal, one.region) for one in seen] == [("address", None), ("address", "qa"), ("default", "kw")]
    assert seen[1].note == "decided"


def test_a_peer_without_an_address_is_said_to_be_untrusted(geography: Geography) -> None:
    seen = explained(geography, country="QA", peer=None)
    assert seen[0].note == "ignored: peer without an address is not in TRUSTED_PROXIES"


@pytest.mark.parametrize(("value", "shown"), [("XX", "XX"), ("t1", "T1"), ("", "?"), ("+97433123456", "?")])
def test_an_unknown_country_header_is_noted_and_only_a_code_is_shown(
    geography: Geography, value: str, shown: str
) -> None:
    seen = explained(geography, country=value, peer=PROXY)
    assert seen[0] == Seen(Signal.COUNTRY, shown, None, "not a signal: the edge does not know the country")


def test_a_malformed_forwarded_for_is_noted_without_being_repeated(geography: Geography) -> None:
    seen = explained(geography, peer=PROXY, forwarded_for="37.210.4.5, garbage")
    assert seen == [Seen(Signal.ADDRESS, "X-Forwarded-For", None, "not a signal: an entry is malformed"), DEFAULT_LAST]


def test_a_phone_without_a_country_is_noted(geography: Geography) -> None:
    assert explained(geography, phone="33123456")[0] == Seen(
        Signal.PHONE, "…", None, "not a signal: the number does not show its country code"
    )
    assert explained(geography, phone="+80012345678")[0] == Seen(
        Signal.PHONE, "+800…", None, "not a signal: the number belongs to no country"
    )


def test_an_unlisted_country_that_decided_for_the_default_says_so(make_geography: Any) -> None:
    seen = explained(make_geography(unlisted="default"), phone="+14155552671")
    note = "decided; no region lists US, the default region serves it"
    assert seen[0] == Seen(Signal.PHONE, "+1…", RegionName("kw"), note)


def test_an_unlisted_country_that_was_not_needed_says_that_it_would_be_refused(geography: Geography) -> None:
    seen = explained(geography, id=ID, country="US", peer=PROXY, forwarded_for="8.8.8.8")
    refused = "no region lists US, it would be refused"
    assert seen[1] == Seen(Signal.COUNTRY, "US", None, f"not needed: id decided; {refused}")
    assert seen[2].note == f"not needed: id decided; from X-Forwarded-For; {refused}"


def test_a_decision_of_an_older_map_can_still_be_explained(geography: Geography, make_region: Any) -> None:
    gone = Decision(make_region("om", 9, ("OM",)), 3, Signal.USER, Signals(user=Placement(9, 3), explicit="om"))
    seen = geography.explain(gone)
    assert [(one.region, one.note) for one in seen[:2]] == [
        (None, "decided; no such region on this map"),
        (None, "not needed: user decided; no such region on this map"),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        {"id": ID, "explicit": "qa"},
        {"user": Placement(1, 5), "country": "US", "peer": PROXY},
        {"explicit": "qa", "phone": "+97433123456"},
        {"phone": "+97433123456", "country": "QA", "peer": STRANGER},
        {"country": "QA", "peer": PROXY, "forwarded_for": "bad"},
        {"peer": "37.210.4.5", "country": "SA", "forwarded_for": "8.8.8.8"},
        {"peer": "127.0.0.1"},
    ],
)
def test_exactly_one_signal_decided_and_it_names_the_region_of_the_decision(
    geography: Geography, raw: dict[str, Any]
) -> None:
    decision = geography.decide(Signals(**raw))
    deciding = [one for one in geography.explain(decision) if one.note.startswith("decided")]
    assert [(one.signal, one.region) for one in deciding] == [(decision.by, decision.region.name)]


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A number as people write it, and its national digits."""
    code = draw(st.sampled_from(sorted(CALLING_CODES)))
    national = draw(st.from_regex(rf"[2-9][0-9]{{{CALLING_CODES[code] - 1}}}", fullmatch=True))
    prefix = draw(st.sampled_from([f"+{code}", f"00{code}", f"+{code} ", f"tel:+{code}-", ""]))
    return prefix + national, national


@given(numbers(), st.sampled_from([{}, {"explicit": "qa"}, {"peer": STRANGER, "country": "QA"}]))
def test_no_digits_of_a_phone_beyond_its_calling_code_are_ever_shown(
    make_geography: Any, number: tuple[str, str], others: dict[str, Any]
) -> None:
    phone, national = number
    geography: Geography = make_geography(unlisted="default")
    decision = geography.decide(Signals(phone=phone, **others))
    shown = RouteView.from_decision(decision, geography.explain(decision)).model_dump_json() + repr(decision.signals)
    assert not any(national[start : start + 4] in shown for start in range(len(national) - 3))


@given(st.one_of(st.ip_addresses(), st.ip_addresses(network="37.210.0.0/16")), st.booleans())
def test_the_clients_full_address_is_never_shown_as_a_value(
    make_geography: Any, client: IPv4Address | IPv6Address, as_peer: bool
) -> None:
    geography: Geography = make_geography(unlisted="default", trusted="10.99.0.1")
    direct, forwarded = Signals(peer=str(client)), Signals(peer="10.99.0.1", forwarded_for=str(client))
    decision = geography.decide(direct if as_peer else forwarded)
    shown = [one.value.split()[-1] for one in geography.explain(decision) if one.signal is Signal.ADDRESS]
    assert all(value.endswith(("/24", "/48")) for value in shown)
    assert str(client) not in repr(decision.signals)
