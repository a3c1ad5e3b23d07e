"""Purges that were refused: without a trace, a wrong token would be noticed by what stays stale."""

from collections.abc import Callable
from typing import Final

from core.changes import OnChange

EVERY_S: Final = 60.0


class RefusedPurges:
    """Counts them. `on_change` is told at once, then for each reason at most every `EVERY_S` seconds with how many.

    `clock` gives monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float], on_change: OnChange) -> None:
        self.count = 0
        self._clock = clock
        self._on_change = on_change
        self._said_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def note(self, reason: str) -> None:
        """One more was refused."""
        self.count += 1
        self._untold[reason] = self._untold.get(reason, 0) + 1
        now = self._clock()
        if reason in self._said_at and now - self._said_at[reason] < EVERY_S:
            return
        self._said_at[reason] = now
        self._on_change("purge_refused", {"reason": reason, "count": self._untold.pop(reason), "level": "warning"})
