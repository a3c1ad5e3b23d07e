"""A request as it arrives at the edge: whose word counts about its client, and which region it is for."""

from dataclasses import dataclass
from typing import Final

from edge.fields import beyond_connection
from edge.geography import EdgeTable, region_of
from edge.messages import Fields, Request
from edge.plain import Plain
from gateway.geography.address import parse_address
from gateway.geography.trust import TrustedProxies

# Host is not in the key of the cache, and no more may be what stands for it, for the method or for the path: an origin
# that believed these would answer one thing and have it kept for another.
_NEVER: Final = frozenset(
    {
        "x-forwarded-host",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-host",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    }
)
_OF_PROXIES: Final = frozenset(
    {
        "cf-connecting-ip",
        "forwarded",
        "true-client-ip",
        "x-client-ip",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
_SAID_BY_PROXIES: Final = _OF_PROXIES | _NEVER | {"via"}
_REPLACED: Final = _NEVER | {"x-forwarded-for"}
_PEERS_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request with what is said of its client put right.

    `is_inside`: its sender may see the metrics. `plain` is what the edge can say at once to such a request, if it can.
    """

    request: Request
    region: str
    is_inside: bool
    plain: Plain | None = None


class Arrivals:
    """Puts requests right. `own_region` is that of requests which nothing places elsewhere.

    What proxies say is believed of trusted peers only: of anybody else the country, X-Forwarded-For and the like are
    taken off, because the gateway believes the edge. The peer is added to X-Forwarded-For.
    """

    def __init__(
        self,
        *,
        table: EdgeTable | None,
        own_region: str,
        trusted: TrustedProxies,
        country_header: str,
        scheme: str = "http",
    ) -> None:
        self._table = table
        self._own_region = own_region
        self._trusted = trusted
        self._country_header = country_header.lower()
        self._scheme = scheme
        self._untrusted = _NEVER | _OF_PROXIES | {self._country_header}
        self._peers: dict[str, bool] = {}

    def arrived(self, request: Request, peer: str) -> Arrival:
        """The request as the edge understands it. Depends on nothing but its arguments."""
        is_trusted = self._is_trusted(peer)
        names = {_spelled(name) for name, _ in request.headers}
        is_inside = (is_trusted or _is_loopback(peer)) and _SAID_BY_PROXIES.isdisjoint(names)
        # First of all, so that nothing that Connection names counts here, and it takes off nothing that is added here.
        sent = beyond_connection(request.headers) if "connection" in names else request.headers
        said = {name.lower(): value for name, value in sent}
        headers = self._headers(sent, said, peer, is_trusted=is_trusted)
        region = self._region(said.get("x-region"), said.get(self._country_header) if is_trusted else None)
        return Arrival(Request(request.method, request.path, headers, request.query), region, is_inside)

    def _is_trusted(self, peer: str) -> bool:
        known = self._peers.get(peer)
        if known is None:
            if len(self._peers) >= _PEERS_KEPT:
                self._peers.clear()
            known = self._peers[peer] = self._trusted.contains(peer)
        return known

    def _headers(self, headers: Fields, said: dict[str, str], peer: str, *, is_trusted: bool) -> Fields:
        dropped = _REPLACED if is_trusted else self._untrusted
        kept = [field for field in headers if not self._is_dropped(field[0], dropped)]
        added: Fields = ()
        if peer:
            hops = [value for name, value in headers if name.lower() == "x-forwarded-for"] if is_trusted else []
            added = (("X-Forwarded-For", ", ".join([*hops, peer])),)
        if not is_trusted or "x-forwarded-proto" not in said:
            added = (*added, ("X-Forwarded-Proto", self._scheme))
        return (*kept, *added)

    def _is_dropped(self, name: str, dropped: frozenset[str]) -> bool:
        """Whether a field is taken off. In another spelling than their own, proxies say nothing at all."""
        spelled = _spelled(name)
        return spelled in dropped or ("_" in name and spelled in self._untrusted)

    def _region(self, explicit: str | None, country: str | None) -> str:
        if self._table is None:
            return self._own_region
        located = region_of(self._table, explicit, country)
        return self._own_region if located.by == "default" else located.region


def _spelled(name: str) -> str:
    """A name as many an origin reads it: `_` and `-` are one to it."""
    return name.lower().replace("_", "-")


def _is_loopback(peer: str) -> bool:
    address = parse_address(peer)
    return address is not None and address.is_loopback
