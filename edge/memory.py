"""The cache of one process, in memory: bounded in bytes and entries, and fair between regions."""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edge.bounds import Bounds
from edge.cache import Entry, Purge
from edge.messages import Fields

ENTRY_BYTES: Final = 1024
FIELD_BYTES: Final = 120
GROUP_BYTES: Final = 400
"""What an entry, each of its fields and each of its groups cost beside their texts and the body, about."""

_Place = tuple[str, Fields]
"""Where an entry is: its key and selecting values."""


@dataclass(slots=True)
class _Shelf:
    """The entries of one key, the newest first. Used since it was last looked at by the eviction."""

    entries: tuple[Entry, ...] = ()
    is_used: bool = False


@dataclass(slots=True)
class _Region:
    """What one region has, the first to go first."""

    places: OrderedDict[_Place, int] = field(default_factory=OrderedDict)
    size: int = 0


class MemoryCache:
    """Keeps entries until there is no room: then the region that holds most gives up what it has not used.

    What is evicted is found by second chance, which is as good as least recently used but costs a look-up nothing: an
    entry goes when it was not used since it was last up.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._shelves: dict[str, _Shelf] = {}
        self._regions: dict[str, _Region] = defaultdict(_Region)
        self._groups: dict[str, set[str]] = {}
        self._size = 0
        self._count = 0
        self.evicted = 0

    @property
    def size_bytes(self) -> int:
        """What is held, about."""
        return self._size

    def __len__(self) -> int:
        return self._count

    async def get(self, key: str) -> Sequence[Entry]:
        """See `Cache`."""
        return self.look(key)

    def look(self, key: str) -> Sequence[Entry]:
        """The same at once."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return ()
        shelf.is_used = True
        return shelf.entries

    async def put(self, key: str, entry: Entry) -> bool:
        """See `Cache`. An entry larger than `object_bytes` is not kept."""
        if len(entry.body) > self._bounds.object_bytes:
            return False
        self._remove(key, entry.selecting)
        shelf = self._shelves.setdefault(key, _Shelf())
        if len(shelf.entries) >= self._bounds.variants:
            self._remove(key, shelf.entries[-1].selecting)
            shelf = self._shelves.setdefault(key, _Shelf())
        shelf.entries = (entry, *shelf.entries)
        size = _size(key, entry)
        region = self._regions[entry.region]
        region.places[key, entry.selecting] = size
        region.size += size
        self._size += size
        self._count += 1
        for group in entry.groups:
            self._groups.setdefault(group, set()).add(key)
        self._make_room()
        return any(kept is entry for kept in self._entries(key))

    async def drop(self, key: str) -> int:
        """See `Cache`."""
        entries = self._entries(key)
        for entry in entries:
            self._remove(key, entry.selecting)
        return len(entries)

    async def purge(self, purge: Purge, now: float) -> int:
        """See `Cache`. By url and by group it looks at what is met only; by region at the region's own."""
        met = [(key, entry) for key in self._keys(purge) for entry in self._entries(key) if purge.meets(key, entry)]
        for key, entry in met:
            if purge.hard:
                self._remove(key, entry.selecting)
            elif entry.purged_at is None:
                shelf = self._shelves[key]
                stale = replace(entry, purged_at=now)
                shelf.entries = tuple(stale if other is entry else other for other in shelf.entries)
        return len(met)

    def clear(self) -> None:
        """Forget everything."""
        self._shelves.clear()
        self._regions.clear()
        self._groups.clear()
        self._size = self._count = 0

    def _entries(self, key: str) -> tuple[Entry, ...]:
        shelf = self._shelves.get(key)
        return shelf.entries if shelf is not None else ()

    def _keys(self, purge: Purge) -> list[str]:
        if purge.url is not None:
            return [purge.url]
        if purge.group is not None:
            return sorted(self._groups.get(purge.group, ()))
        region = self._regions.get(purge.region or "")
        return list(dict.fromkeys(key for key, _ in region.places)) if region is not None else []

    def _make_room(self) -> None:
        while self._size > self._bounds.store_bytes or self._count > self._bounds.store_entries:
            self._evict(max(self._regions.values(), key=lambda region: region.size))

    def _evict(self, region: _Region) -> None:
        while True:
            key, selecting = next(iter(region.places))
            shelf = self._shelves[key]
            if not shelf.is_used or len(region.places) == 1:
                self._remove(key, selecting)
                self.evicted += 1
                return
            shelf.is_used = False
            region.places.move_to_end((key, selecting))

    def _remove(self, key: str, selecting: Fields) -> None:
        shelf = self._shelves.get(key)
        entry = next((e for e in shelf.entries if e.selecting == selecting), None) if shelf is not None else None
        if shelf is None or entry is None:
            return
        shelf.entries = tuple(other for other in shelf.entries if other is not entry)
        region = self._regions[entry.region]
        size = region.places.pop((key, selecting))
        region.size -= size
        self._size -= size
        self._count -= 1
        if not region.places:
            del self._regions[entry.region]
        if not shelf.entries:
            del self._shelves[key]
        self._forget_groups(key, entry)

    def _forget_groups(self, key: str, entry: Entry) -> None:
        kept = {group for other in self._entries(key) for group in other.groups}
        for group in entry.groups - kept:
            self._groups[group].discard(key)
            if not self._groups[group]:
                del self._groups[group]


def _size(key: str, entry: Entry) -> int:
    fields = sum(FIELD_BYTES + len(name) + len(value) for name, value in (*entry.headers, *entry.selecting))
    groups = sum(GROUP_BYTES + len(group) for group in entry.groups)
    return ENTRY_BYTES + len(key) + fields + groups + len(entry.body)
