"""Cloudflare's Cache API as the edge's cache, with purge marks in Workers KV.

The Cache API is one store a data centre; it knows neither Vary nor stale-while-revalidate, so all variants of a url are
one item with our own metadata. What was purged is a mark in KV, which reaches every data centre within a minute.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import js  # type: ignore[import-not-found]

from edge.cache import Entry, Purge
from edge.marks import LAST_S, Mark, Marks, names_of, standing
from edge.packing import Kept, pack, unpack
from edge.worker.javascript import JavaScriptError, bytes_of, js_bytes, options

VARIANTS_MAX: Final = 16
ITEM_BYTES_MAX: Final = 8 * 1024 * 1024
"""All variants of one url together; the oldest make room."""
STALE_S: Final = 24 * 3600.0
"""So long past its freshness an entry is worth keeping, because it can be validated or stand in for its origin."""
_MARK_PAUSES_S: Final = (1.1, 2.2)
"""KV takes one write a second for a name."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A Workers KV namespace as the notes of `edge.marks`."""

    namespace: Any

    async def read(self, name: str) -> str | None:
        """The text under a name, at most half a minute old where it was read before. Raises OSError."""
        try:
            text = await self.namespace.get(name, cacheTtl=30)
        except JavaScriptError as exc:
            raise OSError("the marks cannot be read") from exc
        return str(text) if text else None  # a miss is None on the platform and a falsy null elsewhere

    async def write(self, name: str, text: str, *, lasts_s: int) -> None:
        """Keep a text. Raises OSError."""
        try:
            await self.namespace.put(name, text, expirationTtl=lasts_s)
        except JavaScriptError as exc:
            raise OSError("the mark was not taken") from exc


class PlatformCache:
    """The cache of one request. A write forgets its own url here, in this data centre; groups and regions everywhere.

    `base` is the address of the edge itself, under which the platform keeps the items. With `is_told` a purge of a url
    reaches everywhere too, and raises OSError when its mark could not be written.
    """

    def __init__(
        self,
        store: Any,
        marks: Marks,
        *,
        base: str,
        clock: Callable[[], float],
        spawn: Callable[[Any], None],
        is_told: bool = False,
    ) -> None:
        self._store = store
        self._marks = marks
        self._base = base.rstrip("/")
        self._clock = clock
        self._spawn = spawn
        self._is_told = is_told
        self._began = clock()
        self._read: dict[str, list[Kept]] = {}

    async def get(self, key: str) -> Sequence[Entry]:
        """Every entry of the key that no purge has met hard, the newest first."""
        kept = await self._kept(key)
        marks = await self._marks.of(name for each in kept for name in names_of(key, each.entry))
        left = (standing(key, each.entry, each.seen, marks) for each in kept)
        return [entry for entry in left if entry is not None]

    async def put(self, key: str, entry: Entry) -> bool:
        """Keep an entry with the others of its key; False if it is not worth it or was purged meanwhile."""
        lasts_s = _lasts_s(entry)
        if lasts_s < 1:
            return False
        marks = await self._marks.of(names_of(key, entry))
        if any(_is_after(mark, self._began) for mark in marks.values()):
            return False
        seen = {name: mark.id for name, mark in marks.items()}
        others = [each for each in await self._kept(key) if each.entry.selecting != entry.selecting]
        kept = _within_bounds([Kept(entry, seen), *others])
        self._read[key] = kept
        try:
            await self._store.put(self._url(key), _item(kept))
        except JavaScriptError:
            return False
        return True

    async def drop(self, key: str) -> int:
        """Forget all entries of a key in this data centre; how many there were."""
        kept = await self._kept(key)
        self._read[key] = []
        await self._delete(key)
        return len(kept)

    async def purge(self, purge: Purge, now: float) -> int:
        """Do what a purge asks for; how many entries it met of those under its url, and of all that this request saw.

        Of groups and regions nobody knows what lies where: a 0 is no failure.
        """
        if purge.url is not None:
            await self._kept(purge.url)
        met = sum(purge.meets(key, each.entry) for key, kept in self._read.items() for each in kept)
        if purge.hard:
            self._forget(purge)
            if purge.url is not None:
                await self._delete(purge.url)
        if self._is_told:
            await self._marks.add(purge, now)
        elif purge.url is None or not purge.hard:
            self._spawn(self._mark(purge, now))
        return met

    def _forget(self, purge: Purge) -> None:
        for key, kept in self._read.items():
            self._read[key] = [each for each in kept if not purge.meets(key, each.entry)]

    async def _mark(self, purge: Purge, now: float) -> None:
        """Note a purge behind an answer. Raises OSError after the last try: the platform logs it."""
        for pause_s in _MARK_PAUSES_S:
            try:
                await self._marks.add(purge, now)
            except OSError:
                await asyncio.sleep(pause_s)
            else:
                return
        await self._marks.add(purge, now)

    async def _kept(self, key: str) -> list[Kept]:
        if key not in self._read:
            self._read[key] = await self._matched(key)
        return self._read[key]

    async def _matched(self, key: str) -> list[Kept]:
        try:
            found = await self._store.match(self._url(key))
            return _unpacked(await bytes_of(found)) if found else []
        except JavaScriptError:  # a cache that is away has nothing; the gateway has
            return []

    async def _delete(self, key: str) -> None:
        try:
            await self._store.delete(self._url(key))
        except JavaScriptError:
            return

    def _url(self, key: str) -> str:
        # Hashed: as a url the platform would take `/a/../b` for `/b`.
        return f"{self._base}/_edge/cache/{sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _item(kept: list[Kept]) -> Any:
    longest_s = int(max(_lasts_s(each.entry) for each in kept))
    fields = {"Content-Type": "application/octet-stream", "Cache-Control": f"public, max-age={longest_s}"}
    return js.Response.new(js_bytes(pack(kept)), options(headers=fields))


def _unpacked(packed: bytes) -> list[Kept]:
    try:
        return unpack(packed)
    except (ValueError, KeyError, TypeError):  # an older release kept it in another form
        return []


def _lasts_s(entry: Entry) -> float:
    """How long the platform should keep an entry; never longer than the marks that could be against it."""
    stale_s = max(STALE_S, entry.while_revalidating_s, entry.if_error_s or 0.0)
    return min(entry.fresh_s - entry.initial_age_s + stale_s, LAST_S)


def _within_bounds(kept: list[Kept]) -> list[Kept]:
    size = 0
    found: list[Kept] = []
    for each in kept[:VARIANTS_MAX]:
        size += len(each.entry.body)
        if found and size > ITEM_BYTES_MAX:
            break
        found.append(each)
    return found


def _is_after(mark: Mark, moment: float) -> bool:
    return any(stamp is not None and stamp.at > moment for stamp in (mark.soft, mark.hard))
