"""The client's own address behind proxies: a walk through X-Forwarded-For from the right."""

import re
from typing import Final

from gateway.geography.address import IPAddress, parse_address
from gateway.geography.trust import TrustedProxies

HOPS_MAX: Final = 32
"""Entries read from the right; a longer chain of trusted proxies counts as malformed."""

# Some proxies (Azure's gateways) append the client's port; IPv6 then stands in brackets.
_WITH_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::[0-9]{1,5})?")


def client_of(peer: str | None, forwarded_for: str | None, trusted: TrustedProxies) -> IPAddress | None:
    """The address of the client, or None if it cannot be known.

    It is the peer, or behind a trusted peer the right-most untrusted entry of X-Forwarded-For (the left-most one if all
    are trusted). A malformed entry ends the walk with None: the last proxy that was readable is not the client.
    """
    address = parse_address(peer)
    if address is None or not forwarded_for or not trusted.covers(address):
        return address
    # Beyond the bound the rest stays one piece, which reads as malformed.
    for entry in reversed(forwarded_for.rsplit(",", HOPS_MAX - 1)):
        hop = parse_hop(entry)
        if hop is None or not trusted.covers(hop):
            return hop
        address = hop
    return address


def parse_hop(entry: str) -> IPAddress | None:
    """One entry of X-Forwarded-For, with or without port; None if malformed."""
    text = entry.strip()
    match = _WITH_PORT.fullmatch(text)
    return parse_address(match[1] or match[2] if match else text)
