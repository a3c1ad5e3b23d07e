"""The decision itself: the first signal that names a region wins, and nothing after it is evaluated."""

from core.errors import Malformed
from core.ids import placement_of
from core.shard_map.model import RegionSpec, ShardMap
from gateway.geography import headers
from gateway.geography.address import CountryOf, IPAddress, assigned_country
from gateway.geography.atlas import Atlas
from gateway.geography.country import country_named
from gateway.geography.decision import Decision, Seen, Signal, Signals
from gateway.geography.explain import explain
from gateway.geography.forwarded import client_of
from gateway.geography.phone import origin_of_phone, warm_up
from gateway.geography.trust import TrustedProxies


class Geography:
    """Decides regions by one shard map and one set of trusted proxies; a changed map means a new Geography.

    `country_of` looks an address up offline (the registries' data unless an operator's file takes its place).
    """

    __slots__ = ("_atlas", "_country_of", "_regions", "_trusted")

    def __init__(
        self, shard_map: ShardMap, *, trusted: TrustedProxies, country_of: CountryOf = assigned_country
    ) -> None:
        warm_up()
        self._atlas = Atlas(shard_map)
        self._regions = self._atlas.by_code
        self._trusted = trusted
        self._country_of = country_of

    def decide(self, signals: Signals) -> Decision:
        """The region of a request, by the first of its signals that names one.

        Raises Malformed for an unknown X-Region whatever else decides, NotFound for an id of no region on the map,
        RegionUnavailable for a country that no region serves or a user whose home is not on the map.
        """
        chosen = self._chosen(signals.explicit) if signals.explicit else None
        if signals.id is not None:
            code, bucket = placement_of(signals.id)
            region = self._regions.get(code) or self._atlas.of_id(code)
            return Decision(region, bucket, Signal.ID, signals)
        if signals.user is not None:
            code, bucket = signals.user
            region = self._regions.get(code) or self._atlas.of_user(code)
            return Decision(region, bucket, Signal.USER, signals)
        if chosen is not None:
            return Decision(chosen, None, Signal.EXPLICIT, signals)
        return self._by_country(signals)

    def client_of(self, signals: Signals) -> IPAddress | None:
        """The address of the client that sent a request, as far as its proxies are trusted to say it."""
        if signals.signed is not None and signals.signed.client is not None:
            return signals.signed.client
        return client_of(signals.peer, signals.forwarded_for, self._trusted)

    def explain(self, decision: Decision) -> tuple[Seen, ...]:
        """Every signal the request had, in order: what it says, which one decided, which were ignored and why.

        Made for people and computed only here: it costs many times what `decide` does. Shows nothing private.
        """
        return explain(decision, atlas=self._atlas, trusted=self._trusted, country_of=self._country_of)

    def _chosen(self, name: str) -> RegionSpec:
        region = self._atlas.by_name.get(name)
        if region is None:
            known = ", ".join(self._atlas.by_name)
            raise Malformed(f"{headers.REGION} names no region of this service: it knows {known}")
        return region

    def _by_country(self, signals: Signals) -> Decision:
        by, country = self._country(signals)
        region = self._atlas.default if country is None else self._atlas.of_country(country)
        return Decision(region, None, by, signals)

    def _country(self, signals: Signals) -> tuple[Signal, str | None]:
        if signals.phone is not None and (country := origin_of_phone(signals.phone).country):
            return Signal.PHONE, country
        if signals.signed is not None:
            # The peer is the edge: its address says nothing of the client.
            known = country_named(signals.signed.country)
            return (Signal.COUNTRY, known) if known else (Signal.DEFAULT, None)
        if (
            signals.country is not None
            and (country := country_named(signals.country))
            and self._trusted.contains(signals.peer)
        ):
            return Signal.COUNTRY, country
        client = client_of(signals.peer, signals.forwarded_for, self._trusted)
        if client is not None and (country := self._country_of(client)):
            return Signal.ADDRESS, country
        return Signal.DEFAULT, None
