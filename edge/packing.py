"""Stored answers as bytes, for caches that keep them outside the process: a line of JSON, then the bodies."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from edge.cache import Entry

_LENGTH_BYTES: Final = 4
_PLAIN: Final = tuple(field.name for field in fields(Entry) if field.init and field.name not in ("body", "groups"))


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry, and the purge marks (name -> id) that were known when it was kept."""

    entry: Entry
    seen: Mapping[str, str]


def pack(kept: Sequence[Kept]) -> bytes:
    """All of them in one piece; `unpack` reads it."""
    head = json.dumps([_described(each) for each in kept], separators=(",", ":")).encode()
    return b"".join((len(head).to_bytes(_LENGTH_BYTES), head, *(each.entry.body for each in kept)))


def unpack(packed: bytes) -> list[Kept]:
    """What `pack` made. Raises ValueError, KeyError or TypeError for what another version or anyone else made."""
    start = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES])
    kept = []
    for described in json.loads(packed[_LENGTH_BYTES:start]):
        end = start + described["body_bytes"]
        if end > len(packed):
            raise ValueError("the bodies are cut off")
        kept.append(_read(described, packed[start:end]))
        start = end
    return kept


def _described(kept: Kept) -> dict[str, Any]:
    entry = kept.entry
    values = {name: getattr(entry, name) for name in _PLAIN}
    return values | {"groups": sorted(entry.groups), "body_bytes": len(entry.body), "seen": dict(kept.seen)}


def _read(described: dict[str, Any], body: bytes) -> Kept:
    values = {name: described[name] for name in _PLAIN}
    values["headers"] = tuple((name, value) for name, value in described["headers"])
    values["selecting"] = tuple((name, value) for name, value in described["selecting"])
    return Kept(Entry(**values, body=body, groups=frozenset(described["groups"])), dict(described["seen"]))
