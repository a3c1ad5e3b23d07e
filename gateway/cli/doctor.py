"""`meridian doctor`: one look at everything, the broken things last, each with what to do."""

import json
from collections.abc import Sequence

from core.shard_map import ShardMap
from gateway import logs
from gateway.cli.running import run, settings_and_map
from gateway.doctor import machine, servers
from gateway.doctor.finding import Finding, Level, exit_status
from gateway.settings import Settings, environment


def doctor(*, processes: int = 1, ram_gb: float | None = None, as_json: bool = False) -> int:
    """Look once at settings, map, databases, sessions and files, and say what is wrong and what to do about it.

    Changes nothing but a few bytes that prove that stores take writes. Exit 0 when nothing needs doing, 1 for warnings,
    2 for what is broken.

    Parameters
    ----------
    processes
        How many gateway processes there are in all: their pools are added up against each server's max_connections.
    ram_gb
        The memory to size pools for; this machine's by default.
    as_json
        Print the findings as JSON.
    """
    found = settings_and_map(environment())
    if found is None:
        return 2
    logs.configure(level="error", form="console")  # what the parts would log is told as findings
    findings = run(examine(*found, processes=max(1, processes), ram_gb=ram_gb))
    if as_json:
        shown = [{"level": f.level.name, "subject": f.subject, "seen": f.seen, "remedy": f.remedy} for f in findings]
        print(json.dumps(shown, indent=2))
    else:
        _show(findings)
    return exit_status(findings)


async def examine(settings: Settings, shard_map: ShardMap, *, processes: int, ram_gb: float | None) -> list[Finding]:
    """Every finding, from good to bad."""
    nodes = sum(len(shard.addresses) for region in shard_map.regions for shard in region.shards)
    findings = [
        *machine.of_settings(settings),
        *machine.of_pools(settings, machine.ram_gb() if ram_gb is None else ram_gb),
        *machine.of_files(settings, nodes),
        *await servers.of_servers(settings, shard_map, processes),
    ]
    return sorted(findings, key=lambda finding: finding.level)


def _show(findings: Sequence[Finding]) -> None:
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{finding.level.name:<5} {finding.subject:<{width}}  {finding.seen}")
        if finding.remedy:
            print(f"      {'':<{width}}  -> {finding.remedy}")
    failures = sum(finding.level is Level.FAIL for finding in findings)
    warnings = sum(finding.level is Level.WARN for finding in findings)
    print(
        f"\n{_count(failures, 'failure')}, {_count(warnings, 'warning')}." if failures or warnings else "\nAll is well."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
