"""`meridian map`: check, show and compare shard maps, print their JSON Schema, write the edges' table. Files only."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

import edge
from core.errors import MapRefused
from core.limits import BUCKETS_PER_REGION
from core.shard_map import RegionSpec, ShardMap, differences, json_schema, load, ring_table
from edge.geography import gateways_of, table_from_json
from gateway.edge_table import edge_table_text
from gateway.settings import environment

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT_FILE = Path("shard_map.yaml")
_SHIPPED_TABLE = Path(edge.__file__).with_name("table.json")

_COLUMNS: dict[str, Literal["left", "right"]] = {
    "shard": "left",
    "weight": "right",
    "buckets": "right",
    "share": "right",
    "primary": "left",
    "replicas": "left",
}

app = App(name="map", help="Check, show and compare shard maps.")


@app.command
def check(file: Path = DEFAULT_FILE, /) -> int:
    """Say whether a map is good: exit 0 and one line, or exit 1 and one line for each fault.

    Parameters
    ----------
    file
        The map to check.
    """
    map = _load(file)
    if map is None:
        return 1
    print(f"{file}: OK. {_summary(map)}")
    return 0


@app.command
def show(file: Path = DEFAULT_FILE, /) -> int:
    """Show a map as tables: its regions, and the share of buckets that each shard should hold.

    Parameters
    ----------
    file
        The map to show.
    """
    map = _load(file)
    if map is None:
        return 1
    _print_tables(map)
    return 0


@app.command
def diff(old: Path, new: Path, /) -> int:
    """Say what would change from one map to another: exit 1 if a running gateway would refuse it.

    Parameters
    ----------
    old
        The map that is in use.
    new
        The map that would replace it.
    """
    before, after = _load(old), _load(new)
    if before is None or after is None:
        return 1
    found = differences(before, after)
    for difference in found:
        print(f"{'refused' if difference.refused else 'ok':<7}  {difference.sentence}")
        if difference.refused:
            print(f"{'':<7}  {difference.reason}")
    refused = sum(difference.refused for difference in found)
    print(_verdict(len(found), refused))
    return 1 if refused else 0


@app.command
def schema() -> int:
    """Print the JSON Schema of a map, for editors."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0


@app.command
def edge_table(file: Path = DEFAULT_FILE, /, *, to: Path | None = None, check: bool = False) -> int:
    """Write what the edges outside need of a map: its regions, countries, zones and gateways; no server, no secret.

    Parameters
    ----------
    file
        The map.
    to
        The file to write; without it the `table.json` that the program ships with `edge/`.
    check
        Write nothing: exit 1 if the file is not what it should be.
    """
    map = _load(file)
    if map is None:
        return 1
    text = edge_table_text(map)
    to = to or _SHIPPED_TABLE
    if not check:
        return _write_table(text, to, file)
    is_current = to.is_file() and to.read_text("utf-8") == text
    print(f"{to}: OK" if is_current else f"{to} is not what {file} says: run meridian map edge-table")
    return 0 if is_current else 1


def _write_table(text: str, to: Path, file: Path) -> int:
    if not to.parent.is_dir():
        print(f"--to: there is no folder {to.parent}", file=sys.stderr)
        return 2
    try:
        to.write_text(text, "utf-8")
    except OSError as exc:
        print(f"--to: {to} cannot be written ({exc.strerror})", file=sys.stderr)
        return 2
    print(f"{to}: written from {file}")
    table = table_from_json(json.loads(text))
    for region in table.regions:
        if not gateways_of(table, region):
            print(f"region {region} names no gateway: it will answer reference data alone", file=sys.stderr)
    return 0


def _load(file: Path) -> ShardMap | None:
    """The map, or None with its faults printed."""
    try:
        return load(file, environment=environment())
    except MapRefused as refused:
        for fault in refused.faults:
            print(fault)
        count = len(refused.faults)
        print(f"{count} {'fault' if count == 1 else 'faults'}: the map is not used", file=sys.stderr)
        return None


def _summary(map: ShardMap) -> str:
    shards = [shard for region in map.regions for shard in region.shards]
    servers = sum(len(shard.addresses) for shard in shards)
    counts = ", ".join((_count(map.regions, "region"), _count(shards, "shard"), f"{servers} servers"))
    return f"Version {map.version}: {counts}; default region {map.default_region}"


def _count(things: Iterable[object], word: str) -> str:
    number = len(tuple(things))
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _verdict(found: int, refused: int) -> str:
    if not found:
        return "The maps say the same."
    if refused:
        return f"A running gateway would refuse this map: {refused} of {found} changes cannot be made while running."
    return "A running gateway would take this map over."


def _print_tables(map: ShardMap) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    unlisted = map.default_region if map.unlisted_countries == "default" else "refused"
    console.print(Text.assemble((map.file, "bold"), f"  version {map.version}"))
    console.print(f"default region {map.default_region}, countries not listed: {unlisted}")
    for region in map.regions:
        console.print(Text.assemble("\n", (region.name, "bold cyan"), f"  code {region.code}  {_profile(region)}"))
        console.print(_table(region))


def _profile(region: RegionSpec) -> str:
    title = region.title.get("en") or next(iter(region.title.values()))
    return (
        f"{title}  {', '.join(region.countries)}  {region.currency}  {region.time_zone}  orders {region.order_prefix}-"
    )


def _table(region: RegionSpec) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 2), header_style="dim")
    for heading, justify in _COLUMNS.items():
        table.add_column(heading, justify=justify, overflow="fold")
    for row in _rows(region):
        table.add_row(*row)
    return table


def _rows(region: RegionSpec) -> Iterator[tuple[str, ...]]:
    buckets = Counter(ring_table(region))
    for shard in region.shards:
        count = buckets[shard.name]
        share = f"{100 * count / BUCKETS_PER_REGION:.0f} %"
        replicas = "\n".join(map(str, shard.replicas)) or "none"
        yield shard.name, str(shard.weight), f"{count:,}", share, str(shard.primary), replicas
