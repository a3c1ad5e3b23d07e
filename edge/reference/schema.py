"""A check against `schema.json`, in words: the few keywords of JSON Schema that it uses, and no others.

The standard library has no such check, and the edge needs nothing else. A test holds it against a full implementation.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Path = tuple[str | int, ...]
Fault = tuple[Path, str]
"""Where in a document, and what is wrong there."""

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_NAMED: Final = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}


class Schema:
    """The definitions of one schema file."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Any] = document["$defs"]

    def faults(self, value: object, definition: str) -> Iterator[Fault]:
        """Every fault of a value held against a definition, in the order of the document."""
        return self._faults(value, self._definitions[definition], ())

    def _faults(self, value: object, schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
        if "$ref" in schema:
            yield from self._faults(value, self._definitions[schema["$ref"].removeprefix("#/$defs/")], path)
            return
        if "anyOf" in schema:
            yield from self._faults_of_any(value, schema["anyOf"], path)
            return
        if "type" in schema and not _is(value, schema["type"]):
            yield path, f"must be {_NAMED[schema['type']]}"
        elif isinstance(value, dict):
            yield from self._of_object(value, schema, path)
        elif isinstance(value, list):
            yield from self._of_list(value, schema, path)
        elif isinstance(value, str):
            yield from _of_text(value, schema, path)
        elif isinstance(value, int | float):
            yield from _of_number(value, schema, path)

    def _faults_of_any(self, value: object, choices: list[Mapping[str, Any]], path: Path) -> Iterator[Fault]:
        found = [list(self._faults(value, choice, path)) for choice in choices]
        if all(found):
            yield path, " or ".join(dict.fromkeys(message for faults in found for _, message in faults))

    def _of_object(self, value: dict[str, Any], schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
        for name in schema.get("required", ()):
            if name not in value:
                yield path, f"needs {name!r}"
        if len(value) < schema.get("minProperties", 0):
            yield path, "must not be empty"
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name, member in value.items():
            if name in properties:
                yield from self._faults(member, properties[name], (*path, name))
            elif others is False:
                yield (*path, name), f"is not known here; known are {', '.join(properties)}"
            else:
                for _, message in _of_text(name, schema.get("propertyNames", {}), path):
                    yield (*path, name), f"the key {message}"
                yield from self._faults(member, others, (*path, name))

    def _of_list(self, value: list[Any], schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
        if len(value) < schema.get("minItems", 0):
            yield path, "must not be empty"
        for at, item in enumerate(value):
            yield from self._faults(item, schema.get("items", {}), (*path, at))


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not isinstance(value, bool)


def _of_text(value: str, schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    if len(value) > schema.get("maxLength", len(value)):
        yield path, f"must have at most {schema['maxLength']} characters"
    pattern = schema.get("pattern", "")
    # To Python, `$` is also before the end of a last line.
    if not re.search(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern, value):
        yield path, f"must be written as {pattern}"


def _of_number(value: float, schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    least, most = schema.get("minimum", value), schema.get("maximum", value)
    if not least <= value <= most:
        yield path, f"must be from {least} to {most}"
