"""`meridian doctor`: one look at everything, the broken things last, each with why it matters and what to do."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from core.shard_map import ShardMap
from gateway import logs
from gateway.cli.running import run, settings_and_map
from gateway.doctor import machine, report, servers
from gateway.doctor.finding import Finding, Level, exit_status
from gateway.settings import Settings, environment


def doctor(
    *,
    processes: int = 1,
    ram_gb: float | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Look once at settings, map, databases, sessions and files, and say what is wrong and what to do about it.

    Changes nothing but a few bytes that prove that stores take writes. Exit 0 when nothing needs doing, 1 for warnings,
    2 for what is broken.

    Parameters
    ----------
    processes
        How many gateway processes there are in all: their pools are added up against each server's max_connections.
    ram_gb
        The memory to size pools for; this machine's by default. Give the database server's where it is another.
    as_json
        Print the findings as JSON.
    """
    found = settings_and_map(environment())
    if found is None:
        return 2
    logs.configure(level="error", form="console")  # what the parts would log is told as findings
    findings = run(examine(*found, processes=max(1, processes), ram_gb=ram_gb))
    if as_json:
        _print_json(findings)
    else:
        _print(findings)
    return exit_status(findings)


async def examine(settings: Settings, shard_map: ShardMap, *, processes: int, ram_gb: float | None) -> list[Finding]:
    """Every finding, from good to bad."""
    shards = [shard for region in shard_map.regions for shard in region.shards]
    nodes = sum(len(shard.addresses) for shard in shards)
    findings = [
        Finding(
            Level.OK,
            "map",
            f"{shard_map.file}: regions {len(shard_map.regions)}, shards {len(shards)}, servers {nodes}",
        ),
        *machine.of_settings(settings),
        *machine.of_pools(settings, machine.ram_gb() if ram_gb is None else ram_gb),
        *machine.of_files(settings, nodes),
        *await servers.of_servers(settings, shard_map, processes),
    ]
    return sorted(findings, key=lambda finding: finding.level)


def _print(findings: Sequence[Finding]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(report.table(findings))
    else:
        print("\n".join(report.lines(findings)))
    print("", *report.summary(findings), sep="\n")


def _print_json(findings: Sequence[Finding]) -> None:
    shown = [
        {"level": f.level.name, "subject": f.subject, "seen": f.seen, "why": f.why, "remedy": f.remedy}
        for f in findings
    ]
    print(json.dumps(shown, indent=2))
