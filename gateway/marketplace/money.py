"""Money: decimal strings beside a currency, in the currency's minor unit; rounding is half up, in SQL and here."""

import re
from decimal import ROUND_HALF_UP, Decimal
from math import asin, cos, radians, sin, sqrt
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from core.errors import FieldError, Invalid
from core.shard_map.model import RegionSpec

AMOUNT_MAX: Final = 1_000_000
_PATTERN: Final = r"^[0-9]{1,7}(\.[0-9]{1,3})?$"
_EARTH_KM: Final = 6371.0088  # the mean radius (IUGG)


def _within_bounds(text: str) -> str:
    if not re.fullmatch(_PATTERN.strip("^$"), text):
        raise ValueError('must be a decimal number in a string, like "120.50"')
    if not 0 < Decimal(text) <= AMOUNT_MAX:
        raise ValueError(f"must be more than 0 and at most {AMOUNT_MAX}")
    return text


Amount = Annotated[
    str,
    Field(
        description=f"More than 0 and at most {AMOUNT_MAX}, with no more decimals than the currency has.",
        json_schema_extra={"pattern": _PATTERN},
        examples=["120.50"],
    ),
    AfterValidator(_within_bounds),
]
"""An amount in a body: a decimal string. `exact` makes of it what is stored."""

Money = Annotated[str, Field(examples=["120.50"])]
"""An amount in an answer: a decimal string with all digits of the currency's minor unit."""


def exact(amount: str, region: RegionSpec, *, field: str) -> Decimal:
    """An `Amount` as it is stored. Raises Invalid when it has more decimals than the region's currency."""
    value, unit = Decimal(amount), Decimal(1).scaleb(-region.minor_unit)
    stored = value.quantize(unit, ROUND_HALF_UP)
    if stored != value:
        raise Invalid([FieldError(field, f"{region.currency} has {region.minor_unit} decimals")])
    return stored


def shown(column: str, minor_unit: str) -> str:
    """SQL of an amount as an answer shows it: text with all decimals of its minor unit."""
    return f"round({column}, {minor_unit})::text"


def delivery_fee(region: RegionSpec, lat: float, lng: float) -> Decimal:
    """What delivery to a point (degrees) costs: by its distance from the region's hub, in the region's currency."""
    distance = Decimal(distance_km(region.hub.lat, region.hub.lng, lat, lng))
    zone = next(z for z in region.delivery_zones if z.up_to_km is None or distance <= z.up_to_km)
    return zone.fee.quantize(Decimal(1).scaleb(-region.minor_unit), ROUND_HALF_UP)


def distance_km(lat1: float, lng1: float, lat2: float, lng2: float) -> float:
    """The distance of two points (degrees) along a great circle, by the haversine formula."""
    half_lat, half_lng = radians(lat2 - lat1) / 2, radians(lng2 - lng1) / 2
    chord = sin(half_lat) ** 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(half_lng) ** 2
    return 2 * _EARTH_KM * asin(sqrt(min(1.0, chord)))
