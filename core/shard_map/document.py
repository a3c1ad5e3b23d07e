"""The only door to ruamel.yaml: bytes in, a tree of placed values out, or faults."""

import re
from codecs import BOM_UTF8
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from core.limits import MAP_BYTES_MAX
from core.shard_map.faults import Faults, Place, deeper
from core.shard_map.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of_plain

_TOP = Place(1, 1, "")
_DEPTH_MAX = 32
_QUOTED_WORD = re.compile(r"'[^'<]{3,}'")
# What ruamel.yaml 0.19 lets out besides its own errors (found by fuzzing): "\UFFFFFFFF" is an OverflowError,
# odd directives and tags end in the others.
_PARSER_ACCIDENTS = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, AssertionError)


def read_document(data: bytes, faults: Faults) -> Node | None:
    """The document in `data`, or None if it cannot be read at all; either way `faults` says what was wrong."""
    text = _decode(data, faults)
    if text is None:
        return None
    root = _compose(text, faults)
    if faults:
        return None
    document = _convert(root, "", faults) if root is not None else None
    if document is None or (isinstance(document, Scalar) and document.kind == "null"):
        faults.add(_TOP, "the file is empty", "Write at least version, default_region and regions.")
        return None
    return document


def _decode(data: bytes, faults: Faults) -> str | None:
    if len(data) > MAP_BYTES_MAX:
        faults.add(_TOP, f"the file has more than {MAP_BYTES_MAX:,} bytes", "Is it really a shard map?")
        return None
    data = data.removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        readable = data[: error.start].decode()
        place = _place_of_index(readable, len(readable))
        faults.add(place, f"byte 0x{data[error.start]:02x} is not UTF-8", "Save the file as UTF-8.")
        return None


def _place_of_index(text: str, index: int) -> Place:
    before = text[:index]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"), "")


def _compose(text: str, faults: Faults) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = _DEPTH_MAX
    yaml.composer.warn_double_anchors = False
    try:
        return yaml.compose(text)
    except ReaderError as error:
        place = _place_of_index(text, error.position)
        faults.add(place, f"character U+{error.character:04X} is not allowed in YAML", "Delete it.")
    except MarkedYAMLError as error:
        _add_syntax_fault(error, text, faults)
    except (YAMLError, *_PARSER_ACCIDENTS) as error:
        faults.add(_TOP, f"this is not YAML ({type(error).__name__})", "Check it with a YAML editor.")
    return None


def _add_syntax_fault(error: MarkedYAMLError, text: str, faults: Faults) -> None:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1, "") if mark else _TOP
    faults.add(place, f"this is not YAML: {_problem(error)}", _syntax_remedy(place.line, text))


def _problem(error: MarkedYAMLError) -> str:
    began = error.context_mark
    context = f"{error.context} that began on line {began.line + 1}" if error.context and began else error.context
    # Quoted words are cut: an unquoted password that begins with * or ! would show as an alias or a tag.
    problem = _QUOTED_WORD.sub("'…'", ", ".join(each for each in (context, error.problem) if each))
    return " ".join(problem.split())


def _syntax_remedy(line: int, text: str) -> str:
    here = "".join(text.splitlines()[line - 1 : line])
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return "Indent with spaces; YAML does not allow tabs."
    if "${" in here:
        return 'Put the variable in double quotes: "${NAME:-default}".'
    return "Look here and on the line above for a missing quote, colon, bracket or space."


def _convert(node: Any, path: str, faults: Faults) -> Node:
    place = _place(node, path)
    if node.anchor is not None or node.ctag.handle is not None:
        what = "an anchor (&)" if node.anchor is not None else "a tag (!)"
        faults.add(place, f"{what} has no use in a shard map", "Remove it and write the value out where it is needed.")
        return Scalar(place, "", "unusable")
    match node:
        case ScalarNode():
            return Scalar(place, node.value, "text" if node.style else kind_of_plain(node.value))
        case SequenceNode():
            items = (_convert(item, f"{path}[{index}]", faults) for index, item in enumerate(node.value))
            return Sequence(place, tuple(items))
        case MappingNode():
            return Mapping(place, _entries(node, path, faults))
    raise AssertionError(f"not a YAML node: {type(node)}")


def _entries(node: MappingNode, path: str, faults: Faults) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode):
            faults.add(_place(key_node, path), "a key must be a single word", "Write it as name: value.")
            continue
        key = key_node.value
        place = _place(key_node, deeper(path, key))
        if first := entries.get(key):
            message = f"this key was written before, on line {first.place.line}"
            faults.add(place, message, "Keep one of the two.")
            continue
        value = _convert(value_node, place.path, faults)
        # The parser puts an absent value where the next key begins.
        absent = isinstance(value, Scalar) and value.kind == "null" and not value.text
        entries[key] = Entry(place, key, replace(value, place=place) if absent else value)
    return tuple(entries.values())


def _place(node: Any, path: str) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1, path)
