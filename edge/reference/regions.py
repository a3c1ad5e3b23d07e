"""What reference data need to know of a region: facts of the shard map as the edge's own frozen values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Zone:
    """A ring around the hub: up to `up_to_km` (None: everything beyond) a delivery costs `fee`. Decimal strings."""

    up_to_km: str | None
    fee: str


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """One region. `names` maps language to display name; `countries` are ISO 3166-1 alpha-2; `hub` is (lat, lng).

    `gateway` is the base URL of the region's own gateway; `residency` names the regions whose gateways may answer for
    it when its own is away.
    """

    name: str
    countries: tuple[str, ...]
    names: Mapping[str, str]
    currency: str
    minor_unit: int
    time_zone: str
    hub: tuple[float, float]
    zones: tuple[Zone, ...]
    residency: tuple[str, ...] = ()
    gateway: str | None = None


def to_json(facts: RegionFacts) -> dict[str, Any]:
    """The facts as plain JSON values; `from_json` reads them."""
    return asdict(facts) | {"names": dict(facts.names)}


def from_json(data: Mapping[str, Any]) -> RegionFacts:
    """The facts that `to_json` wrote. Raises KeyError or TypeError for anything else."""
    lat, lng = data["hub"]
    return RegionFacts(
        name=data["name"],
        countries=tuple(data["countries"]),
        names=dict(data["names"]),
        currency=data["currency"],
        minor_unit=data["minor_unit"],
        time_zone=data["time_zone"],
        hub=(lat, lng),
        zones=tuple(Zone(zone["up_to_km"], zone["fee"]) for zone in data["zones"]),
        residency=tuple(data["residency"]),
        gateway=data["gateway"],
    )
