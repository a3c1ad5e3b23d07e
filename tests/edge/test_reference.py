"""Reference data: the stories on the pure handler, and what holds for what is shipped and for every answer."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest

import edge.reference
from edge.geography import table_from_json
from edge.messages import Request
from edge.prepared import METHODS, gzipped
from edge.reference import KINDS, LANGUAGES, PREFIX, Catalogue, Reference, Zone, groups_changed
from edge.reference.catalogue import FILES
from edge.reference.reference import TOLD_FRESHNESS
from tests.edge.stories_static import STATIC, shipped
from tests.edge.table import Case
from tests.system import ROOT

FOLDER = Path(edge.reference.__file__).parent
SCHEMA = json.loads((FOLDER / "schema.json").read_bytes())
TEXTS = {f"{name}.json": (FOLDER / "data" / f"{name}.json").read_bytes() for name in FILES}
SHIPPED = Catalogue.shipped()
REGIONS = tuple(table_from_json(json.loads((ROOT / "edge" / "table.json").read_bytes())).regions.values())
REFERENCE = Reference(
    REGIONS, compressors={"br": lambda content: bytes(brotli.compress(content, quality=5)), "gzip": gzipped}
)
NAMES = ["", *(f"/{kind.name}" for kind in KINDS)]
ARABIC = re.compile("[\u0600-\u06ff]")


def get(path: str, query: str = "", **headers: str) -> Request:
    return Request("GET", PREFIX + path, tuple((n.replace("_", "-"), v) for n, v in headers.items()), query)


@pytest.mark.parametrize("case", STATIC, ids=lambda case: case.says)
def test_the_pure_handler_answers(case: Case) -> None:
    for step in case.steps:
        answer = shipped(step.request, step.region)
        assert answer is not None
        assert answer.status == step.status
        assert step.body is None or answer.body == step.body
        assert {name: answer.field(name) for name in step.has} == step.has
        assert {name: answer.field(name) for name in step.lacks} == dict.fromkeys(step.lacks)


def test_a_set_that_there_is_not_is_told_those_there_are() -> None:
    answer = REFERENCE.handle(get("/zones"), "qa")
    assert answer.status == 404
    assert json.loads(answer.body)["detail"].endswith(f"sets are {', '.join(kind.name for kind in KINDS)}")


def test_what_is_not_shipped_is_for_others() -> None:
    for path in ("/api/v1/requests", "/api/v1/references", "/", "/api/v1/reference2/makes"):
        assert shipped(Request("GET", path), "qa") is None


def test_only_get_and_head_are_answered() -> None:
    assert METHODS == ("GET", "HEAD")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PURGE"):
        answer = REFERENCE.handle(Request(method, PREFIX), "qa")
        assert (answer.status, answer.field("Allow")) == (405, "GET, HEAD")
        assert answer.field("Cache-Control") == "no-store"


def test_the_shipped_files_are_as_the_schema_says() -> None:
    assert SHIPPED.replaced(TEXTS).sets == SHIPPED.sets


def test_as_much_is_shipped_as_was_promised() -> None:
    makes, categories = SHIPPED.sets["makes"]["items"], SHIPPED.sets["categories"]["items"]
    assert len(makes) >= 45
    assert sum(len(make["models"]) for make in makes) >= 400
    assert len(categories) >= 40
    assert sum(len(category["items"]) for category in categories) >= 350
    assert {country for region in REGIONS for country in region.countries} <= SHIPPED.sets["areas"]["countries"].keys()


def named(value: Any) -> Iterator[dict[str, str]]:
    """Every pair of an English and an Arabic text."""
    if isinstance(value, dict):
        if value.keys() == {"en", "ar"}:
            yield value
        for member in value.values():
            yield from named(member)
    elif isinstance(value, list):
        for member in value:
            yield from named(member)


def test_everything_has_an_arabic_name_but_codes_which_stay_as_they_are() -> None:
    names = [name for file in SHIPPED.sets.values() for name in named(file)]
    assert len(names) > 1000
    assert [name for name in names if not ARABIC.search(name["ar"]) and name["ar"] != name["en"]] == []
    assert [name for name in names if ARABIC.search(name["en"])] == []


def test_years_are_those_of_cars() -> None:
    models = [model for make in SHIPPED.sets["makes"]["items"] for model in make["models"]]
    assert [m for m in models if not 1900 <= m["from"] <= (m["to"] or m["from"]) <= 2028] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_form_of_a_document_unpacks_to_the_same(name: str, language: str) -> None:
    plain = REFERENCE.handle(get(name, Accept_Language=language, X_Region="sa"), "qa")
    assert json.loads(plain.body)["language"] == language
    for coding, unpack in (("gzip", gzip.decompress), ("br", brotli.decompress)):
        packed = REFERENCE.handle(get(name, Accept_Language=language, X_Region="sa", Accept_Encoding=coding), "qa")
        assert packed.field("Content-Encoding") == coding
        assert unpack(packed.body) == plain.body
        assert packed.field("ETag") == f'{(plain.field("ETag") or "")[:-1]}-{coding}"'


@pytest.mark.parametrize("region", [region.name for region in REGIONS])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_url_of_the_list_is_the_document_of_that_region_and_language(region: str, language: str) -> None:
    listed = json.loads(REFERENCE.handle(get("", Accept_Language=language, X_Region=region), "").body)
    assert [item["name"] for item in listed["items"]] == [kind.name for kind in KINDS]
    for item in listed["items"]:
        path, _, query = item["url"].removeprefix(PREFIX).partition("?")
        exact = REFERENCE.handle(get(path, query), "")
        plain = REFERENCE.handle(get(path, Accept_Language=language, X_Region=region), "")
        assert exact.body == plain.body
        assert len(json.loads(exact.body)["items"]) == item["count"]
        assert "immutable" in (exact.field("Cache-Control") or "")


def test_an_answer_is_public_only_where_nothing_of_it_was_guessed() -> None:
    for name in NAMES:
        public = "public" in (REFERENCE.handle(get(name), "sa").field("Cache-Control") or "")
        varies = "X-Region" in (REFERENCE.handle(get(name), "sa").field("Vary") or "")
        assert public is not varies
        assert varies is REFERENCE.depends_on_region(PREFIX + name)
        named = REFERENCE.handle(get(name, X_Region="sa"), "qa")
        assert "public" in (named.field("Cache-Control") or "")
        assert "X-Region" in (named.field("Vary") or "") or not varies


def test_a_region_that_nobody_knows_counts_as_the_first() -> None:
    assert json.loads(REFERENCE.handle(get("/plans"), "atlantis").body)["region"] == REGIONS[0].name


def test_the_same_data_have_the_same_fingerprints_everywhere() -> None:
    assert Reference(REGIONS).versions == REFERENCE.versions
    assert groups_changed(Reference(REGIONS), REFERENCE) == ()


def test_a_change_touches_its_own_groups_and_the_list() -> None:
    plans = TEXTS["plans.json"].replace(b'"15"', b'"14.5"')
    changed = Reference(REGIONS, catalogue=SHIPPED.replaced({"plans.json": plans}))
    assert groups_changed(REFERENCE, changed) == ("reference-plans", "reference-sets")


def test_a_region_that_changes_touches_what_depends_on_it() -> None:
    moved = [replace(region, currency="USD") if region.name == "sa" else region for region in REGIONS]
    touched = groups_changed(REFERENCE, Reference(moved))
    assert touched == ("reference-delivery-zones", "reference-plans", "reference-sets")


def test_the_rings_of_a_delivery_follow_one_another() -> None:
    region = replace(REGIONS[0], minor_unit=3, zones=(Zone("2.5", "1"), Zone("10", "1.25"), Zone(None, "3")))
    found = json.loads(Reference([region]).handle(get("/delivery-zones"), "").body)["items"]
    assert [(zone["from_km"], zone["up_to_km"], zone["fee"]) for zone in found] == [
        ("0", "2.5", "1.000"),
        ("2.5", "10", "1.250"),
        ("10", None, "3.000"),
    ]
    assert [zone["name"] for zone in found] == ["Up to 2.5 km", "2.5 to 10 km", "Beyond 10 km"]
    everywhere = Reference([replace(region, zones=(Zone(None, "3"),))])
    assert json.loads(everywhere.handle(get("/delivery-zones"), "").body)["items"][0]["name"] == "Everywhere"


def test_edges_that_are_told_of_changes_keep_longer_what_is_for_everybody() -> None:
    told = Reference(REGIONS, is_told=True, freshness="no-cache")
    own = "Meridian-CDN-Cache-Control"
    assert told.handle(get("/makes"), "qa").field(own) == TOLD_FRESHNESS
    named = told.handle(get("/areas", X_Region="qa"), "qa")
    assert (named.field("Cache-Control"), named.field(own)) == ("public, no-cache", TOLD_FRESHNESS)
    guessed = told.handle(get("/areas"), "qa")
    assert (guessed.field("Cache-Control"), guessed.field(own)) == ("private, no-cache", None)
