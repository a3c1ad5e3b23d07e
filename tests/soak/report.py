"""What the soak saw: the error budget, by code and fault; how long who could not do what; how long healing took."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

EXPECTED = frozenset({200, 201, 204})


@dataclass
class FaultRecord:
    """One fault: what it hit, how, when it began and ended, and when everything was healthy again (soak seconds)."""

    dependency: str
    how: str
    began_s: float
    ended_s: float = 0.0
    healed_s: float = 0.0


@dataclass
class Report:
    """Counts requests as they end. `clock` is seconds since the soak began."""

    seed: int
    began: float = field(default_factory=time.monotonic)
    requests: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    errors_during: Counter[str] = field(default_factory=Counter)
    faults: list[FaultRecord] = field(default_factory=list)
    active: list[FaultRecord] = field(default_factory=list)
    last_success: dict[str, float] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    longest_outage: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def clock(self) -> float:
        """Seconds since the soak began."""
        return time.monotonic() - self.began

    def answered(self, shard: str, access: str, status: int, code: str) -> None:
        """Count one answer; status 0 is a connection that broke or said nothing."""
        self.requests += 1
        lane, now = f"{shard} {access}", self.clock()
        if status in EXPECTED:
            if lane in self.failing:
                self.failing.discard(lane)
                self.longest_outage[lane] = max(self.longest_outage[lane], now - self.last_success.get(lane, now))
            self.last_success[lane] = now
            return
        self.codes[code or f"{status or 'no answer'}"] += 1
        self.errors_during[" + ".join(sorted(f.dependency for f in self.active)) or "quiet"] += 1
        self.failing.add(lane)

    def summary(self, *, acknowledged: int, accounts: int, violations: list[str]) -> dict[str, Any]:
        """The whole of it, for JSON."""
        errors = sum(self.codes.values())
        return {
            "seed": self.seed,
            "seconds": round(self.clock(), 1),
            "requests": self.requests,
            "users": accounts,
            "acknowledged_writes": acknowledged,
            "error_share": round(errors / max(1, self.requests), 4),
            "errors_by_code": dict(self.codes.most_common()),
            "errors_during": dict(self.errors_during.most_common()),
            "longest_outage_s": {lane: round(s, 2) for lane, s in sorted(self.longest_outage.items())},
            "faults": [
                {
                    "dependency": f.dependency,
                    "how": f.how,
                    "at_s": round(f.began_s, 1),
                    "lasted_s": round(f.ended_s - f.began_s, 1),
                    "healed_after_s": round(f.healed_s - f.ended_s, 1),
                }
                for f in self.faults
            ],
            "violations": violations,
        }


def text(summary: dict[str, Any]) -> str:
    """A summary for people."""
    lines = [
        f"{summary['seconds']} s, seed {summary['seed']}: {summary['requests']} requests of {summary['users']} users, "
        f"{summary['acknowledged_writes']} writes acknowledged",
        f"error budget used: {summary['error_share']:.2%} of all requests",
        *(f"  {count:6}  {code}" for code, count in summary["errors_by_code"].items()),
        "by what was broken at the time:",
        *(f"  {count:6}  {dependency}" for dependency, count in summary["errors_during"].items()),
        "longest time without a success, once something had failed:",
        *(f"  {seconds:6.2f} s  {lane}" for lane, seconds in summary["longest_outage_s"].items()),
        "faults (lasted, healthy again after):",
        *(_fault_line(fault) for fault in summary["faults"]),
        f"violations: {len(summary['violations'])}",
        *(f"  {violation}" for violation in summary["violations"][:50]),
    ]
    return "\n".join(lines)


def _fault_line(fault: dict[str, Any]) -> str:
    what = f"{fault['dependency']:<8} {fault['how']:<18}"
    return f"  {fault['at_s']:6.1f} s  {what} {fault['lasted_s']:4.1f} s {fault['healed_after_s']:5.1f} s"
