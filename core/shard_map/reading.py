"""The tree of a map file becomes the raw config, key by key."""

from collections.abc import Callable
from typing import TypeVar

from core.limits import REGION_CODE_MAX, REGIONS_MAX, REPLICAS_PER_SHARD_MAX, SHARD_WEIGHT_MAX, SHARDS_PER_REGION_MAX
from core.shard_map import values
from core.shard_map.faults import At, Faults
from core.shard_map.fields import Fields, read_scalar
from core.shard_map.raw import RawHub, RawMap, RawPhone, RawRegion, RawSessions, RawShard, RawStorage, RawZone
from core.shard_map.tree import Entry, Node, Scalar

R = TypeVar("R")

VERSION_MAX = 2**31 - 1
MINOR_UNIT_MAX = 4
LIST_MAX = 1000
_NOT_EMPTY = range(1, LIST_MAX + 1)


def read_map(root: Node, faults: Faults) -> RawMap:
    """Every value of the map that can be read; `faults` gets the rest."""
    top = Fields(root, RawMap, faults)
    regions = top.entries("regions", size=range(1, REGIONS_MAX + 1))
    return RawMap(
        version=top.one("version", values.whole(1, VERSION_MAX)),
        default_region=top.one("default_region", values.filled),
        unlisted_countries=top.one("unlisted_countries", values.one_of("default", "refuse")),
        regions=_each(regions, _region, faults),
    )


def _region(entry: Entry, faults: Faults) -> RawRegion:
    _check_key(entry, values.region_name, faults)
    region = Fields(entry.value, RawRegion, faults, place=entry.place)
    shards = region.entries("shards", size=range(1, SHARDS_PER_REGION_MAX + 1))
    return RawRegion(
        id=At(entry.key, entry.place),
        code=region.one("code", values.whole(1, REGION_CODE_MAX)),
        name=_each(region.entries("name", size=_NOT_EMPTY), _title, faults),
        countries=region.many("countries", values.country, size=_NOT_EMPTY),
        currency=region.one("currency", values.currency),
        minor_unit=region.one("minor_unit", values.whole(0, MINOR_UNIT_MAX)),
        time_zone=region.one("time_zone", values.time_zone),
        phone=_phone(region.inner("phone", RawPhone)),
        hub=_hub(region.inner("hub", RawHub)),
        delivery_zones=_zones(region.nodes("delivery_zones", size=_NOT_EMPTY), faults),
        order_prefix=region.one("order_prefix", values.order_prefix),
        gateway=region.one("gateway", values.gateway_url),
        residency=region.many("residency", values.filled, size=range(LIST_MAX + 1)),
        sessions=_sessions(region.inner("sessions", RawSessions)),
        storage=_storage(region.inner("storage", RawStorage)),
        shards=_each(shards, _shard, faults),
    )


def _shard(entry: Entry, faults: Faults) -> RawShard:
    _check_key(entry, values.shard_name, faults)
    shard = Fields(entry.value, RawShard, faults, place=entry.place)
    return RawShard(
        id=At(entry.key, entry.place),
        weight=shard.one("weight", values.whole(1, SHARD_WEIGHT_MAX)),
        primary=shard.one("primary", values.address),
        replicas=shard.many("replicas", values.optional_address, size=range(REPLICAS_PER_SHARD_MAX + 1)),
        database=shard.one("database", values.filled),
        user=shard.one("user", values.filled),
        password=shard.one("password", values.secret),
    )


def _title(entry: Entry, faults: Faults) -> tuple[str, At[str] | None]:
    _check_key(entry, values.language, faults)
    return entry.key, read_scalar(entry.value, values.filled, faults)


def _phone(phone: Fields | None) -> RawPhone | None:
    if phone is None:
        return None
    country = phone.one("country", values.country)
    return RawPhone(country=country, accept=phone.one("accept", values.one_of("region", "any")))


def _hub(hub: Fields | None) -> RawHub | None:
    if hub is None:
        return None
    return RawHub(lat=hub.one("lat", values.degrees(90)), lng=hub.one("lng", values.degrees(180)))


def _zones(nodes: tuple[Node, ...] | None, faults: Faults) -> tuple[RawZone, ...] | None:
    if nodes is None:
        return None
    return tuple(_zone(Fields(node, RawZone, faults)) for node in nodes)


def _zone(zone: Fields) -> RawZone:
    return RawZone(
        place=zone.place,
        endless=not zone.has("up_to_km"),
        up_to_km=zone.one("up_to_km", values.distance),
        fee=zone.one("fee", values.fee),
    )


def _sessions(sessions: Fields | None) -> RawSessions | None:
    return RawSessions(redis_url=sessions.one("redis_url", values.redis_url)) if sessions else None


def _storage(storage: Fields | None) -> RawStorage | None:
    if storage is None:
        return None
    return RawStorage(
        kind=storage.one("kind", values.storage_kind) if storage.has("kind") else At(None, storage.place),
        bucket=storage.one("bucket", values.optional_text),
        endpoint=storage.one("endpoint", values.http_url),
        folder=storage.one("folder", values.optional_text),
    )


def _each(
    entries: tuple[Entry, ...] | None, read: Callable[[Entry, Faults], R], faults: Faults
) -> tuple[R, ...] | None:
    return None if entries is None else tuple(read(entry, faults) for entry in entries)


def _check_key(entry: Entry, convert: Callable[[Scalar], str], faults: Faults) -> None:
    read_scalar(Scalar(entry.place, entry.key, "text"), convert, faults)
