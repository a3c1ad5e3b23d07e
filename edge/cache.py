"""Stored answers: what is kept of one, and the Protocol of whatever keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge.messages import Fields, Response

CLOCK_S: Final = 1.0
"""A clock that goes back by no more than this was not set back; several processes see it so."""


class Memo:
    """An entry's answer to a plain GET as it was last made: it changes but once a second, with its Age.

    `private` is the same for a client whose region was guessed.
    """

    __slots__ = ("private", "response", "second")

    def __init__(self) -> None:
        self.second = -1
        self.response: Response | None = None
        self.private: Response | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer, whole and ready to go out. Times are Unix seconds, durations seconds.

    `selecting` are the header values of its request that Vary names, as (lower-case name, normalised value) in order
    of names. `initial_age_s` is the age it had at `received_at` (RFC 9111 4.2.3). `fresh_s` is its freshness lifetime;
    beyond it, it may be used for `while_revalidating_s` while it is being refreshed and for `if_error_s` while the
    origin fails (None: it did not say; then the edge's own bound holds, while there is no origin to be reached).
    `always_validate` is no-cache. `obeys_max_stale`: a client may ask for it stale. `is_for_all`: requests with
    Authorization may be answered from it. A softly purged entry is stale since `purged_at`, and used only while the
    origin fails. `asked_at`: when the origin was asked for it (0: nobody knows); it tells of nothing later.
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
    if_error_s: float | None = None
    always_validate: bool = False
    obeys_max_stale: bool = True
    is_for_all: bool = True
    purged_at: float | None = None
    asked_at: float = 0.0
    memo: Memo = field(default_factory=Memo, init=False, compare=False, repr=False)

    def age_s(self, now: float) -> float:
        """Its age at a moment (RFC 9111 4.2.3); a clock set back makes it no younger than it came."""
        return self.initial_age_s + max(0.0, now - self.received_at)

    def is_ahead(self, now: float) -> bool:
        """Whether it came later than now, because the clock was set back: how old it is, nobody knows then."""
        return now < self.received_at - CLOCK_S

    def stale_s(self, now: float) -> float:
        """For how long it has been stale; less than 0 while it is fresh. What is ahead of the clock is stale."""
        since = self.age_s(now) - self.fresh_s
        if self.is_ahead(now):
            since = max(since, 0.0)
        return since if self.purged_at is None else max(since, now - self.purged_at, 0.0)

    def ttl_s(self, now: float) -> int:
        """For how long it stays fresh, in whole seconds as its Age is; 0 or less once it is stale."""
        left = int(self.fresh_s) - int(self.age_s(now))
        if self.is_ahead(now):
            left = min(left, 0)
        return left if self.purged_at is None else min(left, -int(now - self.purged_at), 0)


@dataclass(frozen=True, slots=True)
class Purge:
    """What is no longer to be trusted: one url (path and query), one group, or all of one region; exactly one of them.

    A soft purge leaves stale what it finds: the origin is asked first, and it stands in while the origin fails, for as
    long as that may be. A hard one forgets it.
    """

    url: str | None = None
    group: str | None = None
    region: str | None = None
    hard: bool = False

    def meets(self, key: str, entry: Entry) -> bool:
        """Whether it is about this entry."""
        if self.url is not None:
            return self.url == key
        return self.group in entry.groups if self.group is not None else self.region == entry.region


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
