"""Reading, shortening and looking up addresses, with the registries' real data."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.geography.address import country_of_address, parse_address, shorten
from gateway.geography.country import COUNTRIES


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("37.210.0.1", "QA"),
        ("::ffff:37.210.0.1", "QA"),
        ("2001:16a0::1", "SA"),
        ("8.8.8.8", "US"),
        ("2001:4860:4860::8888", "US"),
    ],
)
def test_a_public_address_has_the_country_it_is_assigned_to(address: str, country: str) -> None:
    assert country_of_address(address) == country


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "10.0.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "fe80::1%eth0", "fc00::1"),
        *("::ffff:10.0.0.1", "203.0.113.9", "2001:db8::1", "224.0.0.1", "", "garbage", "8.8.8", "8.8.8.8:80"),
    ],
)
def test_a_private_reserved_or_malformed_address_has_no_country(address: str) -> None:
    assert country_of_address(address) is None


@given(st.ip_addresses())
def test_any_address_has_an_iso_country_or_none(address: object) -> None:
    assert country_of_address(str(address)) in COUNTRIES | {None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:1.2.3.4", "1.2.3.4"), ("::FFFF:102:304", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("::1", "::1")],
)
def test_mapped_addresses_are_unwrapped_and_zones_dropped(text: str, expected: str) -> None:
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize("text", [None, "", "1.2.3", "010.0.0.1", " 1.2.3.4", "1.2.3.4/24"])
def test_what_is_not_an_address_is_none(text: str | None) -> None:
    assert parse_address(text) is None


def test_an_address_is_shown_as_its_24_or_its_48() -> None:
    assert shorten(ip_address("37.210.4.5")) == "37.210.4.0/24"
    assert shorten(ip_address("2001:16a0:7:8::9")) == "2001:16a0:7::/48"
