"""Reads the keys of one mapping into the fields of a raw config type, recording every fault on the way."""

import sys
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from typing import Final, TypeVar

from core.shard_map.faults import At, Faults, Place, Wrong, did_you_mean
from core.shard_map.tree import Entry, Mapping, Node, Scalar, Sequence

T = TypeVar("T")

ANY_SIZE: Final = range(sys.maxsize)


class Fields:
    """One mapping of the file. Its allowed keys are the fields of `shape`, a type of `core.shard_map.raw`.

    Opening it records a fault for anything but a mapping, for every unknown key and for every missing one.
    """

    def __init__(self, node: Node, shape: type, faults: Faults, *, place: Place | None = None) -> None:
        self.place = place or node.place
        self._faults = faults
        self._entries: dict[str, Entry] = {}
        if (mapping := as_mapping(node, faults)) is not None:
            self._entries = {entry.key: entry for entry in mapping}
            self._check_keys(keys_of(shape))

    def has(self, key: str) -> bool:
        """Whether the key is there, readable or not."""
        return key in self._entries

    def one(self, key: str, convert: Callable[[Scalar], T]) -> At[T] | None:
        """The single value of `key`."""
        entry = self._entries.get(key)
        return read_scalar(entry.value, convert, self._faults) if entry else None

    def many(self, key: str, convert: Callable[[Scalar], T], *, size: range = ANY_SIZE) -> tuple[At[T], ...] | None:
        """The values of the list at `key`, without those that had a fault."""
        nodes = self.nodes(key, size=size)
        if nodes is None:
            return None
        values = (read_scalar(node, convert, self._faults) for node in nodes)
        return tuple(value for value in values if value is not None)

    def nodes(self, key: str, *, size: range = ANY_SIZE) -> tuple[Node, ...] | None:
        """The items of the list at `key`, unread."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not isinstance(entry.value, Sequence):
            add_shape_fault(entry.value, "a list", "Write [one, two], or one item a line with a dash.", self._faults)
            return None
        self._check_size(entry, len(entry.value.items), size)
        return entry.value.items

    def entries(self, key: str, *, size: range) -> tuple[Entry, ...] | None:
        """The entries of the mapping at `key`, whose own keys are names."""
        entry = self._entries.get(key)
        mapping = as_mapping(entry.value, self._faults) if entry else None
        if entry is None or mapping is None:
            return None
        self._check_size(entry, len(mapping.entries), size)
        return mapping.entries

    def inner(self, key: str, shape: type) -> "Fields | None":
        """The mapping at `key`, opened as `shape`."""
        entry = self._entries.get(key)
        return Fields(entry.value, shape, self._faults, place=entry.place) if entry else None

    def _check_size(self, entry: Entry, found: int, size: range) -> None:
        if found not in size:
            bound = f"at least {size.start}" if found < size.start else f"at most {size.stop - 1}"
            self._faults.add(entry.value.place, f"there are {found} entries here", f"Write {bound}.")

    def _check_keys(self, examples: dict[str, str | None]) -> None:
        for entry in self._entries.values():
            if entry.key not in examples:
                remedy = did_you_mean(entry.key, examples, f"Known keys: {', '.join(examples)}.")
                self._faults.add(entry.place, "there is no such key", remedy)
        for key, example in examples.items():
            if example is not None and key not in self._entries:
                self._faults.add(self.place.key(key), "this key is missing", f"Add it, for example {key}: {example}")


def keys_of(shape: type) -> dict[str, str | None]:
    """The keys of a raw config type, each with its example if it is required."""
    return {
        each.name: each.metadata.get("example") for each in dataclass_fields(shape) if each.metadata.get("key", True)
    }


def read_scalar(node: Node, convert: Callable[[Scalar], T], faults: Faults) -> At[T] | None:
    """The converted value of a scalar, or None with its fault recorded."""
    if not isinstance(node, Scalar):
        add_shape_fault(node, "a single value", "Write one value after the colon.", faults)
        return None
    if node.kind == "unusable":
        return None
    try:
        return At(convert(node), node.place)
    except Wrong as wrong:
        faults.add(node.place, wrong.message, wrong.remedy)
        return None


def as_mapping(node: Node, faults: Faults) -> Mapping | None:
    """The node itself if it is a mapping, or None with its fault recorded."""
    if isinstance(node, Mapping):
        return node
    add_shape_fault(node, "a mapping", "Write key: value pairs, or {} for none.", faults)
    return None


def add_shape_fault(node: Node, wanted: str, remedy: str, faults: Faults) -> None:
    """Record that a node has the wrong shape, unless its own fault is recorded already."""
    match node:
        case Scalar(kind="unusable"):
            return
        case Scalar(kind="null"):
            found = "empty"
        case Scalar():
            found = "a single value"
        case Sequence():
            found = "a list"
        case Mapping():
            found = "a mapping"
    faults.add(node.place, f"this is {found}, and must be {wanted}", remedy)
