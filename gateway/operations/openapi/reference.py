"""Reference data in the API document: their shapes are those of `edge.reference`, not of an operation's models."""

from typing import Any, Final

from edge.reference import KINDS, LANGUAGES, PREFIX
from gateway.boundary import REQUEST_ID, TIMEOUT
from gateway.caching import CACHE_CONTROL, GROUPS
from gateway.geography.headers import REGION
from gateway.operations.openapi import problems, reference_examples
from gateway.operations.openapi.headers import IF_NONE_MATCH, answered, ref_to

Json = dict[str, Any]
TAG: Final = "reference"


def _object(description: str = "", /, **properties: Json) -> Json:
    said = {"description": description} if description else {}
    return {"type": "object", **said, "properties": properties, "required": list(properties)}


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Final[Json] = {"type": "string"}
_LANGUAGE: Final[Json] = {"type": "string", "enum": list(LANGUAGES)}
_WHOLE: Final[Json] = {"type": "integer"}
_NUMBER: Final[Json] = {"type": "number"}
_DECIMAL: Final[Json] = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$"}
"""What is calculated with is a text, so that no digit is lost."""
_NAMED: Final[Json] = {"id": _TEXT, "name": _TEXT}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _set(name: str, description: str, item: str, **more: Json) -> Json:
    return _object(
        description, set={"type": "string", "const": name}, language=_LANGUAGE, **more, items=_list(_ref(item))
    )


_ORDERED: Final = "{} are in the order of their English names, in Arabic too."

SCHEMAS: Final[dict[str, Json]] = {
    "ReferenceSets": _set(
        "sets",
        "What there is for a region, and what the region is.",
        "ReferenceSet",
        region=_TEXT,
        title=_TEXT,
        countries=_list(_TEXT),
        currency=_TEXT,
        minor_unit={"type": "integer", "description": "Decimals of the currency."},
        time_zone=_TEXT,
    ),
    "ReferenceSet": _object(
        name=_TEXT,
        title=_TEXT,
        count={"type": "integer", "description": "How many items its `items` has."},
        version={"type": "string", "description": "The fingerprint of its content."},
        url={"type": "string", "format": "uri-reference", "description": "This version of it, which never changes."},
    ),
    "ReferenceMakes": _set("makes", f"Cars. {_ORDERED.format('Makes and models')}", "ReferenceMake"),
    "ReferenceMake": _object(**_NAMED, models=_list(_ref("ReferenceModel"))),
    "ReferenceModel": _object(
        "A model. `from` and `to` are the first and last model year of the name; years between may be without it. `to` "
        "null: it is still made.",
        **_NAMED,
        **{"from": _WHOLE, "to": _or_null(_WHOLE)},
    ),
    "ReferenceCategories": _set("categories", f"Parts. {_ORDERED.format('Categories and parts')}", "ReferenceCategory"),
    "ReferenceCategory": _object(**_NAMED, items=_list(_ref("ReferenceName"))),
    "ReferenceName": _object(**_NAMED),
    "ReferenceAreas": _set(
        "areas",
        f"The countries of a region; their cities begin with the largest. {_ORDERED.format('Areas')}",
        "ReferenceCountry",
        region=_TEXT,
    ),
    "ReferenceCountry": _object("A country by its two letters.", **_NAMED, cities=_list(_ref("ReferenceCity"))),
    "ReferenceCity": _object(**_NAMED, lat=_NUMBER, lng=_NUMBER, areas=_list(_ref("ReferenceName"))),
    "ReferencePlans": _set(
        "plans",
        "What a garage can book, with the commission on each part sold.",
        "ReferencePlan",
        region=_TEXT,
        currency=_TEXT,
    ),
    "ReferencePlan": _object(**_NAMED, description=_TEXT, commission_percent=_DECIMAL),
    "ReferenceZones": _set(
        "delivery-zones",
        "What a delivery costs in `currency`, by its distance from the hub in a straight line; the rings from near to "
        "far.",
        "ReferenceZone",
        region=_TEXT,
        currency=_TEXT,
        hub=_object(lat=_NUMBER, lng=_NUMBER),
    ),
    "ReferenceZone": _object(
        "A ring: `up_to_km` is in it, `from_km` is in the one before. `up_to_km` null: everything beyond.",
        name=_TEXT,
        from_km=_DECIMAL,
        up_to_km=_or_null(_DECIMAL),
        fee=_DECIMAL,
    ),
    "ReferenceStatuses": _set("statuses", "What the states of a trade are called.", "ReferenceBearer"),
    "ReferenceBearer": _object("What has a status.", **_NAMED, statuses=_list(_ref("ReferenceName"))),
}
_SCHEMA_OF: Final = {"delivery-zones": "ReferenceZones"} | {
    kind.name: f"Reference{kind.name.capitalize()}" for kind in KINDS if kind.name != "delivery-zones"
}
_VERSION: Final[Json] = {
    "name": "v",
    "in": "query",
    "description": "A version that the list of sets told: exactly that document, which may be kept for a year. "
    "Without it, or with one that is not known: the present one, by Accept-Language and region. Other query "
    "parameters change nothing.",
    "schema": {"type": "string"},
}
_SPOKEN: Final[Json] = {
    "name": "Accept-Language",
    "in": "header",
    "description": "English (`en`) or Arabic (`ar`), with weights. For instance `ar-QA, en;q=0.5`.",
    "schema": {"type": "string"},
}
HEADERS: Final[dict[str, Json]] = {
    "Content-Language": {"description": "The language of the names.", "schema": _LANGUAGE, "example": "ar"},
    "Vary": {
        "description": "The request headers that decided.",
        "schema": {"type": "string"},
        "example": "Accept-Encoding",
    },
}


def paths() -> tuple[dict[str, Json], dict[str, Json]]:
    """The calls of the list and of each set, and the named problem responses that they refer to."""
    listed, named = _call("sets", "What reference data there are", "ReferenceSets", is_regional=True)
    calls = {PREFIX: {"get": listed}}
    for kind in KINDS:
        title = f"{kind.title[LANGUAGES[0]]}"
        call, responses = _call(kind.name, title, _SCHEMA_OF[kind.name], is_regional=kind.is_regional)
        calls[f"{PREFIX}/{kind.name}"] = {"get": call}
        named |= responses
    return calls, named


def operation_id(name: str) -> str:
    """The operation's id in the API document, logs and metrics: of a set, or of `sets`, their list."""
    return f"{TAG}_{name.replace('-', '_')}"


def _call(name: str, summary: str, schema: str, *, is_regional: bool) -> tuple[Json, dict[str, Json]]:
    codes = {"malformed", "rate_limited", "internal", "deadline", "range_not_satisfiable"}
    codes |= {"origin_unavailable", "overloaded", "not_cached"}
    referred, named = problems.responses(problems.ordered(codes | ({"region_unavailable"} if is_regional else set())))
    said = answered(CACHE_CONTROL, GROUPS, "ETag", "Accept-Ranges", *HEADERS)
    content = {"application/json": {"schema": _ref(schema), "example": reference_examples.of(name)}}
    read = (REQUEST_ID, TIMEOUT, *((REGION,) if is_regional else ()), IF_NONE_MATCH)
    call = {
        "operationId": operation_id(name),
        "tags": [TAG],
        "summary": summary,
        "description": _description(is_regional=is_regional),
        "security": [],
        "parameters": [_VERSION, _SPOKEN, *(ref_to(header) for header in read)],
        "responses": {
            "200": {"description": "The whole document.", "headers": said, "content": content},
            "206": {
                "description": "The part that Range asked for: of the document in the coding that it is sent in.",
                "headers": said | answered("Content-Range"),
                "content": {"application/json": {"schema": {}}},
            },
            "304": {"description": "What you hold is still right.", "headers": answered("ETag")},
            **referred,
        },
    }
    return call, named


def _description(*, is_regional: bool) -> str:
    where = (
        "It differs by region: name one with `X-Region` and every cache may keep the answer."
        if is_regional
        else "It is the same in every region."
    )
    return f"*For anybody, from memory or from an edge near by; no login is read.* {where}"
