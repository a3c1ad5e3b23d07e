"""Whether the primary store is used now, and when it is tried again: a pure state machine with no clock of its own.

    PRIMARY --- a call or a probe failed --> FALLBACK --- a probe answered --> RESTORING --- all written --> PRIMARY
                                                ^------- a probe or a write failed -----'

Times are seconds of any monotonic clock.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from core.limits import EVIDENCE_AGE_MAX_S, PROBE_INTERVAL_S
from core.sessions.bounds import RETRY_FIRST_S, RETRY_LONGEST_S


class Mode(StrEnum):
    """Which store answers: the primary, or (FALLBACK, RESTORING) the one that stands in for it."""

    PRIMARY = "primary"
    FALLBACK = "fallback"
    RESTORING = "restoring"


class Event(StrEnum):
    """What was just seen of the primary."""

    CALL_FAILED = "call failed"
    PROBE_FAILED = "probe failed"
    PROBE_ANSWERED = "probe answered"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between probes of a primary that answers, and the first and longest pause after one that does not."""

    interval_s: float = PROBE_INTERVAL_S
    first_s: float = RETRY_FIRST_S
    longest_s: float = RETRY_LONGEST_S

    def pause_s(self, failures: int) -> float:
        """The pause after `failures` failed probes in a row: doubling, up to the longest."""
        return float(min(self.longest_s, self.first_s * 2 ** min(failures, 32)))


@dataclass(frozen=True, slots=True)
class Availability:
    """How the primary stands: `since` is when calls last changed sides, `probe_at` when to look next."""

    rhythm: Rhythm
    mode: Mode = Mode.PRIMARY
    since: float = 0.0
    probe_at: float = 0.0
    failures: int = 0

    @property
    def uses_primary(self) -> bool:
        """Whether calls go to the primary."""
        return self.mode is Mode.PRIMARY

    def rest_s(self, now: float) -> float:
        """Seconds until the next probe is due."""
        return max(0.0, self.probe_at - now)

    def after(self, event: Event, now: float) -> "Availability":
        """The state that follows an event."""
        if event is Event.CALL_FAILED:
            return self._fall(now) if self.uses_primary else self
        if event is Event.PROBE_FAILED:
            return self._fall(now) if self.uses_primary else self._retry_later(now)
        if event is Event.RESTORED:
            return self._return(now) if self.mode is Mode.RESTORING else self
        if self.uses_primary:
            return replace(self, probe_at=now + self.rhythm.interval_s)
        return replace(self, mode=Mode.RESTORING)

    def _fall(self, now: float) -> "Availability":
        return Availability(self.rhythm, Mode.FALLBACK, since=now, probe_at=now + self.rhythm.pause_s(0))

    def _retry_later(self, now: float) -> "Availability":
        failures = self.failures + 1
        probe_at = now + self.rhythm.pause_s(failures)
        return replace(self, mode=Mode.FALLBACK, failures=failures, probe_at=probe_at)

    def _return(self, now: float) -> "Availability":
        return Availability(self.rhythm, Mode.PRIMARY, since=now, probe_at=now + self.rhythm.interval_s)


@dataclass(frozen=True, slots=True)
class Sighting:
    """The last thing seen of a remote store: it answered, or how it failed, at `at`."""

    answered: bool
    at: float
    detail: str

    def is_connected(self, now: float) -> bool:
        """Whether it answered, recently enough to be said."""
        return self.answered and now - self.at <= EVIDENCE_AGE_MAX_S
