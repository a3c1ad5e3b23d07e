"""Every kind of bad map: the mark ▸ in an edit is where the fault must be reported, to the column."""

from pathlib import Path

import pytest

from core.errors import MapRefused
from core.limits import MAP_BYTES_MAX
from core.shard_map import load
from tests.unit.shard_map.samples import ENVIRONMENT, GOOD, Edit, faults_of, read, spoil, unmark

QA_1 = "        primary: 10.0.0.1:5432\n        replicas: [10.0.0.2:5432]\n"
ZONES = '[{up_to_km: 5, fee: "10.00"}, {up_to_km: 10, fee: "15.00"}, {fee: "20.00"}]'
RIYADH = "{lat: 24.7136, lng: 46.6753}"
REDIS = "redis://:hidden@10.0.0.9:6379/0"

BAD: dict[str, tuple[list[Edit], str, str]] = {
    # what is wrong: (the edits, the path, part of what is said)
    "a country in two regions": (
        [("countries: [SA]", "countries: [SA, ▸QA]")],
        "regions.sa.countries[1]",
        "used before, on line 8",
    ),
    "a country twice in one region": ([("[SA]", "[SA, ▸SA]")], "regions.sa.countries[1]", "used before, on line 26"),
    "a country that does not exist": ([("[SA]", "[SA, ▸ZZ]")], "regions.sa.countries[1]", "'ZZ' is not a country"),
    "a country in small letters": ([("[SA]", "[SA, ▸om]")], "regions.sa.countries[1]", "Write OM."),
    "a country by its three letters": ([("[SA]", "[SA, ▸OMN]")], "regions.sa.countries[1]", "Write OM."),
    "a country that is not ISO's code": ([("[SA]", "[SA, ▸UK]")], "regions.sa.countries[1]", "Write GB."),
    "Norway in small letters": ([("[SA]", "[SA, ▸no]")], "regions.sa.countries[1]", "Write NO, in capitals"),
    "Norway that became a boolean": ([("[SA]", "[SA, ▸false]")], "regions.sa.countries[1]", '"NO" in quotes'),
    "a country that is a number": ([("[SA]", "[SA, ▸966]")], "regions.sa.countries[1]", "read as a number"),
    "no countries": ([("countries: [SA]", "countries: ▸[]")], "regions.sa.countries", "at least 1"),
    "countries that are no list": ([("countries: [SA]", "countries: ▸SA")], "regions.sa.countries", "must be a list"),
    "a code twice": ([("code: 2", "code: ▸1")], "regions.sa.code", "used before, on line 6"),
    "code 0": ([("code: 2", "code: ▸0")], "regions.sa.code", "0 is out of range"),
    "code 256": ([("code: 2", "code: ▸256")], "regions.sa.code", "from 1 to 255"),
    "a code in quotes": ([("code: 2", 'code: ▸"2"')], "regions.sa.code", "without quotes"),
    "a code with a leading zero": ([("code: 2", "code: ▸02")], "regions.sa.code", "not a whole number"),
    "a default region that is not there": (
        [("default_region: qa", "default_region: ▸qat")],
        "default_region",
        "Did you mean qa?",
    ),
    "an unknown choice": ([("countries: default", "countries: ▸defualt")], "unlisted_countries", "you mean default?"),
    "a version that is no number": ([("version: 1", "version: ▸one")], "version", "must be a whole number"),
    "version 0": ([("version: 1", "version: ▸0")], "version", "out of range"),
    "an unknown key": (
        [("    residency: [qa]", "    residency: [qa]\n    ▸time_zon: UTC")],
        "regions.sa.time_zon",
        "Did you mean time_zone?",
    ),
    "an unknown key like no other": ([("version: 1", "version: 1\n▸xyzzy: 1")], "xyzzy", "Known keys: version, "),
    "a missing key": ([("    order_prefix: SA\n", ""), ("  sa:", "  ▸sa:")], "regions.sa.order_prefix", "is missing"),
    "a missing key at the top": ([("version: 1\n", "▸")], "version", "for example version: 1"),
    "a key twice": ([("code: 2", "code: 2\n    ▸code: 3")], "regions.sa.code", "written before, on line 24"),
    "a key with nothing after it": ([("code: 2", "▸code:")], "regions.sa.code", "read as nothing"),
    "no primary": (
        [(QA_1, ""), ("      qa-1:", "      ▸qa-1:")],
        "regions.qa.shards.qa-1.primary",
        "Add it, for example primary: 10.0.0.5:5432",
    ),
    "a primary that a variable left empty": (
        [("10.0.0.1:5432", "▸${QA_1:-}")],
        "regions.qa.shards.qa-1.primary",
        "there is no server here",
    ),
    "weight 0": ([("${WEIGHT}", "▸0")], "regions.sa.shards.sa-1.weight", "from 1 to 100"),
    "weight 101": ([("${WEIGHT}", "▸101")], "regions.sa.shards.sa-1.weight", "101 is out of range"),
    "a weight that is not whole": ([("${WEIGHT}", "▸1.5")], "regions.sa.shards.sa-1.weight", "not a whole number"),
    "a weight in words": ([("${WEIGHT}", "▸heavy")], "regions.sa.shards.sa-1.weight", "read as text"),
    "a weight that a variable made text": (
        [("${WEIGHT}", "▸${SA_PASSWORD}")],
        "regions.sa.shards.sa-1.weight",
        "the value of ${SA_PASSWORD} is not a whole number",
    ),
    "an unknown variable": (
        [("${SA_PASSWORD}", "${SA_SECRET}"), ("password: ", "password: ▸")],
        "regions.sa.shards.sa-1.password",
        "the variable SA_SECRET is not set",
    ),
    "a misspelt variable": (
        [("${WEIGHT}", "▸${WIEGHT}")],
        "regions.sa.shards.sa-1.weight",
        "Did you mean WEIGHT?",
    ),
    "a variable that is not closed": (
        [('"${SA_PASSWORD}"', '▸"${SA_PASSWORD"')],
        "regions.sa.shards.sa-1.password",
        "Write ${NAME}",
    ),
    "an unknown currency": ([("currency: SAR", "currency: ▸SRA")], "regions.sa.currency", "is not a currency"),
    "decimals that contradict the currency": (
        [("currency: SAR\n    minor_unit: 2", "currency: KWD\n    minor_unit: ▸2")],
        "regions.sa.minor_unit",
        "KWD has 3 decimals, not 2",
    ),
    "decimals out of range": (
        [("SAR\n    minor_unit: 2", "SAR\n    minor_unit: ▸5")],
        "regions.sa.minor_unit",
        "0 to 4",
    ),
    "an unknown time zone": ([("Asia/Riyadh", "▸Asia/Riyad")], "regions.sa.time_zone", "Did you mean Asia/Riyadh?"),
    "a phone country of another region": (
        [("{country: SA,", "{country: ▸QA,")],
        "regions.sa.phone.country",
        "not a country of region 'sa'",
    ),
    "a phone country that does not exist": (
        [("{country: SA,", "{country: ▸XX,")],
        "regions.sa.phone.country",
        "'XX' is not a country",
    ),
    "an unknown phone rule": ([("accept: region", "accept: ▸all")], "regions.sa.phone.accept", "region or any"),
    "a hub beyond the pole": ([(RIYADH, "{lat: ▸124.7, lng: 46.6}")], "regions.sa.hub.lat", "out of range"),
    "a hub beyond the date line": ([(RIYADH, "{lat: 24.7, lng: ▸-180.5}")], "regions.sa.hub.lng", "out of range"),
    "a hub that is no number": ([(RIYADH, "{lat: ▸.nan, lng: 46}")], "regions.sa.hub.lat", "plain decimal number"),
    "half a hub": (
        [(RIYADH, "{lat: 24.7}"), ("    hub: {lat: 24", "    ▸hub: {lat: 24")],
        "regions.sa.hub.lng",
        "missing",
    ),
    "zones out of order": (
        [(ZONES, '[{up_to_km: 10, fee: "10"}, {up_to_km: ▸5, fee: "15"}, {fee: "20"}]')],
        "regions.qa.delivery_zones[1].up_to_km",
        "from near to far",
    ),
    "a zone of no width": (
        [(ZONES, "[{up_to_km: ▸0, fee: 1}, {fee: 2}]")],
        "regions.qa.delivery_zones[0].up_to_km",
        "Write more than 0",
    ),
    "zones with an end": (
        [(ZONES, "[▸{up_to_km: 5, fee: 1}]")],
        "regions.qa.delivery_zones[0]",
        "the last zone must be open-ended",
    ),
    "an open-ended zone too early": (
        [(ZONES, "[▸{fee: 1}, {fee: 2}]")],
        "regions.qa.delivery_zones[0]",
        "only the last zone may be open-ended",
    ),
    "a negative fee": ([("{fee: 20}", "{fee: ▸-1}")], "regions.sa.delivery_zones[0].fee", "is negative"),
    "a fee finer than the currency": (
        [("{fee: 20}", '{fee: ▸"0.125"}')],
        "regions.sa.delivery_zones[0].fee",
        "more than 2 decimals",
    ),
    "a zone that is no mapping": ([("{fee: 20}", "▸20")], "regions.sa.delivery_zones[0]", "must be a mapping"),
    "an order prefix in small letters": ([("prefix: SA", "prefix: ▸sa")], "regions.sa.order_prefix", "capital letters"),
    "an order prefix too long": ([("prefix: SA", "prefix: ▸SAUDIAR")], "regions.sa.order_prefix", "1 to 6"),
    "an order prefix twice": ([("prefix: SA", "prefix: ▸QA")], "regions.sa.order_prefix", "used before, on line 15"),
    "residency in a region that is not there": ([("[qa]", "[▸om]")], "regions.sa.residency[0]", "no region 'om'"),
    "residency in itself": ([("[qa]", "[▸sa]")], "regions.sa.residency[0]", "stand in for itself"),
    "residency twice": ([("[qa]", "[qa, ▸qa]")], "regions.sa.residency[1]", "used before"),
    "a gateway without a scheme": (
        [("    residency", '    gateway: ▸"sa.gateway.example"\n    residency')],
        "regions.sa.gateway",
        "does not begin with https:// or http://",
    ),
    "a gateway with a path": (
        [("    residency", '    gateway: ▸"https://sa.gateway.example/api"\n    residency')],
        "regions.sa.gateway",
        "more than a scheme, a host and a port",
    ),
    "a gateway with a login": (
        [("    residency", '    gateway: ▸"https://me:hidden@sa.gateway.example"\n    residency')],
        "regions.sa.gateway",
        "more than a scheme, a host and a port",
    ),
    "a gateway without a host": (
        [("    residency", '    gateway: ▸"https://"\n    residency')],
        "regions.sa.gateway",
        "has no host",
    ),
    "a gateway that is a list": (
        [("    residency", "    gateway: ▸[]\n    residency")],
        "regions.sa.gateway",
        "single value",
    ),
    "the same server in two shards": (
        [("10.0.1.1:${PORT_OF_SA_1}", "10.0.0.2:5432"), ('primary: "10', 'primary: ▸"10')],
        "regions.sa.shards.sa-1.primary",
        "server 10.0.0.2:5432 was used before, on line 20",
    ),
    "the same server, written in another way": (
        [('["${SA_2_REPLICA:-}"]', '[▸"[2001:0DB8:0::1]:5432"]')],
        "regions.sa.shards.sa-2.replicas[0]",
        "server [2001:db8::1]:5432 was used before, on line 47",
    ),
    "a shard name in two regions": (
        [("      sa-2:", "      ▸qa-1:")],
        "regions.sa.shards.qa-1",
        "shard 'qa-1' was used before, on line 17",
    ),
    "an address without a port": ([("10.0.0.1:5432", "▸10.0.0.1")], "regions.qa.shards.qa-1.primary", "no port"),
    "an address with port 0": ([("10.0.0.1:5432", "▸db:0")], "regions.qa.shards.qa-1.primary", "1 to 65535"),
    "an address with port 70000": ([("10.0.0.1:5432", "▸db:70000")], "regions.qa.shards.qa-1.primary", "1 to 65535"),
    "an impossible IPv4 address": ([("10.0.0.1:", "▸10.0.0.256:")], "regions.qa.shards.qa-1.primary", "not an IPv4"),
    "an IPv6 address without brackets": ([("10.0.0.1:", "▸2001:db8::5:")], "regions.qa.shards.qa-1.primary", "bracket"),
    "an impossible IPv6 address": (
        [("10.0.0.1:5432", '▸"[::g]:5432"')],
        "regions.qa.shards.qa-1.primary",
        "not an IPv6",
    ),
    "a host with a space": (
        [("10.0.0.1:5432", "▸my db:5432")],
        "regions.qa.shards.qa-1.primary",
        "not begin with a host",
    ),
    "a URL where an address belongs": (
        [("10.0.0.1:5432", "▸postgres://app:hidden@db:5432/shop")],
        "regions.qa.shards.qa-1.primary",
        "this is a URL",
    ),
    "a region name in capitals": ([("  sa:\n", "  ▸SA:\n")], "regions.SA", "small letters"),
    "a shard name with an underscore": ([("sa-2:", "▸sa_2:")], "regions.sa.shards.sa_2", "small letters"),
    "a language that is none": ([("{en: Saudi", "{▸English: Saudi")], "regions.sa.name.English", "not a language"),
    "a title that is empty": ([("Saudi Arabia", '▸"  "')], "regions.sa.name.en", "this is empty"),
    "a Redis URL of another scheme": (
        [(f'"{REDIS}"', '▸"http://:hidden@10.0.0.9"')],
        "regions.sa.sessions.redis_url",
        "redis:// or rediss://",
    ),
    "a Redis URL without a host": ([(f'"{REDIS}"', "▸redis:///0")], "regions.sa.sessions.redis_url", "no host"),
    "a Redis URL with a bad port": ([(f'"{REDIS}"', "▸redis://h:x")], "regions.sa.sessions.redis_url", "valid host"),
    "an unknown kind of storage": ([("kind: S3", "kind: ▸s3")], "regions.sa.storage.kind", "Did you mean S3?"),
    "storage without its bucket": ([("S3, bucket: files", "▸S3")], "regions.sa.storage.kind", "needs a bucket"),
    "storage with a key it does not use": (
        [("bucket: files", "bucket: files, folder: ▸/srv")],
        "regions.sa.storage.folder",
        "storage on S3 has no folder",
    ),
    "storage of no kind": (
        [("{kind: S3, bucket: files}", "{folder: ▸/srv}")],
        "regions.sa.storage.folder",
        "nothing without a kind",
    ),
    "storage at no URL": (
        [("bucket: files", "bucket: files, endpoint: ▸minio")],
        "regions.sa.storage.endpoint",
        "https://",
    ),
    "a password that is a number": (
        [('"${SA_PASSWORD}"', "▸12345")],
        "regions.sa.shards.sa-1.password",
        "Put it in double quotes",
    ),
    "a list where a value belongs": ([("code: 2", "code: ▸[2]")], "regions.sa.code", "must be a single value"),
    "a value where a mapping belongs": ([(RIYADH, "▸Riyadh")], "regions.sa.hub", "must be a mapping"),
    "a key that is a list": ([("code: 2", "code: 2\n    ? ▸[a]\n    : b")], "regions.sa", "a single word"),
    "an anchor": ([("[SA]", "▸&own [SA]")], "regions.sa.countries", "an anchor (&) has no use"),
    "a tag": ([("time_zone: Asia/Riyadh", "time_zone: ▸!!str Asia/Riyadh")], "regions.sa.time_zone", "a tag (!)"),
    "a bracket that is not closed": ([("[SA]", "[SA"), ("currency: SAR", "currency▸: SAR")], "(file)", "not YAML"),
    "a tab": ([("    code: 2", "▸\tcode: 2")], "(file)", "Indent with spaces"),
    "a variable without quotes in braces": (
        [("{kind: S3, bucket: files}", "{kind: S3, bucket: $▸{B}}")],
        "(file)",
        "in double quotes",
    ),
    "two documents": ([("    residency", "▸---\n    residency")], "(file)", "single document"),
    "a control character": ([("Saudi Arabia", "Saudi▸\x07")], "(file)", "U+0007"),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_of_fault_is_reported_at_its_place(kind: str) -> None:
    edits, path, said = BAD[kind]
    text, places = spoil(*edits)
    (fault,) = faults_of(text)
    assert ([(fault.line, fault.column)], fault.path) == (places, path), str(fault)
    assert said in str(fault)


def test_at_least_thirty_kinds_are_in_the_table() -> None:
    assert len(BAD) >= 30


def test_a_fault_reads_as_file_line_column_path_message_and_remedy() -> None:
    (fault,) = faults_of(GOOD.replace("weight: ${WEIGHT}", "weight: 0"))
    assert str(fault) == (
        "shard_map.yaml:40:17: regions.sa.shards.sa-1.weight: 0 is out of range."
        " Write a whole number from 1 to 100, without quotes."
    )


def test_all_faults_of_a_file_are_reported_at_once_in_its_order() -> None:
    text, places = spoil(
        ("version: 1", "version: ▸x"),
        ("default_region: qa", "default_region: ▸nowhere"),
        ("currency: QAR", "currency: ▸XYZ"),
        ("      qa-1:", "      ▸qa-1:"),
        ("        user: app\n  sa:", "  sa:"),
        ("code: 2", "code: ▸1"),
        ("[SA]", "[SA, ▸QA, ▸ZZ, ▸false]"),
        ("Asia/Riyadh", "▸Mars"),
        ("{kind: S3, bucket: files}", "{▸knd: S3, bucket: ▸files}"),
        ("${WEIGHT}", "▸${NOTHING}"),
        ('"10.0.1.1:${PORT_OF_SA_1}"', "▸10.0.0.1:5432"),
    )
    assert [(fault.line, fault.column) for fault in faults_of(text)] == places


def test_an_empty_file_and_one_of_comments_alone_are_refused() -> None:
    for text in ("", "# nothing yet\n", "---\n"):
        (fault, *_) = faults_of(text)
        assert fault.line == 1


def test_a_file_that_is_no_mapping_is_refused() -> None:
    (fault,) = faults_of("\n- qa\n- sa\n")
    assert (fault.line, fault.column, fault.path) == (2, 1, "(file)")


def test_bytes_that_are_not_utf_8_are_refused_at_their_place() -> None:
    text, places = spoil(("Saudi Arabia", "Saudi▸~Arabia"))
    (fault,) = faults_of(text.encode().replace(b"Saudi~", b"Saudi\xff"))
    assert [(fault.line, fault.column)] == places
    assert "0xff is not UTF-8" in fault.message


def test_a_byte_order_mark_moves_no_column() -> None:
    assert read("\ufeff" + GOOD) is not None
    (fault,) = faults_of(b"\xef\xbb\xbf" + GOOD.replace("version: 1", "version: x").encode())
    assert (fault.line, fault.column) == (1, 10)


def test_a_file_over_the_bound_is_refused() -> None:
    (fault,) = faults_of(b"#" * (MAP_BYTES_MAX + 1))
    assert (fault.line, "4,194,304 bytes" in fault.message) == (1, True)


def test_nesting_without_end_is_refused() -> None:
    (fault,) = faults_of("[" * 100_000)
    assert "not YAML" in fault.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(MapRefused, match=reason):
            load(path, environment={})


def test_a_file_is_refused_under_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("version: 1\n", "utf-8")
    with pytest.raises(MapRefused) as refused:
        load(file, environment={})
    assert {fault.file for fault in refused.value.faults} == {str(file)}


@pytest.mark.parametrize(
    "edit",
    [
        ("redis://", "http://"),
        ("redis://:hidden@10.0.0.9:6379", "redis://:hidden@h:port"),
        ("10.0.0.1:5432", "postgres://app:hidden@db/shop"),
        ("10.0.0.1:5432", "app:hidden@db:5432"),
        ('"${SA_PASSWORD}"', "*hidden"),
        ('"${SA_PASSWORD}"', "!hidden"),
        ('"${SA_PASSWORD}"', "&hidden"),
        ('"${SA_PASSWORD}"', "hidden: {"),
        ("${WEIGHT}", "${SECRET}"),
        ("Asia/Riyadh", "${SECRET}"),
        ("10.0.0.1:5432", "${SECRET}"),
        ("10.0.0.1:5432", "${SECRET}:5432."),
        ("[SA]", '[SA, "${SECRET}"]'),
    ],
)
def test_no_fault_shows_a_secret(edit: Edit) -> None:
    text, _ = spoil(edit)
    (fault,) = faults_of(text, {**ENVIRONMENT, "SECRET": "hidden"})
    assert "hidden" not in str(fault)


def test_the_marks_of_these_tests_are_counted_like_an_editor_counts() -> None:
    assert unmark("a\n  ▸b: ▸c") == ("a\n  b: c", [(2, 3), (2, 6)])


def test_weights_that_add_up_to_too_much_are_one_fault_at_the_last_of_them() -> None:
    shards = "".join(
        f"      sa-{at}: {{weight: 100, primary: host-{at}:1, database: d, user: u}}\n" for at in range(10, 16)
    )
    (fault,) = faults_of(GOOD.rstrip("\n") + "\n" + shards)
    assert fault.path == "regions.sa.shards.sa-15.weight"
    assert "add up to more than 512" in fault.message
