"""Which peers are believed."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.geography.trust import TrustedProxies

EXAMPLE = TrustedProxies.parse("10.0.0.0/8, 127.0.0.1, ::1,2001:db8::/32")


@pytest.mark.parametrize("peer", ["10.1.2.3", "127.0.0.1", "::1", "2001:db8:5::1", "::ffff:10.1.2.3", "::FFFF:7f00:1"])
def test_a_peer_inside_a_listed_network_is_trusted(peer: str) -> None:
    assert EXAMPLE.contains(peer)


@pytest.mark.parametrize(
    "peer", ["11.0.0.1", "127.0.0.2", "::2", "::ffff:11.0.0.1", "2001:db9::1", "10.1.2.3:80", "10.1.2"]
)
def test_a_peer_outside_is_not_trusted(peer: str) -> None:
    assert not EXAMPLE.contains(peer)


@pytest.mark.parametrize("peer", [None, "", "unix:/run/meridian.sock", "/run/meridian.sock"])
def test_a_unix_socket_is_not_trusted_even_by_a_set_of_everything(peer: str | None) -> None:
    assert not TrustedProxies.parse("0.0.0.0/0, ::/0").contains(peer)


@pytest.mark.parametrize("text", ["", "  ", ",", " , "])
def test_empty_text_trusts_nobody(text: str) -> None:
    trusted = TrustedProxies.parse(text)
    assert trusted.networks == ()
    assert not trusted.contains("127.0.0.1")


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "nginx", "10.0.0.1/8", "10.0.0", "::1/129"])
def test_a_faulty_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=f"TRUSTED_PROXIES: '{entry}' is not"):
        TrustedProxies.parse(f"127.0.0.1, {entry}, ::1")


def test_a_mapped_network_means_the_ipv4_network_inside() -> None:
    trusted = TrustedProxies.parse("::ffff:10.0.0.0/104")
    assert trusted.contains("10.9.9.9")
    assert trusted.contains("::ffff:10.9.9.9")
    assert not trusted.contains("11.0.0.1")


_prefixes = st.integers(0, 32)


@given(st.lists(st.tuples(st.ip_addresses(v=4), _prefixes), max_size=6), st.ip_addresses(v=4))
def test_the_set_agrees_with_plain_ipv4_membership(nets: list[tuple[IPv4Address, int]], peer: IPv4Address) -> None:
    networks = [ip_network(pair, strict=False) for pair in nets]
    assert TrustedProxies(networks).contains(str(peer)) == any(peer in network for network in networks)
    assert all(TrustedProxies(networks).contains(str(address)) for address, _ in nets)


@given(st.ip_addresses(v=6), st.integers(0, 128), st.integers(0, 2**128 - 1))
def test_the_set_agrees_with_plain_ipv6_membership(address: IPv6Address, prefix: int, bits: int) -> None:
    network = ip_network((address, prefix), strict=False)
    near = IPv6Address(int(network.network_address) | (bits & ((1 << (128 - prefix)) - 1)))
    assume(near.ipv4_mapped is None)  # `covers` is asked about unwrapped addresses only
    assert TrustedProxies([network]).covers(near)
