"""The guide's single server as a map of its own: what runs when there is no shard_map.yaml."""

from decimal import Decimal
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from core.shard_map.model import (
    Address,
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

QATAR: Final = RegionName("qa")
SOURCE: Final = "(single server)"


def single_server(
    *,
    host: str,
    port: int,
    database: str,
    user: str,
    password: str,
    replica: Address | None = None,
    redis_url: str | None = None,
) -> ShardMap:
    """One region `qa` (code 1) with one shard `qa-1`, home to every country.

    `host` is taken as it is: libpq also allows the folder of a socket. A replica that is the primary itself is left
    out. The region's profile is the one of `qa` in the shipped shard_map.yaml (a test compares them), so going from
    the one to the other moves no bucket and changes no id.
    """
    primary = Address(host, port)
    replicas = (replica,) if replica is not None and replica != primary else ()
    shard = ShardSpec(ShardName("qa-1"), 1, primary, replicas, database, user, Secret(password))
    public = repr((primary, replicas, database, user))
    return ShardMap(
        version=1,
        default_region=QATAR,
        unlisted_countries="default",
        regions=(_qatar(shard, redis_url),),
        file=SOURCE,
        digest=sha256(public.encode()).hexdigest(),
    )


def _qatar(shard: ShardSpec, redis_url: str | None) -> RegionSpec:
    return RegionSpec(
        name=QATAR,
        code=1,
        title=MappingProxyType({"en": "Qatar", "ar": "قطر"}),
        countries=("QA",),
        currency="QAR",
        minor_unit=2,
        time_zone="Asia/Qatar",
        phone=PhoneRule(country="QA", accept="any"),
        hub=Hub(lat=25.2854, lng=51.5310),
        delivery_zones=(
            DeliveryZone(Decimal(5), Decimal("10.00")),
            DeliveryZone(Decimal(10), Decimal("15.00")),
            DeliveryZone(None, Decimal("20.00")),
        ),
        order_prefix="QA",
        residency=(),
        sessions=SessionSettings(redis_url=Secret(redis_url) if redis_url else None),
        storage=StorageSettings(kind=None, bucket=None, endpoint=None, folder=None),
        shards=(shard,),
    )
