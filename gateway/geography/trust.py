"""Which peers may say something about the client that they forward for."""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from gateway.geography.address import IPAddress, parse_address

IPNetwork = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


class TrustedProxies:
    """A set of networks; asking costs one set look-up per distinct prefix length, not one comparison per network."""

    __slots__ = ("_ranges", "networks")

    def __init__(self, networks: Iterable[IPNetwork] = ()) -> None:
        self.networks = tuple(map(_unwrapped, networks))
        prefixes: dict[tuple[int, int], set[int]] = defaultdict(set)
        for network in self.networks:
            shift = network.max_prefixlen - network.prefixlen
            prefixes[network.version, shift].add(int(network.network_address) >> shift)
        self._ranges = {
            version: tuple((shift, frozenset(found)) for (of, shift), found in prefixes.items() if of == version)
            for version in (4, 6)
        }

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Read `10.0.0.0/8, 127.0.0.1, ::1`; empty text trusts nobody. Raises ValueError naming the faulty entry."""
        return cls(_network(entry) for part in text.split(",") if (entry := part.strip()))

    def contains(self, peer: str | None) -> bool:
        """Whether the socket address `peer` is trusted; a unix socket, None or anything unreadable is not."""
        address = parse_address(peer)
        return address is not None and self.covers(address)

    def covers(self, address: IPAddress) -> bool:
        """Whether an address, already unwrapped, is inside one of the networks."""
        value = int(address)
        return any(value >> shift in prefixes for shift, prefixes in self._ranges[address.version])


def _network(entry: str) -> IPNetwork:
    try:
        return ip_network(entry)
    except ValueError as exc:
        raise ValueError(f"TRUSTED_PROXIES: {entry!r} is not an address or a network ({exc})") from exc


def _unwrapped(network: IPNetwork) -> IPNetwork:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Peers are unwrapped before they are compared, so a mapped network would never match.
        mapped = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((mapped, network.prefixlen - 96))
    return network
