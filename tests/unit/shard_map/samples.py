"""A good map, and a way to spoil it that says where the fault must be reported."""

from core.errors import MapFault, MapRefused
from core.shard_map import ShardMap, parse

FILE = "shard_map.yaml"
ENVIRONMENT = {"SA_PASSWORD": "s3cret", "PORT_OF_SA_1": "5511", "WEIGHT": "2"}
HERE = "▸"

GOOD = """\
version: 1
default_region: qa
unlisted_countries: default
regions:
  qa:
    code: 1
    name: {en: Qatar, ar: قطر}
    countries: [QA]
    currency: QAR
    minor_unit: 2
    time_zone: Asia/Qatar
    phone: {country: QA, accept: any}
    hub: {lat: 25.2854, lng: 51.5310}
    delivery_zones: [{up_to_km: 5, fee: "10.00"}, {up_to_km: 10, fee: "15.00"}, {fee: "20.00"}]
    order_prefix: QA
    shards:
      qa-1:
        weight: 1
        primary: 10.0.0.1:5432
        replicas: [10.0.0.2:5432]
        database: shop
        user: app
  sa:
    code: 2
    name: {en: Saudi Arabia}
    countries: [SA]
    currency: SAR
    minor_unit: 2
    time_zone: Asia/Riyadh
    phone: {country: SA, accept: region}
    hub: {lat: 24.7136, lng: 46.6753}
    delivery_zones:
      - {fee: 20}
    order_prefix: SA
    residency: [qa]
    sessions: {redis_url: "redis://:hidden@10.0.0.9:6379/0"}
    storage: {kind: S3, bucket: files}
    shards:
      sa-1:
        weight: ${WEIGHT}
        primary: "10.0.1.1:${PORT_OF_SA_1}"
        database: shop
        user: app
        password: "${SA_PASSWORD}"
      sa-2:
        weight: 1
        primary: "[2001:db8::1]:5432"
        replicas: ["${SA_2_REPLICA:-}"]
        database: ${DB_NAME:-shop}
        user: app
"""

Edit = tuple[str, str]


def read(text: str | bytes, environment: dict[str, str] | None = None) -> ShardMap:
    """The map in `text`, or MapRefused."""
    data = text if isinstance(text, bytes) else text.encode()
    return parse(data, file=FILE, environment=ENVIRONMENT if environment is None else environment)


def faults_of(text: str | bytes, environment: dict[str, str] | None = None) -> tuple[MapFault, ...]:
    """The faults of `text`; none if it is a good map."""
    try:
        read(text, environment)
    except MapRefused as refused:
        return refused.faults
    return ()


def spoil(*edits: Edit) -> tuple[str, list[tuple[int, int]]]:
    """The good map with each edit made once, and the marked places in it as (line, column)."""
    text = GOOD
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the good map"
        text = text.replace(old, new)
    return unmark(text)


def unmark(text: str) -> tuple[str, list[tuple[int, int]]]:
    """`text` without its marks, and where they were, as (line, column)."""
    places = []
    while (at := text.find(HERE)) >= 0:
        before = text[:at]
        places.append((before.count("\n") + 1, at - before.rfind("\n")))
        text = before + text[at + 1 :]
    return text, places
