"""The API document: valid, complete, without loose ends, and the same every time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

import edge.refusals
from core.ids import placement_of
from edge.messages import Request
from edge.reference import KINDS
from gateway.marketplace import SERVICE
from gateway.operations import READ, WRITE, Api, Call, Created, Items, Page
from gateway.operations.openapi import document
from gateway.operations.openapi.examples import FIELD_EXAMPLES
from gateway.operations.openapi.problems import EVERY, MEANING, codes_of
from gateway.operations.operation import Operation
from gateway.problems import STATUS

OPERATIONS = SERVICE.api.operations
DOCUMENT = document(OPERATIONS)
Json = dict[str, Any]


class Spare(BaseModel):
    id: UUID
    note: str | None = None


class Wish(BaseModel):
    note: str
    colour: str | None = None


class Filter(BaseModel):
    make: str
    colour: str | None = None


def made_of(api: Api) -> Json:
    made = document(api.operations)
    OpenAPIV31SpecValidator(made).validate()
    return made


def call_of(operation: Operation) -> Json:
    found: Json = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def nodes(node: object) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from nodes(child)


def resolved(ref: str) -> Any:
    at: Any = DOCUMENT
    for part in ref.removeprefix("#/").split("/"):
        at = at[part.replace("~1", "/").replace("~0", "~")]
    return at


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_every_operation_is_described(operation: Operation) -> None:
    call = call_of(operation)
    assert call["operationId"] == operation.name
    assert call["summary"]
    assert str(operation.status) in call["responses"]
    assert (call.get("security") == []) is operation.public
    in_path = [p["name"] for p in call["parameters"] if p.get("in") == "path"]
    assert in_path == [p.name for p in operation.path_parameters]
    assert ("requestBody" in call) is (
        operation.body is not None or operation.upload is not None or operation.raw is not None
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_every_error_of_an_operation_has_its_status_and_an_example(operation: Operation) -> None:
    answers = call_of(operation)["responses"]
    documented = set()
    for status, answer in answers.items():
        if "$ref" in answer:
            examples = resolved(answer["$ref"])["content"]["application/problem+json"]["examples"]
            assert {example["value"]["status"] for example in examples.values()} == {int(status)}
            documented |= examples.keys()
    assert documented == set(codes_of(operation))
    assert set(operation.errors) <= documented


def test_operation_ids_are_unique() -> None:
    ids = [node["operationId"] for node in nodes(DOCUMENT["paths"]) if "operationId" in node]
    assert len(ids) == len(set(ids)) == len(OPERATIONS) + 4 + 7  # of health and of reference data


def test_health_is_described_in_every_variant() -> None:
    for path in ("/health", "/health/live", "/health/ready", "/health/regions/{region}"):
        assert DOCUMENT["paths"][path]["get"]["security"] == []


def test_every_error_code_is_documented_with_its_meaning() -> None:
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    assert problem["properties"]["code"]["enum"] == list(EVERY)
    assert MEANING.keys() == EVERY.keys() >= STATUS.keys()
    assert [(p["code"], p["status"], p["title"]) for p in problem["x-problems"]] == [
        (code, status, title) for code, (status, title) in EVERY.items()
    ]


def test_what_an_edge_says_by_itself_is_in_the_document() -> None:
    said = [refusal for refusal in vars(edge.refusals).values() if isinstance(refusal, edge.refusals.Refusal)]
    assert len(said) >= 9
    assert {refusal.code for refusal in said} <= EVERY.keys()
    listed = DOCUMENT["paths"]["/api/v1/reference"]["get"]["responses"]
    documented = {(int(status), code) for status, codes in problems_of(listed).items() for code in codes}
    passing = {(refusal.status, refusal.code) for refusal in said if refusal.is_passing} | {(504, "not_cached")}
    assert passing <= documented
    told = problem_of_edge(edge.refusals.UNREACHABLE)
    OAS31Validator({**DOCUMENT["components"]["schemas"]["Problem"], "components": DOCUMENT["components"]}).validate(
        told
    )


def problems_of(answers: Json) -> dict[str, set[str]]:
    """Status -> the codes of a call's problems."""
    named = {status: resolved(answer["$ref"]) for status, answer in answers.items() if "$ref" in answer}
    return {status: set(answer["content"]["application/problem+json"]["examples"]) for status, answer in named.items()}


def problem_of_edge(refusal: edge.refusals.Refusal) -> Json:
    """The problem of an edge, to a request without an id."""
    found: Json = json.loads(refusal.response(Request("GET", "/"), "e", retry_after_s=1).body)
    assert "request_id" not in found
    return found


@pytest.mark.parametrize("name", ["sets", *(kind.name for kind in KINDS)])
def test_reference_data_say_what_caches_may_do_and_nothing_of_who_asked(name: str) -> None:
    path = "/api/v1/reference" if name == "sets" else f"/api/v1/reference/{name}"
    call = DOCUMENT["paths"][path]["get"]
    told = call["responses"]["200"]["headers"].keys()
    assert told >= {"Cache-Control", "Cache-Groups", "ETag", "Vary"}
    assert told.isdisjoint({"X-Request-Id", "RateLimit", "RateLimit-Policy"})
    is_regional = {"$ref": "#/components/parameters/X-Region"} in call["parameters"]
    assert is_regional is (name == "sets" or any(kind.is_regional for kind in KINDS if kind.name == name))
    example = call["responses"]["200"]["content"]["application/json"]["example"]
    assert example["set"] == name
    assert 0 < len(json.dumps(example)) < 1500


def test_no_reference_dangles_and_no_schema_is_idle() -> None:
    refs = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    for ref in refs:
        assert resolved(ref) is not None
    for kind, names in DOCUMENT["components"].items():
        if kind != "securitySchemes":
            assert {f"#/components/{kind}/{name}" for name in names} <= refs


def test_every_example_of_a_problem_and_of_health_fits_its_schema() -> None:
    for node in nodes(DOCUMENT):
        if "schema" not in node or not ("examples" in node or "example" in node):
            continue
        values = [e["value"] for e in node.get("examples", {}).values()] + [node[k] for k in ("example",) if k in node]
        for value in values:
            OAS31Validator({**node["schema"], "components": DOCUMENT["components"]}).validate(value)


def test_every_example_of_a_field_fits_its_field() -> None:
    for node in nodes(DOCUMENT["components"]["schemas"]):
        for example in node["examples"] if isinstance(node.get("examples"), list) else []:
            OAS31Validator({**node, "components": DOCUMENT["components"]}).validate(example)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.body is not None], ids=lambda o: o.name)
def test_every_body_has_an_example_that_would_be_read(operation: Operation) -> None:
    assert operation.body is not None
    shown = call_of(operation)["requestBody"]["content"]["application/json"]
    OAS31Validator({**shown["schema"], "components": DOCUMENT["components"]}).validate(shown["example"])
    operation.body[1].model_validate_json(json.dumps(shown["example"]))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_every_operation_is_explained_in_sentences(operation: Operation) -> None:
    said = (operation.handler.__doc__ or "").strip()
    assert said.endswith((".", "!", ")", ":")) or "- `" in said
    assert len(call_of(operation)["summary"]) <= 160


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.query is not None], ids=lambda o: o.name)
def test_every_parameter_of_a_query_is_explained(operation: Operation) -> None:
    asked = [parameter for parameter in call_of(operation)["parameters"] if parameter.get("in") == "query"]
    assert all(parameter["description"].endswith(".") for parameter in asked)


def test_a_body_of_changes_is_never_empty() -> None:
    bodies = [call_of(o)["requestBody"]["content"]["application/json"] for o in OPERATIONS if o.method == "PATCH"]
    changes = [resolved(body["schema"]["$ref"]) for body in bodies]
    assert all(body["example"] for body in bodies)
    assert {schema["minProperties"] for schema in changes} == {1}


def test_the_example_id_is_one_of_ours_in_doha() -> None:
    assert placement_of(UUID(str(FIELD_EXAMPLES["id"]))).region_code == 1


def test_names_are_readable_and_no_default_is_null() -> None:
    names = DOCUMENT["components"]["schemas"].keys()
    assert "VehicleItems" in names
    assert all(name.isalnum() for name in names)
    assert not any("default" in node and node["default"] is None for node in nodes(DOCUMENT["components"]["schemas"]))


def test_it_is_the_same_in_every_process() -> None:
    program = (
        "import orjson, sys; from gateway.marketplace import SERVICE; from gateway.operations.openapi import document;"
        "sys.stdout.buffer.write(orjson.dumps(document(SERVICE.api.operations)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert json.loads(texts.pop()) == DOCUMENT


def test_a_list_has_paging_and_its_items() -> None:
    api = Api("/api/v1/spares", tag="spares")

    @api.get("", intent=READ)
    async def own(call: Call, page: Page, filter: Filter) -> Items[Spare]:
        """Spares."""
        raise NotImplementedError

    made = made_of(api)
    call = made["paths"]["/api/v1/spares"]["get"]
    parameters = {p["name"]: p for p in call["parameters"] if "name" in p}
    assert list(parameters) == ["make", "colour", "limit", "cursor"]
    assert [parameters[name].get("required", False) for name in parameters] == [True, False, False, False]
    assert parameters["colour"]["schema"] == {"type": "string"}
    assert call["responses"]["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/SpareItems"
    }
    assert "ETag" not in call["responses"]["200"]["headers"]
    assert "Filter" not in made["components"]["schemas"]
    assert made["components"]["schemas"]["SpareItems"]["required"] == ["items", "next"]


def test_a_created_resource_answers_201_and_a_union_is_any_of() -> None:
    api = Api("/api/v1/spares", tag="spares")

    @api.post("/{spare_id}", intent=WRITE, role="customer")
    async def add(call: Call, spare_id: UUID, wish: Wish) -> Created[Spare | Wish]:
        """Add one.

        It is kept.
        """
        raise NotImplementedError

    call = made_of(api)["paths"]["/api/v1/spares/{spare_id}"]["post"]
    answer = call["responses"]["201"]["content"]["application/json"]["schema"]
    assert {"$ref": "#/components/schemas/Spare"} in answer["anyOf"]
    assert call["parameters"][0]["schema"]["format"] == "uuid"
    assert {"$ref": "#/components/parameters/Idempotency-Key"} in call["parameters"]
    assert call["description"].startswith("It is kept.")
    expected = {"201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503", "504"}
    assert call["responses"].keys() == expected


def test_an_unknown_error_code_is_refused() -> None:
    api = Api("/api/v1/spares")

    @api.get("", intent=READ, errors=["no_such_code"])
    async def own(call: Call) -> Spare:
        """One."""
        raise NotImplementedError

    with pytest.raises(ValueError, match="no_such_code"):
        document(api.operations)
