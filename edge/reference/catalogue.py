"""The checked sets that come from files: what the project ships, and what an operator puts in their place."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from edge.reference.lines import line_of
from edge.reference.schema import Fault, Schema
from edge.reference.schema import Path as Place

FILES: Final = ("makes", "categories", "areas", "plans", "statuses")
"""The sets that are files, `<set>.json`."""
BYTES_MAX: Final = 4 * 1024 * 1024
_TOLD_MAX: Final = 20
_FOLDER: Final = Path(__file__).parent


class DataRefused(Exception):
    """Reference data that are not as the schema says. `faults` are lines like `makes.json:12: items.3.from: ...`."""

    def __init__(self, faults: list[str]) -> None:
        shown = faults[:_TOLD_MAX]
        if len(faults) > len(shown):
            shown.append(f"and {len(faults) - len(shown)} more")
        super().__init__("\n".join(shown))
        self.faults = tuple(shown)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Sets by name, each as its file has it and as `schema.json` says."""

    sets: Mapping[str, Any]

    @classmethod
    def shipped(cls) -> "Catalogue":
        """The sets that come with the project. A test checks them, so that no start has to."""
        return cls({name: json.loads((_FOLDER / "data" / f"{name}.json").read_bytes()) for name in FILES})

    def replaced(self, files: Mapping[str, bytes]) -> "Catalogue":
        """This catalogue with the sets of some files (`makes.json` -> its text) in place of its own.

        Raises DataRefused with the faults of all files; then nothing of them is to be used.
        """
        faults: list[str] = []
        found = {name.removesuffix(".json"): _read(name, content, faults) for name, content in sorted(files.items())}
        if faults:
            raise DataRefused(faults)
        return Catalogue({**self.sets, **found})


class _Object(dict[str, Any]):
    """A JSON object that remembers a key it had twice."""

    twice: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object()
    for name, value in pairs:
        if name in made:
            made.twice = name
        made[name] = value
    return made


def _read(name: str, content: bytes, faults: list[str]) -> Any:
    """The value of one file; what is wrong with it is added to `faults`."""
    definition = name.removesuffix(".json")
    if definition not in FILES or not name.endswith(".json"):
        faults.append(f"{name}:1: there is no such set; sets are {', '.join(f'{file}.json' for file in FILES)}")
        return None
    if len(content) > BYTES_MAX:
        faults.append(f"{name}:1: has more than {BYTES_MAX} bytes")
        return None
    try:
        text = content.decode()
        value = json.loads(text, object_pairs_hook=_object)
        found = [*_schema().faults(value, definition), *_relations(value, ())]
    except json.JSONDecodeError as exc:
        faults.append(f"{name}:{exc.lineno}: is not JSON: {exc.msg}")
        return None
    except UnicodeDecodeError:
        faults.append(f"{name}:1: is not UTF-8")
        return None
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits, brackets in thousands of brackets
        faults.append(f"{name}:1: cannot be read: {exc}")
        return None
    faults += [f"{name}:{line_of(text, path)}: {_shown(path)}: {message}" for path, message in found[: _TOLD_MAX + 1]]
    return value


def _relations(value: object, path: Place) -> Iterator[Fault]:
    """What a schema cannot say: keys and ids are unique, years are in order, text is Unicode."""
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        yield path, "has half of a surrogate pair"
    if isinstance(value, _Object):
        yield from _relations_of_members(value, path)
    if isinstance(value, list):
        yield from _repeated(value, path)
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        yield from _relations(member, (*path, step))


def _relations_of_members(value: _Object, path: Place) -> Iterator[Fault]:
    if value.twice is not None:
        yield path, f"has the key {value.twice!r} twice"
    first, last = value.get("from"), value.get("to")
    if isinstance(first, int) and isinstance(last, int) and first > last:
        yield (*path, "to"), f"must not be before from, {first}"


def _repeated(items: list[Any], path: Place) -> Iterator[Fault]:
    seen: set[str] = set()
    for at, item in enumerate(items):
        id = item.get("id") if isinstance(item, dict) else None
        if isinstance(id, str):
            if id in seen:
                yield (*path, at, "id"), f"{id!r} stands in this list twice"
            seen.add(id)


def _shown(path: Place) -> str:
    return ".".join(map(str, path)) or "the whole"


@cache
def _schema() -> Schema:
    return Schema(json.loads((_FOLDER / "schema.json").read_bytes()))
