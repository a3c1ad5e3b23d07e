"""A circuit breaker: whether to ask a server that has been failing. A pure state machine with no clock of its own.

    CLOSED --- failures_max failures in a row --> OPEN --- the pause is over, one trial --> HALF_OPEN
       ^                                            ^------------ the trial failed -----------'|
       '---------------------------------- the trial succeeded -------------------------------'

The pause doubles with each failed trial, up to `pause_max_s`. A trial of which nothing is heard for `trial_s` seconds
(its caller was cancelled) makes room for another. Times are seconds of any monotonic clock.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from core.limits import BREAKER_FAILURES_MAX, BREAKER_PAUSE_MAX_S, BREAKER_PAUSE_S, BREAKER_TRIAL_S


class BreakerState(StrEnum):
    """closed: calls pass. open: none does. half_open: one is under way to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker. Ask `admits`; note a call that was admitted by `asked`, and how it ended by `succeeded` or `failed`.

    `since` is when `state` last changed; `next_at` when the next trial is due while it is not closed.
    """

    failures_max: int = BREAKER_FAILURES_MAX
    pause_s: float = BREAKER_PAUSE_S
    pause_max_s: float = BREAKER_PAUSE_MAX_S
    trial_s: float = BREAKER_TRIAL_S
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    trials: int = 0
    since: float = 0.0
    next_at: float = 0.0

    def admits(self, now: float) -> bool:
        """Whether a call may be made now."""
        return self.state is BreakerState.CLOSED or now >= self.next_at

    def asked(self, now: float) -> "Breaker":
        """The state while the call that was admitted is under way."""
        if self.state is BreakerState.CLOSED:
            return self
        since = now if self.state is BreakerState.OPEN else self.since
        return replace(self, state=BreakerState.HALF_OPEN, since=since, next_at=now + self.trial_s)

    def succeeded(self, now: float) -> "Breaker":
        """The state after a call that was answered."""
        if self.state is BreakerState.OPEN:
            return self  # asked before it opened: only a trial closes it
        if self.state is BreakerState.CLOSED and not self.failures:
            return self
        since = now if self.state is BreakerState.HALF_OPEN else self.since
        return replace(self, state=BreakerState.CLOSED, failures=0, trials=0, since=since)

    def failed(self, now: float) -> "Breaker":
        """The state after a call that was not answered."""
        if self.state is BreakerState.OPEN:
            return self
        if self.state is BreakerState.CLOSED:
            failures = self.failures + 1
            return self._opened(now, trials=0) if failures >= self.failures_max else replace(self, failures=failures)
        return self._opened(now, trials=self.trials + 1)

    def _opened(self, now: float, *, trials: int) -> "Breaker":
        pause_s = min(self.pause_max_s, self.pause_s * 2 ** min(trials, 32))
        return replace(self, state=BreakerState.OPEN, failures=0, trials=trials, since=now, next_at=now + pause_s)
