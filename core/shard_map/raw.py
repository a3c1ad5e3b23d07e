"""The raw config: what a map file says, value by value, each with its place. Its fields are the file's keys.

A value is None if the key is absent or its fault was recorded. `build` makes the checked form of it.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from core.shard_map.faults import At, Place
from core.shard_map.model import Address, Secret

NOT_A_KEY: Final = {"key": False}


def required(example: str) -> dict[str, str]:
    """Marks a key that must be there; `example` is shown to whoever forgot it."""
    return {"example": example}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawShard:
    id: At[str] = field(metadata=NOT_A_KEY)
    weight: At[int] | None = field(metadata=required("1"))
    primary: At[Address] | None = field(metadata=required("10.0.0.5:5432"))
    replicas: tuple[At[Address | None], ...] | None = None
    database: At[str] | None = field(metadata=required("qscrap_db"))
    user: At[str] | None = field(metadata=required("postgres"))
    password: At[Secret] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPhone:
    country: At[str] | None = field(metadata=required("QA"))
    accept: At[Literal["region", "any"]] | None = field(metadata=required("any"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHub:
    lat: At[float] | None = field(metadata=required("25.2854"))
    lng: At[float] | None = field(metadata=required("51.5310"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawZone:
    place: Place = field(metadata=NOT_A_KEY)
    endless: bool = field(metadata=NOT_A_KEY)
    up_to_km: At[Decimal] | None = None
    fee: At[Decimal] | None = field(metadata=required('"10.00"'))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSessions:
    redis_url: At[Secret | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawStorage:
    kind: At[Literal["S3", "Azure", "Local"] | None] | None = None
    bucket: At[str | None] | None = None
    endpoint: At[str | None] | None = None
    folder: At[str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRegion:
    id: At[str] = field(metadata=NOT_A_KEY)
    code: At[int] | None = field(metadata=required("1"))
    name: tuple[tuple[str, At[str] | None], ...] | None = field(metadata=required("{en: Qatar, ar: قطر}"))
    countries: tuple[At[str], ...] | None = field(metadata=required("[QA]"))
    currency: At[str] | None = field(metadata=required("QAR"))
    minor_unit: At[int] | None = field(metadata=required("2"))
    time_zone: At[str] | None = field(metadata=required("Asia/Qatar"))
    phone: RawPhone | None = field(metadata=required("{country: QA, accept: any}"))
    hub: RawHub | None = field(metadata=required("{lat: 25.2854, lng: 51.5310}"))
    delivery_zones: tuple[RawZone, ...] | None = field(metadata=required('[{fee: "20.00"}]'))
    order_prefix: At[str] | None = field(metadata=required("QA"))
    gateway: At[str | None] | None = None
    residency: tuple[At[str], ...] | None = None
    sessions: RawSessions | None = None
    storage: RawStorage | None = None
    shards: tuple[RawShard, ...] | None = field(metadata=required("{qa-1: {weight: 1, ...}}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMap:
    version: At[int] | None = field(metadata=required("1"))
    default_region: At[str] | None = field(metadata=required("qa"))
    unlisted_countries: At[Literal["default", "refuse"]] | None = None
    regions: tuple[RawRegion, ...] | None = field(metadata=required("{qa: {code: 1, ...}}"))
