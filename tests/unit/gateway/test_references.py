"""The gateway's reference data: an operator's files taken over or refused whole, the map followed, edges told."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from core.shard_map import RegionName, ShardMap, load
from core.shard_map.model import DeliveryZone
from edge.messages import Request
from edge.reference import PREFIX
from edge.reference.catalogue import BYTES_MAX
from gateway.reference import References
from tests.system import ROOT, until

PLAN = {
    "id": "free",
    "name": {"en": "Gratis", "ar": "مجانية"},
    "description": {"en": "a", "ar": "ب"},
    "commission_percent": "15",
}
PLANS = json.dumps({"items": [PLAN]})
BAD = json.dumps({"items": [{**PLAN, "commission_percent": "200"}]}, indent=1)


class Told:
    """The groups that edges were told of."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, ...]] = []

    def __call__(self, groups: Sequence[str]) -> None:
        self.groups.append(tuple(groups))


@pytest.fixture(scope="module")
def shard_map() -> ShardMap:
    return load(ROOT / "shard_map.yaml", environment={})


@pytest.fixture
def told() -> Told:
    return Told()


def items(references: References, name: str, region: str = "qa") -> list[dict[str, object]]:
    answer = references.handle(Request("GET", f"{PREFIX}/{name}", (("X-Region", region),)), region)
    found: list[dict[str, object]] = json.loads(answer.body)["items"]
    return found


def first_plan(references: References) -> object:
    return items(references, "plans")[0]["name"]


def put(folder: Path, name: str, text: str) -> None:
    """Put a file into a folder in one step."""
    (folder / "new").write_text(text)
    os.replace(folder / "new", folder / name)


async def test_files_of_the_folder_take_the_place_of_the_shipped_ones(
    shard_map: ShardMap, told: Told, tmp_path: Path
) -> None:
    put(tmp_path, "plans.json", PLANS)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / ".plans.json").write_text("{")
    references = References(shard_map, folder=tmp_path, on_change=told)
    assert first_plan(references) == "Gratis"
    assert len(items(references, "makes")) >= 45
    (tmp_path / "plans.json").unlink()
    await references.look()
    assert len(items(references, "plans")) == 4
    assert told.groups == [("reference-plans", "reference-sets")]


async def test_a_good_file_is_taken_over_while_running_and_the_edges_are_told(
    shard_map: ShardMap, told: Told, tmp_path: Path
) -> None:
    references = References(shard_map, folder=tmp_path, on_change=told)
    running = asyncio.create_task(references.run())
    try:

        async def taken_over() -> bool:
            put(tmp_path, "plans.json", PLANS)  # once more each time: the watch may not have begun
            return first_plan(references) == "Gratis"

        await until(taken_over, within_s=20, what="the plan is called Gratis")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert told.groups == [("reference-plans", "reference-sets")]
    assert references.refused == ""


async def test_a_bad_file_changes_nothing_and_is_told_until_it_is_mended(
    shard_map: ShardMap, told: Told, tmp_path: Path
) -> None:
    put(tmp_path, "plans.json", PLANS)
    references = References(shard_map, folder=tmp_path, on_change=told)
    put(tmp_path, "plans.json", BAD)
    put(tmp_path, "statuses.json", "{}")
    await references.look()
    line = BAD.splitlines().index('   "commission_percent": "200"') + 1
    assert f"plans.json:{line}: items.0.commission_percent: must be written as" in references.refused
    assert "statuses.json:1:" in references.refused, "every file is named, not the first only"
    assert str(tmp_path) not in references.refused
    assert first_plan(references) == "Gratis", "what was in force stays"
    put(tmp_path, "plans.json", PLANS)
    (tmp_path / "statuses.json").unlink()
    await references.look()
    assert (references.refused, told.groups) == ("", [])


async def test_a_bad_file_at_the_start_leaves_the_shipped_ones(shard_map: ShardMap, told: Told, tmp_path: Path) -> None:
    put(tmp_path, "plans.json", BAD)
    references = References(shard_map, folder=tmp_path, on_change=told)
    assert "plans.json:" in references.refused
    assert len(items(references, "plans")) == 4


async def test_a_folder_that_cannot_be_read_changes_nothing(shard_map: ShardMap, told: Told, tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    folder.mkdir()
    put(folder, "plans.json", PLANS)
    references = References(shard_map, folder=folder, on_change=told)
    os.replace(folder, tmp_path / "elsewhere")
    await references.look()
    assert references.refused == "reference: cannot be read: no such file or directory"
    assert first_plan(references) == "Gratis"
    os.replace(tmp_path / "elsewhere", folder)
    (folder / "areas.json").mkdir()
    await references.look()
    assert references.refused == "areas.json: cannot be read: is a directory"
    (folder / "areas.json").rmdir()
    put(folder, "areas.json", " " * (BYTES_MAX + 1))
    await references.look()
    assert references.refused.startswith("areas.json:1: has more than")
    for number in range(40):
        put(folder, f"{number}.json", "{}")
    await references.look()
    assert references.refused == "reference: has more than 32 files"


async def test_a_pipe_or_a_device_is_not_waited_for(shard_map: ShardMap, told: Told, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "makes.json")
    async with asyncio.timeout(5):
        references = await asyncio.to_thread(References, shard_map, folder=tmp_path, on_change=told)
    assert references.refused == "makes.json: cannot be read: it is no file"
    (tmp_path / "makes.json").unlink()
    (tmp_path / "makes.json").symlink_to("/dev/zero")
    await references.look()
    assert references.refused == "makes.json: cannot be read: it is no file"
    assert len(items(references, "plans")) == 4


async def test_a_file_may_be_a_link_as_a_config_map_mounts_it(shard_map: ShardMap, told: Told, tmp_path: Path) -> None:
    (tmp_path / "..first").mkdir()
    (tmp_path / "..first" / "plans.json").write_text(PLANS)
    (tmp_path / "..data").symlink_to("..first")
    (tmp_path / "plans.json").symlink_to("..data/plans.json")
    assert first_plan(References(shard_map, folder=tmp_path, on_change=told)) == "Gratis"


async def test_a_changed_map_is_followed(shard_map: ShardMap, told: Told) -> None:
    references = References(shard_map, on_change=told)
    zone = DeliveryZone(None, Decimal("7.5"))
    regions = tuple(replace(r, delivery_zones=(zone,)) if r.name == "sa" else r for r in shard_map.regions)
    await references.adopt(replace(shard_map, regions=regions))
    assert [found["fee"] for found in items(references, "delivery-zones", "sa")] == ["7.50"]
    assert told.groups == [("reference-delivery-zones", "reference-sets")]
    await references.adopt(replace(shard_map, regions=regions, version=99))
    assert len(told.groups) == 1, "nothing that reference data tell has changed"


async def test_a_region_that_is_new_on_the_map_has_reference_data(shard_map: ShardMap, told: Told) -> None:
    references = References(shard_map, on_change=told)
    bahrain = replace(
        shard_map.regions[0],
        name=RegionName("bh"),
        title={"en": "Bahrain"},
        countries=("BH",),
        currency="BHD",
        minor_unit=3,
    )
    await references.adopt(replace(shard_map, regions=(*shard_map.regions, bahrain)))
    assert [country["id"] for country in items(references, "areas", "bh")] == ["BH"]
    assert items(references, "delivery-zones", "bh")[0]["fee"] == "10.000"
    spoken = (("X-Region", "bh"), ("Accept-Language", "ar"))
    listed = references.handle(Request("GET", PREFIX, spoken), "bh")
    assert json.loads(listed.body)["title"] == "Bahrain", "a region without an Arabic title has its English one"
