"""The walk through X-Forwarded-For."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.geography.forwarded import HOPS_MAX, client_of
from gateway.geography.trust import TrustedProxies

TRUSTED = TrustedProxies.parse("10.0.0.0/8, ::1")


def client(peer: str | None, forwarded_for: str | None) -> str | None:
    address = client_of(peer, forwarded_for, TRUSTED)
    return None if address is None else str(address)


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        ("37.210.4.5", "37.210.4.5"),
        ("8.8.8.8, 37.210.4.5", "37.210.4.5"),
        ("8.8.8.8, 37.210.4.5, 10.0.0.2", "37.210.4.5"),
        ("8.8.8.8,37.210.4.5,10.0.0.2,::1", "37.210.4.5"),
        ("garbage, 37.210.4.5", "37.210.4.5"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::ffff:37.210.4.5, ::ffff:10.0.0.2", "37.210.4.5"),
        ("8.8.8.8, 192.168.1.1", "192.168.1.1"),
        ("37.210.4.5:51234", "37.210.4.5"),
        ("[2001:16a0::1]:443", "2001:16a0::1"),
        ("[2001:16a0::1]", "2001:16a0::1"),
        ("2001:16a0::1", "2001:16a0::1"),
    ],
)
def test_behind_a_trusted_peer_the_right_most_untrusted_entry_is_the_client(forwarded_for: str, expected: str) -> None:
    assert client("10.0.0.1", forwarded_for) == expected
    assert client("::ffff:10.0.0.1", forwarded_for) == expected


@pytest.mark.parametrize("last", ["garbage", "unknown", "_hidden", "", "10.0.0", "1.2.3.4:x", "[10.0.0.2", "0x7f.1"])
def test_a_malformed_entry_stops_the_walk_and_the_client_is_unknown(last: str) -> None:
    assert client("10.0.0.1", f"37.210.4.5, {last}") is None
    assert client("10.0.0.1", f"37.210.4.5, {last}, 10.0.0.2") is None


@pytest.mark.parametrize("forwarded_for", [None, ""])
def test_without_the_header_the_peer_is_the_client(forwarded_for: str | None) -> None:
    assert client("10.0.0.1", forwarded_for) == "10.0.0.1"


def test_an_untrusted_peer_is_the_client_whatever_it_claims() -> None:
    assert client("203.0.113.9", "37.210.4.5") == "203.0.113.9"


@pytest.mark.parametrize("peer", [None, "", "/run/x.sock"])
def test_without_a_readable_peer_the_client_is_unknown(peer: str | None) -> None:
    assert client(peer, "37.210.4.5") is None


def test_a_chain_up_to_the_bound_is_walked_and_a_longer_one_is_not() -> None:
    def chain(proxies: int) -> str:
        return ", ".join(["37.210.4.5"] + ["10.0.0.2"] * proxies)

    assert client("10.0.0.1", chain(HOPS_MAX - 1)) == "37.210.4.5"
    assert client("10.0.0.1", chain(HOPS_MAX)) is None


@given(st.text(max_size=60).filter(lambda text: "\n" not in text))
def test_what_a_client_puts_before_the_proxys_own_entry_changes_nothing(spoofed: str) -> None:
    assert client("10.0.0.1", f"{spoofed}, 37.210.4.5") == "37.210.4.5"
