"""What the doctor says: findings, from good to bad."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """OK and INFO need nothing; WARN will hurt one day; FAIL hurts now."""

    OK = 0
    INFO = 1
    WARN = 2
    FAIL = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, what was seen and, unless all is well, why it matters and what to do."""

    level: Level
    subject: str
    seen: str
    why: str = ""
    remedy: str = ""


def exit_status(findings: Iterable[Finding]) -> int:
    """0 when nothing needs doing, 1 for warnings, 2 for failures."""
    return max(0, max((finding.level for finding in findings), default=Level.OK) - Level.INFO)
