"""What has been seen of a PostgreSQL server, and what follows from it: pure state machines, no clock of their own."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from core.database.lineage import END_UNKNOWN, NO_LINEAGE, Lineage
from core.limits import EVIDENCE_AGE_MAX_S, LAG_SAMPLE_S, POSITION_SAMPLES_MAX
from core.shard_map.model import Address


@dataclass(frozen=True, slots=True)
class Evidence:
    """A node, observed once. `lsn` is what a reader can count on: flushed on a primary, replayed on a replica.

    `lineage` is the history of a primary's timeline, if it may be read there.
    """

    system_id: int
    timeline: int
    in_recovery: bool
    lsn: int
    seen_at: float
    lineage: Lineage | None = None


class Reach(StrEnum):
    """Whether a node answers. Busy is not unreachable: saturation never changes this."""

    UNKNOWN = "unknown"
    UP = "up"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as last seen. `since` is when `reach` last changed; `reason` says why it could not be observed.

    `answered_at` is the last sign of life, be it only "too many clients"; `replayed` the last position it was seen at
    while it was a replica.
    """

    reach: Reach = Reach.UNKNOWN
    evidence: Evidence | None = None
    since: float = 0.0
    reason: str = ""
    answered_at: float = 0.0
    replayed: int = END_UNKNOWN

    def observed(self, evidence: Evidence) -> "NodeState":
        """The state after the node said what it is."""
        since = self.since if self.reach is Reach.UP else evidence.seen_at
        replayed = evidence.lsn if evidence.in_recovery else self.replayed
        return NodeState(Reach.UP, evidence, since, answered_at=evidence.seen_at, replayed=replayed)

    def saturated(self, reason: str, now: float) -> "NodeState":
        """The state after the node showed that it is alive, but had no room to say what it is.

        What it said before is believed on: to become another server's replica a primary must restart, and every
        connection with it. Nothing is known of a node that had not been up.
        """
        if self.reach is not Reach.UP:
            return self.failed(reason, now)
        return replace(self, reason=reason, answered_at=now)

    def failed(self, reason: str, now: float) -> "NodeState":
        """The state after the node did not answer; what it last said is kept, with its age."""
        since = self.since if self.reach is Reach.UNREACHABLE else now
        return replace(self, reach=Reach.UNREACHABLE, since=since, reason=reason)

    def is_fresh(self, now: float) -> bool:
        """Whether the node answers and did so recently enough to be believed."""
        return self.reach is Reach.UP and self.evidence is not None and now - self.answered_at <= EVIDENCE_AGE_MAX_S


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may be written to and read from now. `alarm` says what a person must set right.

    `lineage` is the history of the newest timeline that was accepted.
    """

    primary: Address | None = None
    replicas: tuple[Address, ...] = ()
    system_id: int | None = None
    lineage: Lineage = NO_LINEAGE
    alarm: str = ""

    @property
    def timeline(self) -> int:
        """The newest timeline that was accepted; 0 before the first."""
        return self.lineage.now


def assign(before: Roles, states: Mapping[Address, NodeState], now: float) -> Roles:
    """Derive the roles of a shard's nodes from fresh evidence.

    The system id of the first primary seen is the shard's for the life of the process; a node of another cluster is
    never used.
    A primary must not be on an older timeline than one already accepted. Two writable nodes: no primary, and an alarm.
    A replica that replayed what a failover cut off is not read from.
    """
    fresh = {at: s.evidence for at, s in states.items() if s.evidence is not None and s.is_fresh(now)}
    # A replica alone does not decide whose cluster it is: it may be the one whose address is wrong.
    decided = before.system_id if before.timeline else None
    system_id = decided or _first_system_id(fresh) or before.system_id
    strangers = [at for at, e in fresh.items() if e.system_id != system_id]
    family = {at: e for at, e in fresh.items() if e.system_id == system_id}
    writable = [at for at, e in family.items() if not e.in_recovery and e.timeline >= before.timeline]
    stale = [at for at, e in family.items() if not e.in_recovery and e.timeline < before.timeline]
    primary = writable[0] if len(writable) == 1 else None
    lineage = before.lineage if primary is None else _lineage(before.lineage, family[primary], states[primary])
    following = [at for at, e in family.items() if e.in_recovery]
    diverged = [at for at in following if not lineage.holds(family[at].timeline, family[at].lsn)]
    replicas = tuple(at for at in following if at not in diverged)
    return Roles(primary, replicas, system_id, lineage, _alarm(writable, stale, diverged, strangers))


def _lineage(before: Lineage, primary: Evidence, state: NodeState) -> Lineage:
    """The primary's history: as it tells it, or, where it may not be read, as far as we saw it happen."""
    if primary.lineage is not None:
        return primary.lineage
    return before if primary.timeline == before.now else before.promoted(primary.timeline, state.replayed)


def _first_system_id(fresh: Mapping[Address, Evidence]) -> int | None:
    return next((e.system_id for e in fresh.values() if not e.in_recovery), None) or next(
        (e.system_id for e in fresh.values()), None
    )


def _alarm(
    writable: Sequence[Address], stale: Sequence[Address], diverged: Sequence[Address], strangers: Sequence[Address]
) -> str:
    if len(writable) > 1:
        names = ", ".join(map(str, writable))
        return f"{len(writable)} writable nodes at once ({names}): writes are stopped until one is fenced"
    if stale:
        return f"{', '.join(map(str, stale))} is writable on an older timeline: a former primary that must be fenced"
    if diverged:
        return f"{', '.join(map(str, diverged))} has what a failover cut off: not read from; rebuild it as a replica"
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
