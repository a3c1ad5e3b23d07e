"""What has been seen of a PostgreSQL server, and what follows from it: pure state machines, no clock of their own."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from core.limits import EVIDENCE_AGE_MAX_S, LAG_SAMPLE_S, POSITION_SAMPLES_MAX
from core.shard_map.model import Address


@dataclass(frozen=True, slots=True)
class Evidence:
    """A node, observed once. `lsn` is what a reader can count on: flushed on a primary, replayed on a replica."""

    system_id: int
    timeline: int
    in_recovery: bool
    lsn: int
    seen_at: float


class Reach(StrEnum):
    """Whether a node answers. Busy is not unreachable: saturation never changes this."""

    UNKNOWN = "unknown"
    UP = "up"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as last seen. `since` is when `reach` last changed; `reason` says why it is unreachable."""

    reach: Reach = Reach.UNKNOWN
    evidence: Evidence | None = None
    since: float = 0.0
    reason: str = ""

    def observed(self, evidence: Evidence) -> "NodeState":
        """The state after the node answered."""
        since = self.since if self.reach is Reach.UP else evidence.seen_at
        return NodeState(Reach.UP, evidence, since)

    def failed(self, reason: str, now: float) -> "NodeState":
        """The state after the node did not answer; what it last said is kept, with its age."""
        since = self.since if self.reach is Reach.UNREACHABLE else now
        return replace(self, reach=Reach.UNREACHABLE, since=since, reason=reason)

    def is_fresh(self, now: float) -> bool:
        """Whether the node answers and was seen recently enough to be believed."""
        return (
            self.reach is Reach.UP and self.evidence is not None and now - self.evidence.seen_at <= EVIDENCE_AGE_MAX_S
        )


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may be written to and read from now. `alarm` says why nobody may write, when that needs a person."""

    primary: Address | None = None
    replicas: tuple[Address, ...] = ()
    system_id: int | None = None
    timeline: int = 0
    alarm: str = ""


def assign(before: Roles, states: Mapping[Address, NodeState], now: float) -> Roles:
    """Derive the roles of a shard's nodes from fresh evidence.

    The first system id seen is the shard's for the life of the process; a node of another cluster is never used.
    A primary must not be on an older timeline than one already accepted. Two writable nodes: no primary, and an alarm.
    """
    fresh = {at: s.evidence for at, s in states.items() if s.evidence is not None and s.is_fresh(now)}
    system_id = before.system_id or _first_system_id(fresh)
    strangers = [at for at, e in fresh.items() if e.system_id != system_id]
    family = {at: e for at, e in fresh.items() if e.system_id == system_id}
    writable = [at for at, e in family.items() if not e.in_recovery and e.timeline >= before.timeline]
    stale = [at for at, e in family.items() if not e.in_recovery and e.timeline < before.timeline]
    replicas = tuple(at for at, e in family.items() if e.in_recovery)
    primary = writable[0] if len(writable) == 1 else None
    timeline = family[primary].timeline if primary else before.timeline
    return Roles(primary, replicas, system_id, timeline, _alarm(writable, stale, strangers))


def _first_system_id(fresh: Mapping[Address, Evidence]) -> int | None:
    return next((e.system_id for e in fresh.values() if not e.in_recovery), None) or next(
        (e.system_id for e in fresh.values()), None
    )


def _alarm(writable: Sequence[Address], stale: Sequence[Address], strangers: Sequence[Address]) -> str:
    if len(writable) > 1:
        names = ", ".join(map(str, writable))
        return f"{len(writable)} writable nodes at once ({names}): writes are stopped until one is fenced"
    if stale:
        return f"{', '.join(map(str, stale))} is writable on an older timeline: a former primary that must be fenced"
    if strangers:
        return f"{', '.join(map(str, strangers))} belongs to another PostgreSQL cluster (system id differs): not used"
    return ""


class LagClock:
    """How far, in time, a replica is behind its primary, from samples of the primary's position.

    The lag of a replica at position p is the age of the oldest primary position beyond p. Unlike
    `now() - pg_last_xact_replay_timestamp()` it does not grow while the primary is idle.
    """

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=POSITION_SAMPLES_MAX)

    def primary_at(self, lsn: int, now: float) -> None:
        """Note that the primary was at `lsn` at time `now` (seconds)."""
        if self._samples and lsn < self._samples[-1][0]:
            # A new primary, behind the old one's last position: against that every replica would seem to lag for ever.
            self._samples.clear()
        if not self._samples or (lsn > self._samples[-1][0] and now - self._samples[-1][1] >= LAG_SAMPLE_S):
            self._samples.append((lsn, now))

    def lag_ms(self, evidence: Evidence) -> int:
        """The lag in milliseconds of a node when it was observed; 0 if it had all that the primary had shown."""
        behind = next((seen_at for lsn, seen_at in self._samples if lsn > evidence.lsn), evidence.seen_at)
        return max(0, round((evidence.seen_at - behind) * 1000))
