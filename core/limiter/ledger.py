"""What was consumed, by key: the TATs this process knows, and what it has not yet told the others. Bounded, no I/O."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from core.limiter.gcra import Limit, Verdict, decide
from core.limits import LIMITER_KEYS_MAX

_CAP_BURSTS = 2  # processes that had not heard of each other can admit more than one burst; it is not held against long


@dataclass(frozen=True, slots=True)
class Owed:
    """Something to tell: `cost_us` was consumed of `key`; 0 only asks. The shared TAT stays within `cap_us`."""

    key: str
    cost_us: int
    cap_us: int


@dataclass(slots=True)
class _Entry:
    tat: int = 0
    untold_us: int = 0
    cap_us: int = 0


class Ledger:
    """TATs by key, the least recently used forgotten over `keys_max`. Times are microseconds of a monotonic clock.

    With `shares` it also keeps what is to be told to the other processes: `owed` gives it out, `merge` takes the
    answer. What is forgotten here, the shared store still knows.
    """

    def __init__(self, *, shares: bool, keys_max: int = LIMITER_KEYS_MAX) -> None:
        self._shares = shares
        self._keys_max = keys_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._pending: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def owes(self) -> bool:
        """Whether there is anything to tell or to ask."""
        return bool(self._pending)

    def admit(self, key: str, limit: Limit, now: int) -> Verdict:
        """Decide on one more of `key`, and count it if it is admitted."""
        entry = self._entry(key)
        entry.tat, verdict = decide(limit, entry.tat, now)
        if verdict.admitted:
            self._consumed(key, entry, limit.interval_us, limit.burst_us * _CAP_BURSTS)
        return verdict

    def mark(self, key: str, lifetime_us: int, now: int) -> None:
        """Note `key` as marked for `lifetime_us` from now on, here and with the others."""
        entry = self._entry(key)
        entry.tat = max(entry.tat, now + lifetime_us)
        entry.untold_us = 0
        self._consumed(key, entry, lifetime_us, lifetime_us)

    def is_marked(self, key: str, now: int) -> bool:
        """Whether `key` is known to be marked. If not, the others are asked, and a later call knows."""
        entry = self._entry(key)
        if entry.tat > now:
            return True
        if self._shares:
            self._pending[key] = None
        return False

    def owed(self, count: int, now: int) -> list[Owed]:
        """Up to `count` things to tell, the oldest first; they count as told until `put_back`."""
        found: list[Owed] = []
        while self._pending and len(found) < count:
            for key in list(islice(self._pending, count - len(found))):
                del self._pending[key]
                found.extend(self._told(key, now))
        return found

    def put_back(self, owed: Sequence[Owed]) -> None:
        """These could not be told, or nobody knows whether they were: tell them again."""
        for one in owed:
            entry = self._entries.get(one.key)
            if entry is not None:
                entry.untold_us += one.cost_us
                entry.cap_us = one.cap_us
                self._pending[one.key] = None

    def merge(self, key: str, remaining_us: int, asked_at: int) -> None:
        """The others' TAT of `key` runs `remaining_us` ahead of the clock, as of `asked_at`. A TAT never moves back."""
        entry = self._entries.get(key)
        if entry is not None and entry.cap_us:
            remaining_us = min(remaining_us, entry.cap_us)
        if entry is not None and remaining_us > 0:
            entry.tat = max(entry.tat, asked_at + remaining_us + entry.untold_us)

    def _told(self, key: str, now: int) -> Iterator[Owed]:
        entry = self._entries.get(key)
        if entry is None:
            return
        untold_us, entry.untold_us = entry.untold_us, 0
        # Of what waited to be told some has been earned back meanwhile; told in full it would count twice.
        cost_us = min(untold_us, max(0, entry.tat - now))
        if cost_us or not untold_us:
            yield Owed(key, cost_us, entry.cap_us)

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        entry = self._entries[key] = _Entry()
        if len(self._entries) > self._keys_max:
            forgotten, _ = self._entries.popitem(last=False)
            self._pending.pop(forgotten, None)
        return entry

    def _consumed(self, key: str, entry: _Entry, cost_us: int, cap_us: int) -> None:
        if self._shares:
            entry.untold_us += cost_us
            entry.cap_us = cap_us
            self._pending[key] = None
