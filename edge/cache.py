"""Stored answers: what is kept of one, and the Protocol of whatever keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.messages import Fields


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer, whole and ready to go out. Times are Unix seconds, durations seconds.

    `selecting` are the header values of its request that Vary names, as (lower-case name, normalised value) in order of
    names. `initial_age_s` is the age it had at `received_at` (RFC 9111 4.2.3). `fresh_s` is its freshness lifetime;
    beyond it, it may be used for `while_revalidating_s` while it is being refreshed and for `if_error_s` while the origin
    fails. `always_validate` is no-cache. A softly purged entry is stale since `purged_at`.
    """

    status: int
    headers: Fields
    body: bytes
    selecting: Fields
    region: str
    groups: frozenset[str]
    received_at: float
    initial_age_s: float
    fresh_s: float
    while_revalidating_s: float = 0.0
    if_error_s: float = 0.0
    always_validate: bool = False
    purged_at: float | None = None


@dataclass(frozen=True, slots=True)
class Purge:
    """What is no longer to be trusted: one url (path and query), one group, or all of one region; exactly one of them.

    A soft purge leaves stale what it finds, so that it can still be served while it is refreshed or the origin is down; a
    hard one forgets it.
    """

    url: str | None = None
    group: str | None = None
    region: str | None = None
    hard: bool = False


class Cache(Protocol):
    """Keeps entries by key (path and query of a GET), several a key when they vary. It may forget any, at any time."""

    async def get(self, key: str) -> Sequence[Entry]:
        """Every entry of the key, the newest first."""
        ...

    async def put(self, key: str, entry: Entry) -> bool:
        """Keep an entry in the place of the one with the same `selecting`; False if it is not kept."""
        ...

    async def drop(self, key: str) -> int:
        """Forget all entries of a key; how many there were."""
        ...

    async def purge(self, purge: Purge, now: float) -> int:
        """Do what a purge asks for; how many entries it met."""
        ...
