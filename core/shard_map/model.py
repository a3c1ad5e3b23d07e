"""The checked shard map: frozen values that the rest of the program believes without asking again."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NewType

RegionName = NewType("RegionName", str)
ShardName = NewType("ShardName", str)


@dataclass(frozen=True, slots=True)
class Address:
    """Where one PostgreSQL server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """One PostgreSQL cluster: who should be its primary, who its replicas, and how to log in.

    `primary` and `replicas` are where to look; the role of each node is observed, never believed.
    `weight` (1..100) is its integer share of the region's buckets. The password never shows in a repr.
    """

    name: ShardName
    weight: int
    primary: Address
    replicas: tuple[Address, ...]
    database: str
    user: str
    password: "Secret"

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (self.primary, *self.replicas)


class Secret(str):
    """A string that shows as `***`, so that a map can be printed, logged and compared."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def reveal(self) -> str:
        """The plain value, for the one place that logs in with it."""
        return str.__str__(self)


@dataclass(frozen=True, slots=True)
class PhoneRule:
    """How phone numbers are read at registration and login.

    `country` completes numbers written without a country code. `accept` is `region` (only numbers of the region's
    own countries) or `any`.
    """

    country: str
    accept: Literal["region", "any"]


@dataclass(frozen=True, slots=True)
class Hub:
    """The point that delivery distances are measured from, in degrees (WGS 84)."""

    lat: float
    lng: float


@dataclass(frozen=True, slots=True)
class DeliveryZone:
    """A ring around the hub: up to `up_to_km` (None: everything beyond) costs `fee` in the region's currency."""

    up_to_km: Decimal | None
    fee: Decimal


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The region's session store: a Redis URL, or None for the process's own (REDIS_URL, else memory)."""

    redis_url: Secret | None


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The region's file store; None means the one named by the environment (S3, Azure, else local files)."""

    kind: Literal["S3", "Azure", "Local"] | None
    bucket: str | None
    endpoint: str | None
    folder: str | None


@dataclass(frozen=True, slots=True)
class RegionSpec:
    """A geography with its own data, sessions and files. `code` (1..255) is permanent: ids carry it.

    `name` is the short key (`qa`); `title` maps language to display name. `countries` are ISO 3166-1 alpha-2.
    `minor_unit` is the number of decimals of `currency` (ISO 4217). `residency` names the regions whose gateways
    and edges may serve this one when its own are away; its data never leaves it. Shards are in the map's order.
    `gateway` is where the edges find the region's own gateways: scheme, host and port, nothing else.
    """

    name: RegionName
    code: int
    title: Mapping[str, str]
    countries: tuple[str, ...]
    currency: str
    minor_unit: int
    time_zone: str
    phone: PhoneRule
    hub: Hub
    delivery_zones: tuple[DeliveryZone, ...]
    order_prefix: str
    residency: tuple[RegionName, ...]
    sessions: SessionSettings
    storage: StorageSettings
    shards: tuple[ShardSpec, ...]
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class ShardMap:
    """The whole map. `file` and `digest` (SHA-256 of the text, hex) say where it came from.

    `unlisted_countries`: a country no region lists goes to the default region, or is refused.
    """

    version: int
    default_region: RegionName
    unlisted_countries: Literal["default", "refuse"]
    regions: tuple[RegionSpec, ...]
    file: str
    digest: str

    def region(self, name: str) -> RegionSpec | None:
        """The region of that name, or None."""
        return next((region for region in self.regions if region.name == name), None)

    def region_of_country(self, country: str) -> RegionSpec | None:
        """The region that lists that ISO 3166-1 alpha-2 code, or None."""
        return next((region for region in self.regions if country in region.countries), None)

    def region_of_code(self, code: int) -> RegionSpec | None:
        """The region with that permanent number, or None."""
        return next((region for region in self.regions if region.code == code), None)
