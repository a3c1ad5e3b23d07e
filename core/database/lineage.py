"""The timelines of a cluster: where each was left for the next, and so whether a position somebody saw still exists.

A failover ends a timeline at the position that the promoted replica had replayed. What the old primary wrote beyond it
is not part of the cluster's history any more (PostgreSQL documentation, 25.3.6 "Timelines").
"""

from dataclasses import dataclass

END_UNKNOWN = 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """The ancestors of the timeline `now`: pairs of (timeline, position where it was left), oldest first.

    `now` is 0 as long as no timeline is known.
    """

    now: int = 0
    ends: tuple[tuple[int, int], ...] = ()

    def holds(self, timeline: int, lsn: int) -> bool:
        """Whether what stood at `lsn` of `timeline` is part of this history.

        A timeline that is no known ancestor was cut off: nothing of it is sure to be here. One that is newer than `now`
        is not for this history to judge.
        """
        if timeline >= self.now:
            return True
        return any(lsn <= end for ancestor, end in self.ends if ancestor == timeline)

    def promoted(self, timeline: int, left_at: int) -> "Lineage":
        """The history after a promotion whose exact fork is not known, only that it was not before `left_at`."""
        return Lineage(timeline, (*self.ends, (self.now, left_at)) if self.now else ())


NO_LINEAGE = Lineage()


def parse_history(timeline: int, text: str) -> Lineage:
    """The lineage in a timeline history file: a line for each ancestor, `<timeline> <position> <reason>`.

    Raises ValueError for anything else.
    """
    rows = (line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return Lineage(timeline, tuple((int(ancestor), parse_lsn(end)) for ancestor, end, *_ in rows))


def parse_lsn(text: str) -> int:
    """A position from PostgreSQL's text form, `16/B374D848`. Raises ValueError."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
