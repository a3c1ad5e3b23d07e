"""A country that an edge signed: believed with a good signature, and otherwise ignored with the reason."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from edge.vouching import vouch
from gateway.geography.decision import Seen, Signal, Signals, Vouched
from gateway.geography.resolve import Geography
from gateway.geography.vouched import read_vouched
from gateway.settings import Settings

SECRET, OTHER = b"s" * 32, b"o" * 32
NOW = 1_780_000_000.0
PATH = "/api/v1/requests/a%2Fb"
CLIENT = "37.210.4.5"
STRANGER = "203.0.113.9"


def signed(country: str = "SA", *, secret: bytes = SECRET, path: str = PATH, client: str = CLIENT) -> str:
    return vouch(secret, country=country, client=client, path=path, now=NOW)


def read(value: str, *, path: str = PATH, secrets: tuple[bytes, ...] = (SECRET,), now: float = NOW) -> Vouched:
    return read_vouched(value, path=path, secrets=secrets, now=now)


def test_a_good_signature_is_believed() -> None:
    assert read(signed()) == Vouched("SA", client=ip_address(CLIENT))
    assert read(signed(client="::ffff:37.210.4.5")).client == ip_address(CLIENT)
    assert read(signed(client="")).client is None
    assert read(signed("")) == Vouched("XX", client=ip_address(CLIENT))


@pytest.mark.parametrize("later_s", [60.99, -60])
def test_a_signature_is_good_for_60_seconds(later_s: float) -> None:
    assert read(signed(), now=int(NOW + later_s)).refused == ""


@pytest.mark.parametrize("later_s", [61, -61, 3600])
def test_a_replayed_signature_is_refused(later_s: float) -> None:
    assert read(signed(), now=NOW + later_s).refused == "its signature is not of the last 60 s"


@pytest.mark.parametrize("path", ["/api/v1/requests/a/b", "/api/v1/requests", "/"])
def test_a_signature_for_another_path_is_refused(path: str) -> None:
    assert "not of EDGE_SECRET for this path" in read(signed(), path=path).refused


@pytest.mark.parametrize(
    ("old", "new"), [("SA;", "QA;"), ("t=17800", "t=17801"), (CLIENT, "37.210.4.6"), ("; sig", ";sig")]
)
def test_a_changed_header_is_refused(old: str, new: str) -> None:
    assert read(signed().replace(old, new)).refused


def test_a_changed_signature_is_refused() -> None:
    value = signed()
    assert "not of EDGE_SECRET" in read(value[:-1] + ("1" if value[-1] == "0" else "0")).refused


def test_without_a_secret_nothing_is_believed() -> None:
    assert read(signed(), secrets=()).refused == "EDGE_SECRET is not set"


def test_the_previous_secret_is_good_while_it_is_being_replaced() -> None:
    assert read(signed(secret=OTHER), secrets=(SECRET, OTHER)).refused == ""
    assert read(signed(secret=OTHER)).refused != ""


@given(st.text() | st.from_regex(r'[A-Z]{2}; t=[0-9]{1,12}; for="[0-9a-f:.]{0,45}"; sig=[0-9a-f]{64}', fullmatch=True))
def test_whatever_is_sent_is_refused_and_never_an_error(value: str) -> None:
    assert read(value).refused


@pytest.mark.parametrize("name", ["EDGE_SECRET", "EDGE_SECRET_PREVIOUS"])
def test_a_secret_that_can_be_guessed_is_refused_in_production(name: str) -> None:
    production = {"NODE_ENV": "production", "JWT_SECRET": "j" * 32, "SESSION_SECRET": "s" * 32}
    with pytest.raises(Invalid) as refused:
        Settings.from_environment({**production, name: "guessable"})
    assert [fault.field for fault in refused.value.fields] == [name]
    assert "guessable" not in str(refused.value)
    assert Settings.from_environment({**production, name: "e" * 32}).edge_secrets == [b"e" * 32]
    assert Settings.from_environment(production).edge_secrets == []


def test_a_signed_country_decides_whoever_the_peer_is(geography: Geography) -> None:
    signals = Signals(country="KW", peer=STRANGER, forwarded_for="8.8.8.8", vouched=read(signed()))
    decision = geography.decide(signals)
    assert (decision.region.name, decision.by) == ("sa", Signal.COUNTRY)
    assert geography.client_of(signals) == ip_address(CLIENT)
    assert [(seen.signal, seen.value, seen.note) for seen in geography.explain(decision)] == [
        ("country", "SA", "decided; signed by the edge"),
        ("default", "kw", "not needed: country decided"),
    ]


def test_a_signed_country_stands_behind_the_phone_and_the_explicit_choice(geography: Geography) -> None:
    vouched = read(signed())
    assert geography.decide(Signals(phone="+97433123456", vouched=vouched)).by is Signal.PHONE
    assert geography.decide(Signals(explicit="qa", vouched=vouched)).by is Signal.EXPLICIT


def test_a_country_the_edge_does_not_know_leads_to_the_default_and_not_to_the_edges_own_address(
    geography: Geography,
) -> None:
    decision = geography.decide(Signals(peer=CLIENT, vouched=read(signed("XX"))))
    assert (decision.region.name, decision.by) == ("kw", Signal.DEFAULT)
    first = geography.explain(decision)[0]
    assert first.note == "not a signal: the edge does not know the country; signed by the edge"


def test_a_refused_signature_changes_nothing_and_is_explained(geography: Geography) -> None:
    vouched = read(signed(), now=NOW + 61)
    signals = Signals(peer=CLIENT, vouched=vouched)
    decision = geography.decide(signals)
    assert (decision.region.name, decision.by) == ("qa", Signal.ADDRESS)
    assert geography.client_of(signals) == ip_address(CLIENT)
    assert geography.explain(decision)[0] == Seen(
        Signal.COUNTRY,
        "SA",
        None,
        "ignored: Meridian-Country is not believed, its signature is not of the last 60 s",
    )
    assert STRANGER not in repr(Signals(vouched=Vouched("SA", client=ip_address(STRANGER))))
