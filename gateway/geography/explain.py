"""The reasons of a decision, for people: each signal in order, what it says and what became of it.

Only what may be shown leaves this module: of a phone its calling code, of the client's address a prefix.
"""

from collections.abc import Iterator
from typing import NamedTuple

from core.ids import placement_of
from core.shard_map.model import RegionName, RegionSpec
from edge.vouching import HEADER
from gateway.geography import headers
from gateway.geography.address import CountryOf, IPAddress, parse_address, shorten
from gateway.geography.atlas import Atlas
from gateway.geography.country import country_named
from gateway.geography.decision import Decision, Seen, Signal, Signals
from gateway.geography.forwarded import client_of, parse_hop
from gateway.geography.phone import origin_of_phone
from gateway.geography.trust import TrustedProxies


def explain(decision: Decision, *, atlas: Atlas, trusted: TrustedProxies, country_of: CountryOf) -> tuple[Seen, ...]:
    """Every signal of the decision's request, in order of precedence; the default region is always the last."""
    case = _Case(decision.signals, decision.by, atlas, trusted, country_of)
    readers = (_id, _user, _explicit, _phone, _vouched, _country, _forwarded, _address, _default)
    return tuple(seen for reader in readers for seen in reader(case))


class _Case(NamedTuple):
    signals: Signals
    by: Signal
    atlas: Atlas
    trusted: TrustedProxies
    country_of: CountryOf

    def naming(self, signal: Signal, value: str, region: RegionSpec | None, remark: str = "") -> Seen:
        verdict = "decided" if self.by is signal else f"not needed: {self.by} decided"
        if region is None and not remark:
            remark = "no such region on this map"
        return Seen(signal, value, _name(region), f"{verdict}; {remark}" if remark else verdict)

    def of_country(self, signal: Signal, value: str, country: str, remark: str = "") -> Seen:
        region = self.atlas.by_country.get(country, self.atlas.unlisted)
        if country not in self.atlas.by_country:
            fate = "it would be refused" if region is None else "the default region serves it"
            remark = f"{remark}; no region lists {country}, {fate}".removeprefix("; ")
        return self.naming(signal, value, region, remark)

    def distrust(self) -> str:
        # The peer is named in full: it is the one the operator may have to add to the list.
        peer = parse_address(self.signals.peer)
        return f"ignored: peer {peer or 'without an address'} is not in TRUSTED_PROXIES"


def _id(case: _Case) -> Iterator[Seen]:
    if case.signals.id is not None:
        code, _ = placement_of(case.signals.id)
        yield case.naming(Signal.ID, str(case.signals.id), case.atlas.by_code.get(code))


def _user(case: _Case) -> Iterator[Seen]:
    if case.signals.user is not None:
        code, bucket = case.signals.user
        yield case.naming(Signal.USER, f"bucket {bucket} of region code {code}", case.atlas.by_code.get(code))


def _explicit(case: _Case) -> Iterator[Seen]:
    if case.signals.explicit:
        region = case.atlas.by_name.get(case.signals.explicit)
        yield case.naming(Signal.EXPLICIT, region.name if region else "?", region)


def _phone(case: _Case) -> Iterator[Seen]:
    if case.signals.phone is None:
        return
    origin = origin_of_phone(case.signals.phone)
    if origin.calling_code is None:
        yield Seen(Signal.PHONE, "…", None, "not a signal: the number does not show its country code")
    elif origin.country is None:
        yield Seen(Signal.PHONE, f"+{origin.calling_code}…", None, "not a signal: the number belongs to no country")
    else:
        yield case.of_country(Signal.PHONE, f"+{origin.calling_code}…", origin.country)


def _vouched(case: _Case) -> Iterator[Seen]:
    vouched = case.signals.vouched
    if vouched is None:
        return
    value = _shown_header(vouched.country)
    country = country_named(vouched.country)
    if vouched.refused:
        yield Seen(Signal.COUNTRY, value, None, f"ignored: {HEADER} is not believed, {vouched.refused}")
    elif country is None:
        yield Seen(Signal.COUNTRY, value, None, "not a signal: the edge does not know the country; signed by the edge")
    else:
        yield case.of_country(Signal.COUNTRY, value, country, "signed by the edge")


def _country(case: _Case) -> Iterator[Seen]:
    if case.signals.country is None or case.signals.signed is not None:
        return
    value = _shown_header(case.signals.country)
    country = country_named(case.signals.country)
    if not case.trusted.contains(case.signals.peer):
        yield Seen(Signal.COUNTRY, value, None, case.distrust())
    elif country is None:
        yield Seen(Signal.COUNTRY, value, None, "not a signal: the edge does not know the country")
    else:
        yield case.of_country(Signal.COUNTRY, value, country)


def _forwarded(case: _Case) -> Iterator[Seen]:
    forwarded = case.signals.forwarded_for
    if not forwarded or case.signals.signed is not None:
        return
    if not case.trusted.contains(case.signals.peer):
        nearest = parse_hop(forwarded.rpartition(",")[2])
        yield Seen(Signal.ADDRESS, _shown_forwarded(nearest), None, case.distrust())
    elif client_of(case.signals.peer, forwarded, case.trusted) is None:
        yield Seen(Signal.ADDRESS, headers.FORWARDED_FOR, None, "not a signal: an entry is malformed")


def _address(case: _Case) -> Iterator[Seen]:
    signals = case.signals
    client = client_of(signals.peer, signals.forwarded_for, case.trusted)
    if client is None or signals.signed is not None:
        return
    country = case.country_of(client)
    if country is None:
        yield Seen(Signal.ADDRESS, shorten(client), None, "not a signal: the address has no country")
        return
    remark = "" if client == parse_address(signals.peer) else f"from {headers.FORWARDED_FOR}"
    yield case.of_country(Signal.ADDRESS, f"{country} {shorten(client)}", country, remark)


def _default(case: _Case) -> Iterator[Seen]:
    region = case.atlas.default
    yield case.naming(Signal.DEFAULT, region.name, region)


def _name(region: RegionSpec | None) -> RegionName | None:
    return None if region is None else region.name


def _shown_header(text: str) -> str:
    # Anyone may send the header, with anything in it: show what looks like a country code and nothing else.
    code = text.strip().upper()
    return code if len(code) == 2 and code.isascii() and code.isalnum() else "?"


def _shown_forwarded(nearest: IPAddress | None) -> str:
    return f"{headers.FORWARDED_FOR} {shorten(nearest) if nearest else '?'}"
