"""A YAML document as plain values that know their place: the form between the parser and the raw config."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.shard_map.faults import Place

Kind = Literal["text", "integer", "decimal", "boolean", "null", "variable", "unusable"]

_CORE_SCHEMA: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("boolean", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("integer", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    ("decimal", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(?i:inf)|\.(?i:nan)")),
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: its text and what that text is.

    `variable`: the text came out of `${...}`, so it may be read as whatever the key needs. It may be a secret in the
    wrong place, so messages show `variables`, the names, instead.
    `unusable`: a fault was recorded already; whoever reads it says nothing more.
    """

    place: Place
    text: str
    kind: Kind
    variables: str = ""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key (with its place) and its value."""

    place: Place
    key: str
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, its keys unique and in the order of the text."""

    place: Place
    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


Node: TypeAlias = Scalar | Sequence | Mapping


def kind_of_plain(text: str) -> Kind:
    """What an unquoted scalar is by the core schema of YAML 1.2.2 (section 10.3.2), where `NO` and `off` are text.

    Decided here and not by the parser, because a `%YAML 1.1` line would make Norway a boolean.
    """
    return next((kind for kind, pattern in _CORE_SCHEMA if pattern.fullmatch(text)), "text")
