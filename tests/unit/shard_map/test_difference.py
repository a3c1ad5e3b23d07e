"""What an operator is told about a change, and which changes a running gateway refuses."""

import re
from dataclasses import replace

import pytest

from core.shard_map import Difference, differences
from core.shard_map.change import MOVES_BUCKETS, OTHER_DATABASE, OTHER_ROWS, OTHER_STORE, RENAMES_REGION, STRANDS_IDS
from tests.unit.shard_map.samples import ENVIRONMENT, GOOD, Edit, read, spoil

OMAN = (
    GOOD[GOOD.index("  sa:") :]
    .replace("sa", "om")
    .replace("SAR\n    minor_unit: 2", "OMR\n    minor_unit: 3")
    .replace("SA,", "OM,")
    .replace("[SA]", "[OM]")
    .replace("prefix: SA", "prefix: OM")
    .replace("code: 2", "code: 3")
    .replace("10.0.1.1", "10.0.2.1")
    .replace("2001:db8::1", "2001:db8::2")
)

ALLOWED: dict[str, tuple[list[Edit], str]] = {
    "another version": ([("version: 1", "version: 2")], "version 1 -> 2"),
    "another default region": ([("region: qa", "region: sa")], "default region qa -> sa"),
    "strangers refused": (
        [("countries: default", "countries: refuse")],
        "countries that no region lists: default -> refuse",
    ),
    "a country more": ([("[SA]", "[SA, BH]")], "region sa: country BH added"),
    "another title": ([("Saudi Arabia", "KSA")], "region sa: title Saudi Arabia (en) -> KSA (en)"),
    "another fee": ([("{fee: 20}", "{fee: 21}")], "region sa: delivery zones beyond 20 -> beyond 21"),
    "another hub": ([("lat: 24.7136", "lat: 24.5")], "region sa: hub 24.7136, 46.6753 -> 24.5, 46.6753"),
    "another phone rule": (
        [("accept: region", "accept: any")],
        "region sa: phone rule SA (accepts region) -> SA (accepts any)",
    ),
    "another prefix": ([("prefix: SA", "prefix: KSA")], "region sa: order prefix SA -> KSA"),
    "another time zone": ([("Asia/Riyadh", "Asia/Aden")], "region sa: time zone Asia/Riyadh -> Asia/Aden"),
    "a gateway": (
        [("    residency", '    gateway: "https://sa.gateway.example"\n    residency')],
        "region sa: gateway none -> https://sa.gateway.example",
    ),
    "no stand-in": ([("residency: [qa]", "residency: []")], "region sa: stand-in region qa removed"),
    "another Redis password": (
        [(":hidden@", ":other@")],
        "region sa: session store changed to another Redis URL: its users log in again if it is another server",
    ),
    "no Redis of its own": (
        [('"redis://:hidden@10.0.0.9:6379/0"', '""')],
        "region sa: session store a Redis of its own -> of the process: its users log in again",
    ),
    "another primary": (
        [("10.0.0.1:5432", "10.0.0.7:5432")],
        "region qa: shard qa-1 primary 10.0.0.1:5432 -> 10.0.0.7:5432",
    ),
    "no replica": ([("[10.0.0.2:5432]", "[]")], "region qa: shard qa-1 replicas 10.0.0.2:5432 -> none"),
    "another password": ([("${SA_PASSWORD}", "fresh")], "region sa: shard sa-1 password changed"),
    "a new region": ([(GOOD, GOOD + OMAN)], "region om added: code 3, countries OM"),
}

REFUSED: dict[str, tuple[list[Edit], str, str]] = {
    "another weight": (
        [("      sa-2:\n        weight: 1", "      sa-2:\n        weight: 6")],
        r"region sa: shard sa-2 weight 1 -> 6: about 1,\d\d\d buckets would move from sa-1 to sa-2",
        MOVES_BUCKETS,
    ),
    "a shard removed": (
        [(GOOD[GOOD.index("      sa-2:") :], "")],
        r"region sa: shard sa-2 removed: about 1,\d\d\d buckets would move from sa-2 to sa-1",
        MOVES_BUCKETS,
    ),
    "a shard added": (
        [("      qa-1:", "      qa-2: {weight: 1, primary: new:1, database: d, user: u}\n      qa-1:")],
        r"region qa: shard qa-2 added with weight 1: about \d,\d\d\d buckets would move from qa-1 to qa-2",
        MOVES_BUCKETS,
    ),
    "a shard renamed": (
        [("      sa-2:", "      sa-9:")],
        r"region sa: shard sa-2 renamed to sa-9: about \d,\d\d\d buckets would move from sa-1, sa-2 to sa-1, sa-9",
        MOVES_BUCKETS,
    ),
    "another code": ([("code: 2", "code: 7")], "region sa: code 2 -> 7", STRANDS_IDS),
    "a region removed": (
        [(GOOD[GOOD.index("  sa:") :], "")],
        "region sa removed: its 4,096 buckets on sa-1, sa-2 would be out of reach",
        STRANDS_IDS,
    ),
    "another file store": (
        [("bucket: files", "bucket: more")],
        "region sa: file store S3 files -> S3 more",
        OTHER_STORE,
    ),
    "a region renamed": ([("  sa:", "  ksa:")], "region sa renamed to ksa", RENAMES_REGION),
    "another database": (
        [("database: ${DB_NAME:-shop}", "database: other")],
        "region sa: shard sa-2 database shop -> other",
        OTHER_DATABASE,
    ),
}


@pytest.mark.parametrize("change", ALLOWED)
def test_what_may_change_while_running_is_told_and_allowed(change: str) -> None:
    edits, sentence = ALLOWED[change]
    (difference,) = changes(*edits)
    assert (difference.refused, difference.reason) == (False, "")
    assert difference.sentence.startswith(sentence)


@pytest.mark.parametrize("change", REFUSED)
def test_what_moves_buckets_or_strands_ids_is_told_and_refused(change: str) -> None:
    edits, sentence, reason = REFUSED[change]
    (difference,) = changes(*edits)
    assert (difference.refused, difference.reason) == (True, reason)
    assert re.fullmatch(sentence, difference.sentence), difference.sentence


def test_a_map_does_not_differ_from_itself() -> None:
    assert changes(("version: 1", "version: 1")) == ()


def test_the_order_of_regions_and_shards_is_no_difference() -> None:
    map = read(GOOD)
    turned = tuple(replace(region, shards=region.shards[::-1]) for region in map.regions[::-1])
    assert differences(map, replace(map, regions=turned)) == ()


def test_the_weight_of_a_lone_shard_moves_nothing_and_is_allowed() -> None:
    (difference,) = changes(("      qa-1:\n        weight: 1", "      qa-1:\n        weight: 9"))
    assert (difference.sentence, difference.refused) == (
        "region qa: shard qa-1 weight 1 -> 9: no bucket would move",
        False,
    )


def test_two_shards_that_swap_their_servers_are_refused() -> None:
    found = changes(
        ('"10.0.1.1:${PORT_OF_SA_1}"', '"[2001:db8::1]:5432" # of sa-2'),
        ('"[2001:db8::1]:5432"\n        replicas', "10.0.1.1:5511\n        replicas"),
    )
    assert {each.sentence for each in found if each.refused} == {
        "server [2001:db8::1]:5432 goes from shard sa-2 to shard sa-1",
        "server 10.0.1.1:5511 goes from shard sa-1 to shard sa-2",
    }
    assert {each.reason for each in found if each.refused} == {OTHER_ROWS}


def test_no_difference_shows_a_secret() -> None:
    old = read(GOOD)
    new = read(GOOD.replace(":hidden@", ":also-hidden@"), {**ENVIRONMENT, "SA_PASSWORD": "s3cret-2"})
    words = " ".join(str(each) for each in differences(old, new))
    assert "password changed" in words
    assert "hidden" not in words
    assert "s3cret" not in words


def test_a_refused_difference_reads_with_its_reason() -> None:
    assert str(Difference("a", True, "because.")) == "a. because."
    assert str(Difference("a")) == "a"


def changes(*edits: Edit) -> tuple[Difference, ...]:
    return differences(read(GOOD), read(spoil(*edits)[0]))
