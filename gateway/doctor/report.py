"""Findings as a person reads them: the broken things last, where the eye is, and named once more in the last lines."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from gateway.doctor.finding import Finding, Level

if TYPE_CHECKING:
    from rich.table import Table

_STYLES: Final = {Level.OK: "green", Level.INFO: "cyan", Level.WARN: "yellow", Level.FAIL: "bold red"}


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Plain text for files and pipes, one fact a line."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        yield f"{finding.level.name:<4}  {finding.subject:<{width}}  {finding.seen}"
        for advice in _advice(finding):
            yield f"{'':<4}  {'':<{width}}  {advice}"


def table(findings: Sequence[Finding]) -> "Table":
    """The same for a terminal: coloured, and wrapped within its column."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        told = Text("\n").join([Text(finding.seen), *(Text(advice, style="dim") for advice in _advice(finding))])
        grid.add_row(Text(finding.level.name, style=_STYLES[finding.level]), Text(finding.subject), told)
    return grid


def summary(findings: Sequence[Finding]) -> Iterator[str]:
    """The last lines: how many warnings and failures there are, and where."""
    worse = False
    for level, word in ((Level.WARN, "warning"), (Level.FAIL, "failure")):
        subjects = [finding.subject for finding in findings if finding.level is level]
        if subjects:
            worse = True
            yield f"{len(subjects)} {word}{'' if len(subjects) == 1 else 's'}: {', '.join(dict.fromkeys(subjects))}"
    if not worse:
        yield "All is well."


def _advice(finding: Finding) -> Iterator[str]:
    if finding.why:
        yield f"why: {finding.why}"
    if finding.remedy:
        yield f"do:  {finding.remedy}"
