"""The check of reference data: an operator's file is as the schema says, or it is refused with file, line and field."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from edge.reference import DataRefused
from edge.reference.catalogue import BYTES_MAX
from edge.reference.lines import line_of
from edge.reference.schema import Schema
from tests.edge.test_reference import SCHEMA, SHIPPED, TEXTS

PLAN = (
    '{"id": "free", "name": {"en": "Free", "ar": "مجانية"}, "description": {"en": "a", "ar": "b"}, '
    '"commission_percent": "15"}'
)
MAKE = '{"id": "kia", "name": {"en": "Kia", "ar": "كيا"}, "models": [%s]}'
MODEL = '{"id": "rio", "name": {"en": "Rio", "ar": "ريو"}, "from": %s, "to": %s}'


def plans(*items: str) -> bytes:
    """The text of a file of plans, each on its own line from the second on."""
    return ('{"items": [\n' + ",\n".join(items) + "\n]}").encode()


def makes(model: str) -> bytes:
    return ('{"items": [\n' + MAKE % model + "\n]}").encode()


FAULTS: list[tuple[str, bytes, str]] = [
    ("make.json", b"{}", "make.json:1: there is no such set"),
    ("schema", b"{}", "schema:1: there is no such set"),
    ("plans.json", b"", "plans.json:1: is not JSON"),
    ("plans.json", b'{\n"items": [}', "plans.json:2: is not JSON"),
    ("plans.json", b"\xff", "plans.json:1: is not UTF-8"),
    ("plans.json", b"[" * 100_000, "plans.json:1: cannot be read"),
    ("plans.json", b"1" * 5_000, "plans.json:1: cannot be read"),
    ("plans.json", b" " * (BYTES_MAX + 1), "plans.json:1: has more than"),
    ("plans.json", b"[]", "plans.json:1: the whole: must be an object"),
    ("plans.json", b"{}", "plans.json:1: the whole: needs 'items'"),
    ("plans.json", b'{"items": []}', "plans.json:1: items: must not be empty"),
    ("plans.json", plans(PLAN, PLAN), "plans.json:3: items.1.id: 'free' stands in this list twice"),
    ("plans.json", plans(PLAN.replace('"15"', "15")), "plans.json:2: items.0.commission_percent: must be text"),
    ("plans.json", plans(PLAN.replace('"15"', '"101"')), "items.0.commission_percent: must be written as"),
    ("plans.json", plans(PLAN.replace('"free"', '"Free"')), "items.0.id: must be written as"),
    ("plans.json", plans(PLAN.replace('"free"', '"free\\n"')), "items.0.id: must be written as"),
    ("plans.json", plans(PLAN.replace('"Free"', '""')), "items.0.name.en: must be written as"),
    ("plans.json", plans(PLAN.replace('"Free"', '"x%s"' % ("x" * 400))), "items.0.name.en: must have at most 400"),
    ("plans.json", plans(PLAN.replace('"Free"', '"\\ud800"')), "items.0.name.en: has half of a surrogate pair"),
    ("plans.json", plans(PLAN.replace('"ar"', '"fr"', 1)), "items.0.name.fr: is not known here; known are en, ar"),
    ("plans.json", plans(PLAN.replace("{", '{"id": "x", ', 1)), "items.0: has the key 'id' twice"),
    ("makes.json", makes(MODEL % ("2000", "1999")), "makes.json:2: items.0.models.0.to: must not be before from, 2000"),
    ("makes.json", makes(MODEL % ("2000", '"now"')), "items.0.models.0.to: must be a whole number or must be null"),
    ("makes.json", makes(MODEL % ("true", "null")), "items.0.models.0.from: must be a whole number"),
    ("makes.json", makes(MODEL % ("1700", "null")), "items.0.models.0.from: must be from 1885 to 2100"),
    ("areas.json", b'{"countries": {}}', "countries: must not be empty"),
    ("areas.json", b'{"countries": {"Qatar": {}}}', "countries.Qatar: the key must be written as"),
    ("areas.json", TEXTS["areas.json"].replace(b'"lat": 25', b'"lat": 95', 1), "lat: must be from -90 to 90"),
    ("statuses.json", b'{"request": []}', "statuses.json:1: the whole: needs 'bid'"),
]


@pytest.mark.parametrize(("name", "text", "said"), FAULTS, ids=[said for _, _, said in FAULTS])
def test_a_bad_file_is_refused_with_file_line_and_field(name: str, text: bytes, said: str) -> None:
    with pytest.raises(DataRefused) as refused:
        SHIPPED.replaced({"plans.json": plans(PLAN), name: text})
    assert said in str(refused.value)


def test_all_files_are_told_of_at_once_but_not_for_ever() -> None:
    with pytest.raises(DataRefused) as refused:
        SHIPPED.replaced(
            {"plans.json": b"{}", "areas.json": b"{}", "makes.json": TEXTS["makes.json"].replace(b"from", b"form")}
        )
    assert {fault.partition(":")[0] for fault in refused.value.faults[:2]} == {"areas.json", "makes.json"}
    assert len(refused.value.faults) == 21
    assert refused.value.faults[-1].startswith("and ")


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place within a value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, member in members for place in places(member, (*path, step)))]


def planted(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy of a value with another one at a place."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = planted(value[path[0]], path[1:], new)
    return copy


SMALL = {
    "makes": json.loads(makes(MODEL % ("2000", "null"))),
    "plans": json.loads(plans(PLAN)),
    "areas": {
        "countries": {
            "QA": SHIPPED.sets["areas"]["countries"]["QA"]
            | {"cities": SHIPPED.sets["areas"]["countries"]["QA"]["cities"][:1]}
        }
    },
    "statuses": {bearer: labels[:1] for bearer, labels in SHIPPED.sets["statuses"].items()},
}
OTHERS = st.one_of(
    st.none(), st.booleans(), st.integers(-200, 3000), st.sampled_from(["", "a", "a b", "A", " a", "ا", "15", "1.5"]),
    st.just([]), st.just({}), st.just({"en": "a"}), st.floats(-200.5, 200.5).filter(lambda number: number % 1 != 0),
)  # fmt: skip


@settings(deadline=None)
@given(st.data())
def test_the_check_agrees_with_a_full_implementation_of_json_schema(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SMALL)))
    place = data.draw(st.sampled_from(places(SMALL[name])))
    value = planted(SMALL[name], place, data.draw(OTHERS))
    validator = Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})
    ours = {path for path, _ in Schema(SCHEMA).faults(value, name)}
    assert bool(ours) is not validator.is_valid(value)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)),
    st.data(),
)
def test_the_line_of_a_place_is_that_of_its_value(value: Any, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(value)))
    mark = "\ue000"
    text = json.dumps(planted(value, place, mark), indent=data.draw(st.sampled_from([None, 1, 4])), ensure_ascii=False)
    line = text.partition(f'"{mark}"')[0].count("\n") + 1
    assert line_of(text, place) == line


def test_the_schema_uses_no_keyword_that_the_check_does_not_know() -> None:
    known = {"type", "required", "additionalProperties", "properties", "propertyNames", "minProperties", "items"}
    known |= {"minItems", "pattern", "maxLength", "minimum", "maximum", "anyOf", "$ref"}
    Draft202012Validator.check_schema(SCHEMA)
    assert Counter(key for schema in schemas(SCHEMA["$defs"]) for key in schema).keys() <= known


def schemas(definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schema in the definitions, at any depth."""
    for schema in definitions.values():
        yield schema
        inner = schema.get("properties", {}) | {str(n): choice for n, choice in enumerate(schema.get("anyOf", ()))}
        inner |= {
            key: schema[key]
            for key in ("items", "propertyNames", "additionalProperties")
            if isinstance(schema.get(key), dict)
        }
        yield from schemas(inner)
