"""From the models of all operations to JSON Schema, made in one go so that two models of one name never meet."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from gateway.operations.downloads import Download
from gateway.operations.operation import Operation

Json = dict[str, Any]
Part = Literal["path", "query", "body", "result"]
_Key = tuple[int, Part, str]
_Input = tuple[_Key, Literal["validation", "serialization"], TypeAdapter[Any]]

REF_PREFIX: Final = "#/components/schemas/"
_GENERIC = re.compile(r"(\w+)\[(.+)\]")


class Schemas:
    """The schemas of some operations: `components` by name, and what stands at each place of an operation."""

    def __init__(self, operations: Sequence[Operation], *, examples: Mapping[str, object]) -> None:
        inputs = [entry for operation in operations for entry in _inputs(operation)]
        self._at, found = TypeAdapter.json_schemas(
            inputs, ref_template=REF_PREFIX + "{model}", schema_generator=_Readable
        )
        self._examples = examples
        self.components: dict[str, Json] = found.get("$defs", {})
        for schema in self.components.values():
            schema.pop("title", None)
            for name, field in schema.get("properties", {}).items():
                self._illustrate(name, field)
        for operation in operations:
            if operation.method == "PATCH" and operation.body is not None:
                self.components[self.body(operation)["$ref"].removeprefix(REF_PREFIX)]["minProperties"] = 1

    def body(self, operation: Operation) -> Json:
        """The schema of an operation's body."""
        return self._of(operation, "body", "")

    def body_example(self, operation: Operation) -> Any:
        """A body as a client might send it: its model's own example, or what the examples of its fields make."""
        return self._example(self.body(operation))

    def result(self, operation: Operation) -> Json:
        """The schema of an operation's answer."""
        return self._of(operation, "result", "")

    def path_parameters(self, operation: Operation) -> dict[str, Json]:
        """Name -> schema of the parameters in an operation's path."""
        found = {p.name: dict(self._of(operation, "path", p.name)) for p in operation.path_parameters}
        for name, schema in found.items():
            self._illustrate(name, schema)
        return found

    def query_parameters(self, operation: Operation) -> dict[str, tuple[Json, bool]]:
        """Name -> (schema, whether it must be sent) of the fields of an operation's query model."""
        if operation.query is None:
            return {}
        model = self.components[self._of(operation, "query", "")["$ref"].removeprefix(REF_PREFIX)]
        required, fields = model.get("required", []), model["properties"]
        return {name: (_unfilled(_without_null(field)), name in required) for name, field in fields.items()}

    def _of(self, operation: Operation, part: Part, name: str) -> Json:
        mode: Literal["validation", "serialization"] = "serialization" if part == "result" else "validation"
        return self._at[((id(operation), part, name), mode)]

    def _example(self, schema: Json) -> Any:
        if "$ref" in schema:
            return self._example(self.components[schema["$ref"].removeprefix(REF_PREFIX)] | _unreferring(schema))
        for said in ("examples", "enum"):
            if said in schema:
                return schema[said][0]
        for said in ("const", "default"):
            if said in schema:
                return schema[said]
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0])
        needed = schema.get("required", [])
        fields = schema.get("properties", {}).items()
        return {name: self._example(field) for name, field in fields if name in needed or "examples" in field}

    def _illustrate(self, name: str, field: Json) -> None:
        if field.get("format") == "uuid":
            name = "id"
        if name in self._examples and "examples" not in field and "$ref" not in field:
            field["examples"] = [self._examples[name]]


def _inputs(operation: Operation) -> Iterator[_Input]:
    at = id(operation)
    for parameter in operation.path_parameters:
        yield (at, "path", parameter.name), "validation", TypeAdapter(parameter.type)
    if operation.query is not None:
        yield (at, "query", ""), "validation", TypeAdapter(operation.query[1])
    if operation.body is not None:
        yield (at, "body", ""), "validation", TypeAdapter(operation.body[1])
    if operation.result not in (None, Download):
        yield (at, "result", ""), "serialization", TypeAdapter(operation.result)


def _unreferring(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "$ref"}


def _unfilled(schema: Json) -> Json:
    """The docs page fills every example in before a call is tried; for what may be left out that would be wrong."""
    return {key: value for key, value in schema.items() if key != "examples"}


def _without_null(schema: Json) -> Json:
    """An optional field of a query string is left out, never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    about = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(choices) == 1:
        only: Json = choices[0]
        return only | about
    return about | ({"anyOf": choices} if choices else {})


class _Readable(GenerateJsonSchema):
    """Pydantic's schemas under the names a client developer would choose, and without titles that repeat them."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """An answer is written whole: a field that has a default stands in it all the same."""
        return self.mode == "serialization" or super().field_is_required(field, total)

    def default_schema(self, schema: Any) -> Json:
        """A null default only says "left out", and where null itself is refused it would be false."""
        made: Json = super().default_schema(schema)
        return {key: value for key, value in made.items() if not (key == "default" and value is None)}

    def normalize_name(self, name: str) -> str:
        generic = _GENERIC.fullmatch(name)
        if generic is None:
            return super().normalize_name(name)
        origin, of = generic.groups()
        return "".join(self.normalize_name(part.strip()) for part in of.split(",")) + origin
