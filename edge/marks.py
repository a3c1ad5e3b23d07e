"""Purges as marks (bans) in a store that all data centres share, for caches whose entries nobody can list. Pure.

A mark says when something was purged. Whoever finds an entry asks for the marks of its url, its region and its groups:
what was received before a mark is purged, wherever it lies. An entry keeps the ids of the marks that were known when it
was stored, so that within the clocks' disagreement a mark that it was fetched after does not count against it.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Protocol

from edge.cache import Entry, Purge

SKEW_S: Final = 5.0
"""How far the clocks of two data centres may be apart."""
LAST_S: Final = 30 * 24 * 3600
"""How long a mark is kept. No entry may be kept for longer, or it would come back."""
MEMORY_S: Final = 10.0
"""How long a process believes what it read of a mark."""
_MEMORY_MAX: Final = 10_000
_KINDS: Final = ("url", "group", "region")


class Notes(Protocol):
    """A small store shared by all data centres, such as Workers KV. It may be a minute behind itself elsewhere."""

    async def read(self, name: str) -> str | None:
        """The text under a name, None if there is none. Raises OSError if the store does not answer."""
        ...

    async def write(self, name: str, text: str, *, lasts_s: int) -> None:
        """Keep a text for so long. Raises OSError if the store does not take it."""
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """One purge: its time, Unix seconds, and an id that no other has."""

    at: float
    id: str

    def meets(self, entry: Entry, seen: str | None) -> bool:
        """Whether an entry that was stored knowing the purge `seen` is met by this one."""
        return entry.received_at < self.at or (seen != self.id and entry.received_at <= self.at + SKEW_S)


@dataclass(frozen=True, slots=True)
class Mark:
    """The last soft and the last hard purge of one name."""

    soft: Stamp | None = None
    hard: Stamp | None = None

    @property
    def id(self) -> str:
        """What an entry keeps of the mark."""
        return f"{self.soft.id if self.soft else ''}/{self.hard.id if self.hard else ''}"


NO_MARK: Final = Mark()
_NEVER: Final = (float("-inf"), NO_MARK)
Memory = dict[str, tuple[float, Mark]]
"""What a process has read of marks, and when; it may outlive a Marks."""


class Marks:
    """The marks of a store, read at most every 10 s each."""

    def __init__(self, notes: Notes, *, memory: Memory, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._notes = notes
        self._memory = memory
        self._clock = clock
        self._new_id = new_id

    async def of(self, names: Iterable[str]) -> dict[str, Mark]:
        """The marks of these names. What cannot be read counts as not marked: answers go on while the store is away."""
        known = {name: self._known(name) for name in names}
        unknown = [name for name, mark in known.items() if mark is None]
        read = zip(unknown, await asyncio.gather(*map(self._read, unknown)), strict=True) if unknown else ()
        return {name: mark for name, mark in known.items() if mark is not None} | dict(read)

    async def add(self, purge: Purge, now: float) -> None:
        """Mark what a purge names. Raises OSError if the store does not take it."""
        name = name_of(purge)
        mark = _parsed(await self._notes.read(name))
        stamp = Stamp(now, self._new_id())
        mark = replace(mark, hard=stamp) if purge.hard else replace(mark, soft=stamp)
        await self._notes.write(name, _text(mark), lasts_s=LAST_S)
        self._remember(name, mark)

    def _known(self, name: str) -> Mark | None:
        read_at, mark = self._memory.get(name, _NEVER)
        return mark if self._clock() - read_at < MEMORY_S else None

    async def _read(self, name: str) -> Mark:
        try:
            mark = _parsed(await self._notes.read(name))
        except OSError:
            return self._memory.get(name, _NEVER)[1]
        self._remember(name, mark)
        return mark

    def _remember(self, name: str, mark: Mark) -> None:
        if len(self._memory) >= _MEMORY_MAX:
            self._memory.clear()
        self._memory[name] = (self._clock(), mark)


def standing(key: str, entry: Entry, seen: Mapping[str, str], marks: Mapping[str, Mark]) -> Entry | None:
    """An entry of a key as the marks leave it: as it was, purged softly, or None for purged hard."""
    purged_at = entry.purged_at
    for name in names_of(key, entry):
        mark = marks.get(name, NO_MARK)
        soft, _, hard = seen.get(name, "/").partition("/")
        if mark.hard is not None and mark.hard.meets(entry, hard):
            return None
        if mark.soft is not None and mark.soft.meets(entry, soft):
            purged_at = max(mark.soft.at, purged_at or mark.soft.at)
    return entry if purged_at == entry.purged_at else replace(entry, purged_at=purged_at)


def names_of(key: str, entry: Entry) -> tuple[str, ...]:
    """The marks that an entry of a key is subject to."""
    groups = (name_of(Purge(group=group)) for group in sorted(entry.groups))
    return (name_of(Purge(url=key)), name_of(Purge(region=entry.region)), *groups)


def name_of(purge: Purge) -> str:
    """The name of a mark: short, whatever is in it."""
    kind, value = next((kind, value) for kind in _KINDS if (value := getattr(purge, kind)) is not None)
    return f"{kind}:{sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _text(mark: Mark) -> str:
    return json.dumps(
        {kind: [stamp.at, stamp.id] for kind, stamp in (("soft", mark.soft), ("hard", mark.hard)) if stamp}
    )


def _parsed(text: str | None) -> Mark:
    """A mark from its text; anything else than a mark is none."""
    if not text:
        return NO_MARK
    try:
        data = json.loads(text)
        return Mark(_stamp(data.get("soft")), _stamp(data.get("hard")))
    except (ValueError, TypeError, AttributeError):
        return NO_MARK


def _stamp(data: Any) -> Stamp | None:
    if data is None:
        return None
    at, id = data
    return Stamp(float(at), str(id))
