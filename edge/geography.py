"""From a country to a region and its gateways, by a table made from the shard map. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge.reference.regions import RegionFacts, from_json, to_json

_NO_COUNTRIES: Final = frozenset({"AA", "AP", "EU", "XX", "ZZ"})
"""Two letters that edges and registries write for what is no country (ISO 3166-1 assigns none of them)."""

By = Literal["explicit", "country", "default"]


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """What the edges know of the shard map. `unlisted`: where a country goes that no region lists."""

    default_region: str
    unlisted: Literal["default", "refuse"]
    regions: Mapping[str, RegionFacts]
    by_country: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Located:
    """The region of a request and what decided it. `is_refused`: no region serves the country, and the map says 421."""

    region: str
    by: By
    country: str | None
    is_refused: bool = False


def region_of(table: EdgeTable, x_region: str | None, country: str | None) -> Located:
    """The region of a request: an explicit one of the table, else the country's, else the default region.

    An explicit region that is not in the table decides nothing: the gateway refuses it. `country` is what the platform
    says of the client, in any case; `XX`, `T1`, empty and the like count as unknown.
    """
    known = known_country(country)
    if x_region is not None and x_region in table.regions:
        return Located(x_region, "explicit", known)
    if known is None:
        return Located(table.default_region, "default", None)
    region = table.by_country.get(known)
    if region is not None:
        return Located(region, "country", known)
    return Located(table.default_region, "country", known, is_refused=table.unlisted == "refuse")


def known_country(text: str | None) -> str | None:
    """The two letters of a country, in capitals; None for everything that only looks like one."""
    country = (text or "").strip().upper()
    if len(country) != 2 or not (country.isascii() and country.isalpha()) or country in _NO_COUNTRIES:
        return None
    return country


def gateways_of(table: EdgeTable, region: str) -> tuple[str, ...]:
    """The gateways that may answer for a region, in order: its own, then those of its residency; never any other."""
    names = (region, *table.regions[region].residency)
    found = (table.regions[name].gateway for name in names if name in table.regions)
    return tuple(dict.fromkeys(gateway for gateway in found if gateway))


def table_of(
    regions: Sequence[RegionFacts], *, default_region: str, unlisted: Literal["default", "refuse"]
) -> EdgeTable:
    """The table of these regions. Raises ValueError if the default region is not among them."""
    by_name = {region.name: region for region in regions}
    if default_region not in by_name:
        raise ValueError(f"the default region {default_region} is not among the regions")
    by_country = {country: region.name for region in regions for country in region.countries}
    return EdgeTable(default_region, unlisted, by_name, by_country)


def table_to_json(table: EdgeTable) -> dict[str, Any]:
    """The table as plain JSON values; `table_from_json` reads them."""
    return {
        "default_region": table.default_region,
        "unlisted_countries": table.unlisted,
        "regions": [to_json(region) for region in table.regions.values()],
    }


def table_from_json(data: Mapping[str, Any]) -> EdgeTable:
    """The table that `table_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    unlisted: Literal["default", "refuse"] = "refuse" if data["unlisted_countries"] == "refuse" else "default"
    regions = [from_json(region) for region in data["regions"]]
    return table_of(regions, default_region=data["default_region"], unlisted=unlisted)
