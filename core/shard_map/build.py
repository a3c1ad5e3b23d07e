"""The raw config of a file without faults becomes the frozen ShardMap."""

from types import MappingProxyType
from typing import TypeVar

from core.shard_map.faults import At
from core.shard_map.model import (
    DeliveryZone,
    Hub,
    PhoneRule,
    RegionName,
    RegionSpec,
    Secret,
    SessionSettings,
    ShardMap,
    ShardName,
    ShardSpec,
    StorageSettings,
)
from core.shard_map.raw import RawHub, RawMap, RawPhone, RawRegion, RawSessions, RawShard, RawStorage, RawZone

T = TypeVar("T")


def build_map(raw: RawMap, *, file: str, digest: str) -> ShardMap:
    """The checked form. Only for a raw config that was read and related without a single fault."""
    return ShardMap(
        version=_sure(raw.version).value,
        default_region=RegionName(_sure(raw.default_region).value),
        unlisted_countries=_value(raw.unlisted_countries, "default"),
        regions=tuple(_region(region) for region in _sure(raw.regions)),
        file=file,
        digest=digest,
    )


def _region(raw: RawRegion) -> RegionSpec:
    return RegionSpec(
        name=RegionName(raw.id.value),
        code=_sure(raw.code).value,
        title=MappingProxyType({language: _sure(title).value for language, title in _sure(raw.name)}),
        countries=tuple(country.value for country in _sure(raw.countries)),
        currency=_sure(raw.currency).value,
        minor_unit=_sure(raw.minor_unit).value,
        time_zone=_sure(raw.time_zone).value,
        phone=_phone(_sure(raw.phone)),
        hub=_hub(_sure(raw.hub)),
        delivery_zones=tuple(_zone(zone) for zone in _sure(raw.delivery_zones)),
        order_prefix=_sure(raw.order_prefix).value,
        residency=tuple(RegionName(name.value) for name in raw.residency or ()),
        sessions=_sessions(raw.sessions or RawSessions()),
        storage=_storage(raw.storage or RawStorage()),
        shards=tuple(_shard(shard) for shard in _sure(raw.shards)),
        gateway=_value(raw.gateway, None),
    )


def _shard(raw: RawShard) -> ShardSpec:
    return ShardSpec(
        name=ShardName(raw.id.value),
        weight=_sure(raw.weight).value,
        primary=_sure(raw.primary).value,
        replicas=tuple(replica.value for replica in raw.replicas or () if replica.value is not None),
        database=_sure(raw.database).value,
        user=_sure(raw.user).value,
        password=_value(raw.password, Secret("")),
    )


def _phone(raw: RawPhone) -> PhoneRule:
    return PhoneRule(country=_sure(raw.country).value, accept=_sure(raw.accept).value)


def _hub(raw: RawHub) -> Hub:
    return Hub(lat=_sure(raw.lat).value, lng=_sure(raw.lng).value)


def _zone(raw: RawZone) -> DeliveryZone:
    return DeliveryZone(up_to_km=raw.up_to_km.value if raw.up_to_km else None, fee=_sure(raw.fee).value)


def _sessions(raw: RawSessions) -> SessionSettings:
    return SessionSettings(redis_url=_value(raw.redis_url, None))


def _storage(raw: RawStorage) -> StorageSettings:
    return StorageSettings(
        kind=_value(raw.kind, None),
        bucket=_value(raw.bucket, None),
        endpoint=_value(raw.endpoint, None),
        folder=_value(raw.folder, None),
    )


def _value(written: At[T] | None, otherwise: T) -> T:
    return written.value if written is not None else otherwise


def _sure(written: T | None) -> T:
    assert written is not None, "a required key is absent, yet no fault was recorded"
    return written
