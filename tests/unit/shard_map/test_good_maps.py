"""A good map becomes exactly the values it says."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from core.errors import MapRefused
from core.shard_map import Address, DeliveryZone, Hub, PhoneRule, Secret, json_schema, load, single_server
from core.shard_map.currencies import MINOR_UNITS
from core.shard_map.raw import RawHub, RawMap, RawPhone, RawRegion, RawSessions, RawShard, RawStorage, RawZone
from tests.unit.shard_map.samples import ENVIRONMENT, GOOD, faults_of, read

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "shard_map.yaml"
SCHEMA = ROOT / "docs" / "shard_map.schema.json"


def test_a_good_map_is_read_value_by_value() -> None:
    map = read(GOOD)
    assert (map.version, map.default_region, map.unlisted_countries) == (1, "qa", "default")
    assert [region.name for region in map.regions] == ["qa", "sa"]
    qa = map.regions[0]
    assert (qa.code, qa.countries, qa.currency, qa.minor_unit) == (1, ("QA",), "QAR", 2)
    assert qa.title == MappingProxyType({"en": "Qatar", "ar": "قطر"})
    assert (qa.phone, qa.hub) == (PhoneRule("QA", "any"), Hub(25.2854, 51.531))
    assert qa.delivery_zones[0] == DeliveryZone(Decimal(5), Decimal("10.00"))
    assert qa.delivery_zones[-1] == DeliveryZone(None, Decimal("20.00"))
    assert str(qa.delivery_zones[0].fee) == "10.00"


def test_variables_become_the_type_that_their_key_needs() -> None:
    first, second = read(GOOD).regions[1].shards
    assert first.weight == 2
    assert (first.primary, first.password.reveal()) == (Address("10.0.1.1", 5511), "s3cret")
    assert (second.primary, second.replicas, second.database) == (Address("2001:db8::1", 5432), (), "shop")


def test_a_default_stands_for_a_variable_that_is_absent_or_empty() -> None:
    for environment in (ENVIRONMENT, {**ENVIRONMENT, "DB_NAME": ""}):
        assert read(GOOD, environment).regions[1].shards[1].database == "shop"
    assert read(GOOD, {**ENVIRONMENT, "DB_NAME": "other"}).regions[1].shards[1].database == "other"


def test_a_doubled_dollar_writes_a_plain_one_and_a_value_is_not_expanded_twice() -> None:
    text = GOOD.replace("${SA_PASSWORD}", "a$${WEIGHT}b$c${SA_PASSWORD}")
    shard = read(text, {**ENVIRONMENT, "SA_PASSWORD": "${WEIGHT}"}).regions[1].shards[0]
    assert shard.password.reveal() == "a${WEIGHT}b$c${WEIGHT}"


@pytest.mark.parametrize("norway", ["NO", '"NO"', "'NO'", "${NORWAY}"])
@pytest.mark.parametrize("head", ["", "%YAML 1.1\n---\n", "%YAML 1.2\n---\n"])
def test_norway_is_a_country_however_it_is_written(norway: str, head: str) -> None:
    text = head + GOOD.replace("countries: [SA]", "countries:\n    - SA\n    - " + norway)
    assert read(text, {**ENVIRONMENT, "NORWAY": "NO"}).regions[1].countries == ("SA", "NO")


def test_optional_keys_may_be_left_out() -> None:
    text = GOOD.replace("unlisted_countries: default\n", "").replace("    residency: [qa]\n", "")
    map = read(text)
    assert (map.unlisted_countries, map.regions[1].residency) == ("default", ())
    assert (map.regions[0].sessions.redis_url, map.regions[0].storage.kind) == (None, None)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("https://SA.Gateway.example", "https://sa.gateway.example"),
        ("http://[2001:db8::1]:3000/", "http://[2001:db8::1]:3000"),
        ("${SA_GATEWAY:-}", None),
    ],
)
def test_a_gateway_is_a_place_and_nothing_else(written: str, read_as: str | None) -> None:
    text = GOOD.replace("    residency", f'    gateway: "{written}"\n    residency')
    assert read(text).regions[1].gateway == read_as
    assert read(GOOD).regions[1].gateway is None


def test_secrets_do_not_show_when_a_map_is_printed_or_formatted() -> None:
    map = read(GOOD)
    password, redis_url = map.regions[1].shards[0].password, map.regions[1].sessions.redis_url
    assert redis_url is not None
    for shown in (repr(map), str(map), f"{password} {redis_url}", str(password), f"{password!r:>10}"):
        assert "s3cret" not in shown
        assert "hidden" not in shown
    assert redis_url.reveal() == "redis://:hidden@10.0.0.9:6379/0"
    assert type(password.reveal()) is str


def test_a_map_finds_its_regions_by_name_country_and_code() -> None:
    map = read(GOOD)
    qa, sa = map.regions
    assert (map.region("sa"), map.region_of_country("QA"), map.region_of_code(2)) == (sa, qa, sa)
    assert (map.region("om"), map.region_of_country("OM"), map.region_of_code(3)) == (None, None, None)


def test_the_digest_tells_texts_apart() -> None:
    assert read(GOOD).digest == read(GOOD).digest != read(GOOD + "\n").digest


def test_the_gulf_currencies_have_their_decimals() -> None:
    assert {code: MINOR_UNITS[code] for code in ("QAR", "SAR", "AED", "KWD", "BHD", "OMR")} == {
        "QAR": 2,
        "SAR": 2,
        "AED": 2,
        "KWD": 3,
        "BHD": 3,
        "OMR": 3,
    }


def test_the_shipped_map_is_good_with_no_environment_and_has_the_documented_ports() -> None:
    map = load(SHIPPED, environment={})
    shards = {shard.name: (shard.weight, shard.addresses) for region in map.regions for shard in region.shards}
    assert {name: [address.port for address in addresses] for name, (_, addresses) in shards.items()} == {
        "qa-1": [5501, 5502],
        "sa-1": [5511, 5512],
        "sa-2": [5521, 5522],
    }
    assert [(region.name, region.code) for region in map.regions] == [("qa", 1), ("sa", 2)]


def test_every_server_of_the_shipped_map_can_be_moved_by_a_variable() -> None:
    names = [f"{shard}_{role}" for shard in ("QA_1", "SA_1", "SA_2") for role in ("PRIMARY", "REPLICA")]
    map = load(SHIPPED, environment={name: f"db{port}:5432" for port, name in enumerate(names)})
    addresses = [address for region in map.regions for shard in region.shards for address in shard.addresses]
    assert addresses == [Address(f"db{port}", 5432) for port in range(6)]


def test_the_single_server_is_the_shipped_qatar_with_one_server() -> None:
    map = single_server(host="localhost", port=5432, database="qscrap_db", user="postgres", password="s3cret")
    shipped = load(SHIPPED, environment={"QA_1_PRIMARY": "localhost:5432", "DB_PASSWORD": "s3cret"})
    (shard,) = map.regions[0].shards
    assert (shard.addresses, shard.password.reveal()) == ((Address("localhost", 5432),), "s3cret")
    assert map.regions == (replace(shipped.regions[0], shards=(shard,)),)
    assert replace(shipped.regions[0].shards[0], replicas=()) == shard


def test_the_single_server_takes_a_replica_and_a_redis_of_its_own() -> None:
    replica = Address("replica", 5432)
    map = single_server(
        host="primary", port=5432, database="d", user="u", password="", replica=replica, redis_url="redis://r:6379"
    )
    assert map.regions[0].shards[0].replicas == (replica,)
    assert map.regions[0].sessions.redis_url == Secret("redis://r:6379")
    assert map.unlisted_countries == "default"


def test_a_replica_that_is_the_primary_itself_is_left_out() -> None:
    map = single_server(host="h", port=1, database="d", user="u", password="", replica=Address("h", 1))
    assert map.regions[0].shards[0].replicas == ()


def test_the_committed_schema_is_the_current_one() -> None:
    committed = json.loads(SCHEMA.read_text("utf-8"))
    assert committed == json_schema(), "run: meridian map schema > docs/shard_map.schema.json"


def test_the_schema_is_a_valid_one_and_the_shipped_map_meets_it() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert _schema_errors(SHIPPED.read_text("utf-8")) == []
    assert _schema_errors(GOOD) == []


def test_the_schema_knows_every_key_of_the_raw_config() -> None:
    schema = json_schema()
    region, shard = schema["$defs"]["region"]["properties"], schema["$defs"]["shard"]["properties"]
    for shape, properties in (
        (RawMap, schema["properties"]),
        (RawRegion, region),
        (RawShard, shard),
        (RawPhone, region["phone"]["properties"]),
        (RawHub, region["hub"]["properties"]),
        (RawZone, region["delivery_zones"]["items"]["properties"]),
        (RawSessions, region["sessions"]["properties"]),
        (RawStorage, region["storage"]["properties"]),
    ):
        assert set(properties) == set(shape.__dataclass_fields__) - {"id", "place", "endless"}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("code: 2", "code: 256"),
        ("code: 2", 'code: "2"'),
        ("code: 2", "kode: 2"),
        ("    order_prefix: SA\n", ""),
        ("currency: SAR", "currency: SRA"),
        ("accept: region", "accept: all"),
        ("prefix: SA", "prefix: sa"),
        ("10.0.0.1:5432", "10.0.0.1"),
        ('"${SA_PASSWORD}"', "12345"),
        ("[SA]", "[false]"),
        ("  sa:\n", "  S_A:\n"),
        ("{fee: 20}", "{fee: -1}"),
    ],
)
def test_the_schema_refuses_what_the_checker_refuses(good: str, bad: str) -> None:
    text = GOOD.replace(good, bad)
    assert faults_of(text) != ()
    assert _schema_errors(text) != []


PLAIN = "1 0 2.5 -1 QA sa qa NO false ~ S3 Local redis://r ${WEIGHT} ${SA_PASSWORD} ${X:-3} h:1 [] {} [SA] QAR"
QUOTED = """ "1" "QA" "" "10.5" 'x' """
WORDS = st.sampled_from(f"{PLAIN} {QUOTED}".split())


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_the_schema_accepts_whatever_the_checker_accepts(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    at = data.draw(st.sampled_from([number for number, line in enumerate(lines) if ": " in line]))
    key = lines[at].partition(": ")[0]
    lines[at] = f"{key}: {data.draw(WORDS)}"
    text = "\n".join(lines)
    try:
        read(text)
    except MapRefused:
        return
    assert _schema_errors(text) == []


def _schema_errors(text: str) -> list[str]:
    validator = Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(YAML(typ="safe", pure=True).load(text))]
