"""The shard map: YAML in, a checked and frozen ShardMap out; the ring that says where buckets should live. Pure."""

from core.shard_map.difference import Difference, differences
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
from core.shard_map.parsing import load, parse
from core.shard_map.ring import ring_table
from core.shard_map.schema import json_schema
from core.shard_map.single import single_server

__all__ = [
    "Address",
    "DeliveryZone",
    "Difference",
    "Hub",
    "PhoneRule",
    "RegionName",
    "RegionSpec",
    "Secret",
    "SessionSettings",
    "ShardMap",
    "ShardName",
    "ShardSpec",
    "StorageSettings",
    "differences",
    "json_schema",
    "load",
    "parse",
    "ring_table",
    "single_server",
]
