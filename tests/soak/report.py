"""What the soak saw: the error budget by code and by fault, how long who could not do what, how long healing took."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.soak.ledger import Ledger

EXPECTED = frozenset({200, 201, 204})
QUIET = "nothing"
PROMOTION = "promotion"
VIOLATIONS_SHOWN = 50


@dataclass
class FaultRecord:
    """One fault: what it hit, how, when it began and ended, and when everything was healthy again (soak seconds)."""

    dependency: str
    place: str
    how: str
    began_s: float
    ended_s: float = 0.0
    healed_s: float = 0.0

    @property
    def kind(self) -> str:
        """What was done to what, wherever."""
        return f"{self.dependency} {self.how}"


@dataclass
class Report:
    """Counts requests as they end. `clock` is seconds since the soak began."""

    seed: int
    began: float = field(default_factory=time.monotonic)
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    faults: list[FaultRecord] = field(default_factory=list)
    active: list[FaultRecord] = field(default_factory=list)
    last_success: dict[str, float] = field(default_factory=dict)
    failing_since: dict[str, float] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    longest_outage: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def clock(self) -> float:
        """Seconds since the soak began."""
        return time.monotonic() - self.began

    def promotions(self, shard: str) -> int:
        """How often a replica of a shard has taken over, or begun to."""
        return sum(fault.place == shard and fault.how == PROMOTION for fault in self.faults)

    def answered(self, status: int, code: str, *, fine: bool = False) -> None:
        """Count one answer; status 0 is a connection that broke or said nothing. An answer that is not 2xx is an error
        unless it is `fine`.
        """
        broken = " + ".join(sorted(fault.kind for fault in self.active)) or QUIET
        self.requests[broken] += 1
        if status not in EXPECTED and not fine:
            self.codes[code or f"{status or 'no answer'}"] += 1
            self.errors[broken] += 1

    def observed(self, lane: str, *, works: bool, took_s: float) -> None:
        """Note whether an observer got what it wanted, and how soon it knew; a lane is what it wants, on one shard."""
        now = self.clock()
        self.slowest[lane] = max(self.slowest[lane], took_s)
        if works:
            since = self.failing_since.pop(lane, now)
            self.longest_outage[lane] = max(self.longest_outage[lane], now - since)
            self.last_success[lane] = now
        else:
            self.failing_since.setdefault(lane, self.last_success.get(lane, now))

    def summary(self, ledger: Ledger) -> dict[str, Any]:
        """The whole of it, for JSON."""
        requests, errors = self.requests.total(), self.errors.total()
        outages = dict(self.longest_outage)
        for lane, since in self.failing_since.items():
            outages[lane] = max(outages.get(lane, 0.0), self.clock() - since)
        return {
            "seed": self.seed,
            "seconds": round(self.clock(), 1),
            "requests": requests,
            "users": len(ledger.accounts),
            "acknowledged_writes": ledger.acknowledged,
            "writes_of_unknown_outcome": ledger.unknown,
            "error_share": _share(errors, requests),
            "errors_by_code": dict(self.codes.most_common()),
            "by_fault": dict(self._shares()),
            "longest_outage_s": {lane: round(s, 2) for lane, s in sorted(outages.items())},
            "slowest_answer_s": {lane: round(s, 2) for lane, s in sorted(self.slowest.items())},
            "faults": [_fault(record) for record in self.faults],
            "violations": ledger.violations,
        }

    def _shares(self) -> Iterator[tuple[str, dict[str, float]]]:
        for kind in sorted(self.requests, key=lambda kind: (-self.errors[kind], kind)):
            requests, errors = self.requests[kind], self.errors[kind]
            yield kind, {"requests": requests, "errors": errors, "share": _share(errors, requests)}


def text(summary: dict[str, Any]) -> str:
    """A summary for people."""
    violations = summary["violations"]
    lines = [
        f"{summary['seconds']} s, seed {summary['seed']}: {summary['requests']} requests of {summary['users']} users, "
        f"{summary['acknowledged_writes']} writes acknowledged, {summary['writes_of_unknown_outcome']} attempts of "
        "unknown outcome",
        f"error budget used: {summary['error_share']:.2%} of all requests",
        *(f"  {count:6}  {code}" for code, count in summary["errors_by_code"].items()),
        "errors of requests by what was broken, or healing, at the time:",
        *(
            f"  {found['errors']:6} of {found['requests']:6}  {found['share']:7.2%}  {kind}"
            for kind, found in summary["by_fault"].items()
        ),
        "what observers saw: longest time from one success to the next with failures between, slowest answer:",
        *(
            f"  {seconds:6.2f} s {summary['slowest_answer_s'][lane]:6.2f} s  {lane}"
            for lane, seconds in summary["longest_outage_s"].items()
        ),
        "faults (lasted, everything healthy again after):",
        *(_fault_line(fault) for fault in summary["faults"]),
        *(f"  VIOLATION {violation}" for violation in violations[:VIOLATIONS_SHOWN]),
        f"violations: {len(violations)}: "
        + (f"run it again with --seed {summary['seed']}" if violations else "every promise was kept"),
    ]
    return "\n".join(lines)


def _share(part: int, whole: int) -> float:
    return round(part / max(1, whole), 4)


def _fault(record: FaultRecord) -> dict[str, Any]:
    return {
        "dependency": record.dependency,
        "place": record.place,
        "how": record.how,
        "at_s": round(record.began_s, 1),
        "lasted_s": round(record.ended_s - record.began_s, 1),
        "healed_after_s": round(record.healed_s - record.ended_s, 1),
    }


def _fault_line(fault: dict[str, Any]) -> str:
    what = f"{fault['dependency']:<8} {fault['place']:<5} {fault['how']:<10}"
    return f"  {fault['at_s']:6.1f} s  {what} {fault['lasted_s']:4.1f} s {fault['healed_after_s']:5.1f} s"
