"""Client addresses: how they are read, shortened for showing, and looked up offline in the registries' data."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from iptocc import country_code

from gateway.geography.country import COUNTRIES

IPAddress = IPv4Address | IPv6Address
CountryOf = Callable[[IPAddress], str | None]

_SHOWN_BITS = {4: 24, 6: 48}


def parse_address(text: str | None) -> IPAddress | None:
    """The address in `text`, `::ffff:` unwrapped and the zone (`%eth0`) dropped; None if there is none."""
    if not text:
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack listener reports IPv4 clients as ::ffff:a.b.c.d, which no table of IPv4 ranges would match.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def assigned_country(address: IPAddress) -> str | None:
    """The country that an address (unwrapped) is assigned to; None for private, loopback and unassigned ones.

    The registries also write `EU` and the like, which is no country.
    """
    country = country_code(str(address))
    return country if country in COUNTRIES else None


def country_of_address(address: str) -> str | None:
    """The country of an address as text, looked up offline; None if it is malformed or has none."""
    parsed = parse_address(address)
    return None if parsed is None else assigned_country(parsed)


def shorten(address: IPAddress) -> str:
    """The address as it may be shown: its /24 (IPv4) or /48 (IPv6)."""
    return str(ip_network((address, _SHOWN_BITS[address.version]), strict=False))
