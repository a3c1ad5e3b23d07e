"""The map file's JSON Schema (draft 2020-12), so that an editor completes and explains it.

It accepts everything the checker accepts. The checker is stricter: it also knows which countries and time zones exist
and how values must agree with each other.
"""

from typing import Any, Final

from core.limits import REGION_CODE_MAX, REGIONS_MAX, REPLICAS_PER_SHARD_MAX, SHARD_WEIGHT_MAX, SHARDS_PER_REGION_MAX
from core.shard_map.currencies import MINOR_UNITS
from core.shard_map.fields import keys_of
from core.shard_map.raw import RawHub, RawMap, RawPhone, RawRegion, RawSessions, RawShard, RawStorage, RawZone
from core.shard_map.reading import LIST_MAX, MINOR_UNIT_MAX, VERSION_MAX
from core.shard_map.values import LANGUAGE_SHAPE, NAME_CHARS_MAX, NAME_SHAPE, ORDER_PREFIX_SHAPE

_Schema = dict[str, Any]

_VARIABLE: Final[_Schema] = {"$ref": "#/$defs/variable"}
_TEXT: Final[_Schema] = {"type": "string"}
_FILLED: Final[_Schema] = {"type": "string", "pattern": r"\S"}


def json_schema() -> _Schema:
    """The schema as a new JSON-ready dict; docs/shard_map.schema.json is its committed copy."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Meridian shard map",
        **_mapping(RawMap, _MAP),
        "$defs": {
            "variable": {
                "type": "string",
                "pattern": r"\$\{",
                "description": "${NAME} or ${NAME:-default}, from the environment; a plain ${ is written $${",
            },
            "region": _mapping(RawRegion, _REGION),
            "shard": _mapping(RawShard, _SHARD),
        },
    }


def _mapping(shape: type, properties: dict[str, _Schema]) -> _Schema:
    keys = keys_of(shape)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key for key, example in keys.items() if example is not None],
        "properties": {key: properties[key] for key in keys},
    }


def _one(schema: _Schema, description: str) -> _Schema:
    return {"description": description, "anyOf": [schema, _VARIABLE]}


def _many(item: _Schema, description: str, *, at_least: int = 0, at_most: int = LIST_MAX) -> _Schema:
    return {"description": description, "type": "array", "items": item, "minItems": at_least, "maxItems": at_most}


def _named(item: _Schema, description: str, *, shape: str = NAME_SHAPE, at_most: int = LIST_MAX) -> _Schema:
    return {
        "description": description,
        "type": "object",
        "propertyNames": {"pattern": f"^{shape}$", "maxLength": NAME_CHARS_MAX},
        "additionalProperties": item,
        "minProperties": 1,
        "maxProperties": at_most,
    }


def _whole(lowest: int, highest: int) -> _Schema:
    return {"type": "integer", "minimum": lowest, "maximum": highest}


def _number(**bounds: float) -> _Schema:
    return {"type": "number", **bounds}


_COUNTRY: Final = _one({"type": "string", "pattern": "^[A-Z]{2}$"}, "ISO 3166-1 alpha-2 code")

_MAP: Final[dict[str, _Schema]] = {
    "version": _one(_whole(1, VERSION_MAX), "Yours: raise it with every change; /health shows it"),
    "default_region": _one(_FILLED, "The region of users of whom nothing is known"),
    "unlisted_countries": _one(
        {"enum": ["default", "refuse"]}, "A country no region lists: to the default region (default), or refused (421)"
    ),
    "regions": _named({"$ref": "#/$defs/region"}, "The regions, by name", at_most=REGIONS_MAX),
}

_ZONE: Final = _mapping(
    RawZone,
    {
        "up_to_km": _one(_number(exclusiveMinimum=0), "Outer edge, kilometres from the hub; the last zone has none"),
        "fee": _one(
            {"anyOf": [_number(minimum=0), {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}]},
            "What delivery costs, in the region's currency",
        ),
    },
)

_REGION: Final[dict[str, _Schema]] = {
    "code": _one(_whole(1, REGION_CODE_MAX), "PERMANENT number: every id carries it"),
    "name": _named(_one(_FILLED, "Display name"), "Display names by language", shape=LANGUAGE_SHAPE),
    "countries": _many(_COUNTRY, "The countries it serves; each in one region only", at_least=1),
    "currency": _one({"enum": sorted(MINOR_UNITS)}, "ISO 4217 code"),
    "minor_unit": _one(_whole(0, MINOR_UNIT_MAX), "Decimals of the currency (ISO 4217)"),
    "time_zone": _one(_FILLED, "IANA name, such as Asia/Qatar"),
    "phone": {
        "description": "How phone numbers are read",
        **_mapping(
            RawPhone,
            {
                "country": _COUNTRY,
                "accept": _one({"enum": ["region", "any"]}, "Numbers of the region's own countries only, or any"),
            },
        ),
    },
    "hub": {
        "description": "Where delivery distances are measured from",
        **_mapping(
            RawHub,
            {
                "lat": _one(_number(minimum=-90, maximum=90), "Degrees north"),
                "lng": _one(_number(minimum=-180, maximum=180), "Degrees east"),
            },
        ),
    },
    "delivery_zones": _many(_ZONE, "From near to far; the last one is open-ended", at_least=1),
    "order_prefix": _one(
        {"type": "string", "pattern": f"^{ORDER_PREFIX_SHAPE}$"}, "In front of its order numbers; unique"
    ),
    "gateway": _one(_TEXT, "Where the edges find its gateways: scheme, host and port; empty: nowhere"),
    "residency": _many(
        _one(_FILLED, "A region"), "Regions whose gateways may serve this one; its data never leaves it"
    ),
    "sessions": {
        "description": "Its session store",
        **_mapping(RawSessions, {"redis_url": _one(_TEXT, "redis:// or rediss://; empty: the process's own")}),
    },
    "storage": {
        "description": "Its file store; empty: as the environment says",
        **_mapping(
            RawStorage,
            {
                "kind": _one({"enum": ["S3", "Azure", "Local", ""]}, "S3, Azure or Local"),
                "bucket": _one(_TEXT, "Bucket (S3) or container (Azure)"),
                "endpoint": _one(_TEXT, "http or https URL of the service"),
                "folder": _one(_TEXT, "Folder of local files"),
            },
        ),
    },
    "shards": _named({"$ref": "#/$defs/shard"}, "Its PostgreSQL clusters, by name", at_most=SHARDS_PER_REGION_MAX),
}

_ADDRESS: Final[_Schema] = {"type": "string", "pattern": r"^(\[.+\]|[^:]+):[1-9][0-9]{0,4}$"}
_SHARD: Final[dict[str, _Schema]] = {
    "weight": _one(_whole(1, SHARD_WEIGHT_MAX), "Its share of the region's buckets; changing it moves buckets"),
    "primary": _one(_ADDRESS, "host:port; IPv6 as [::1]:5432"),
    "replicas": _many(
        {"anyOf": [_ADDRESS, {"const": ""}, _VARIABLE]}, "host:port each; empty: none", at_most=REPLICAS_PER_SHARD_MAX
    ),
    "database": _one(_FILLED, "Database name"),
    "user": _one(_FILLED, "Login role"),
    "password": _one(_TEXT, "Its password: use a variable"),
}
