"""The shard map changed while the gateway runs: good files are taken over, bad ones change nothing and are told."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from aiohttp import ClientSession

from gateway.local import LocalCluster, LocalShardSpec
from tests.blackbox.process import Program, command, serving
from tests.system import DATABASE, PASSWORD, ROOT, SEARCH, USER, Phones, System, free_port, until

SHIPPED = (ROOT / "shard_map.yaml").read_text()
BAHRAIN = """
  bh:
    code: 3
    name: {en: Bahrain}
    countries: [BH]
    currency: BHD
    minor_unit: 3
    time_zone: Asia/Bahrain
    phone: {country: BH, accept: any}
    hub: {lat: 26.2285, lng: 50.5860}
    delivery_zones: [{fee: "1.500"}]
    order_prefix: BH
    shards:
      bh-1:
        weight: 1
        primary: "127.0.0.1:PRIMARY"
        replicas: ["127.0.0.1:REPLICA"]
        database: "${DB_NAME:-qscrap_db}"
        user: "${DB_USER:-postgres}"
        password: "${DB_PASSWORD:-}"
"""


class Folder:
    """A folder with a map as Kubernetes mounts a ConfigMap: the file is a link into a folder that is swapped whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "shard_map.yaml"
        self._count = 0
        self.put(SHIPPED)
        self.file.symlink_to("..data/shard_map.yaml")

    def put(self, text: str) -> None:
        """Replace the map's text in one step."""
        self._count += 1
        version = self.root / f"..version-{self._count}"
        version.mkdir()
        (version / "shard_map.yaml").write_text(text)
        (self.root / "..new").symlink_to(version.name)
        os.replace(self.root / "..new", self.root / "..data")


@pytest.fixture
async def reloading(system: System, tmp_path: Path) -> AsyncIterator[tuple[Program, Folder]]:
    folder = Folder(tmp_path)
    async with serving(tmp_path, {**system.variables, "SHARD_MAP": str(folder.file)}) as program:
        yield program, folder


async def map_health(program: Program) -> dict[str, object]:
    found: dict[str, object] = (await program.client.call("GET", "/health")).json["map"]
    return found


async def test_a_good_change_is_taken_over_without_a_restart(reloading: tuple[Program, Folder]) -> None:
    program, folder = reloading
    folder.put(SHIPPED.replace("version: 1 ", "version: 2 ").replace("countries: [QA]", "countries: [QA, BH]"))

    async def taken_over() -> bool:
        return (await map_health(program))["version"] == 2

    await until(taken_over, what="version 2 is in force")
    route = await program.client.call("GET", "/route?country=BH")
    assert (route.json["region"], route.json["by"]) == ("qa", "country")
    assert "map_changed" in program.said()


async def test_a_bad_file_changes_nothing_and_is_told_with_its_lines_until_it_is_mended(
    reloading: tuple[Program, Folder], phones: Phones
) -> None:
    program, folder = reloading
    person = await program.client.register(phones.qatar())
    bad = SHIPPED.replace("countries: [SA]", "countries: [QA]").replace(
        "time_zone: Asia/Riyadh", "time_zone: Mars/Base"
    )
    folder.put(bad)

    async def refused() -> bool:
        return "refused" in await map_health(program)

    await until(refused, what="the bad map is told")
    health = await program.client.call("GET", "/health")
    line = bad.splitlines().index("    time_zone: Mars/Base") + 1
    assert health.json["status"] == "DEGRADED"
    assert health.json["map"]["version"] == 1
    assert f"shard_map.yaml:{line}:" in health.json["map"]["refused"]
    assert "regions.sa.countries" in health.json["map"]["refused"], "every fault is named, not the first only"
    assert f"shard_map.yaml:{line}:" in program.said()
    assert (await program.client.call("GET", "/me", user=person)).status == 200
    folder.put(SHIPPED)

    async def mended() -> bool:
        return "refused" not in await map_health(program)

    await until(mended, what="the refusal is gone")


async def test_a_change_that_would_move_buckets_is_refused_and_explained(
    reloading: tuple[Program, Folder], system: System, tmp_path: Path
) -> None:
    program, folder = reloading
    heavier = SHIPPED.replace("sa-2:\n        weight: 1", "sa-2:\n        weight: 3")
    assert heavier != SHIPPED
    folder.put(heavier)

    async def explained() -> bool:
        told = str((await map_health(program)).get("refused", ""))
        return "sa-2" in told and "weight 1 -> 3" in told and "buckets" in told

    await until(explained, what="the refusal is explained")
    (tmp_path / "old.yaml").write_text(SHIPPED)
    (tmp_path / "new.yaml").write_text(heavier)
    status, said = await command("map", "diff", "old.yaml", "new.yaml", variables=system.variables, folder=tmp_path)
    assert status == 1
    assert "weight 1 -> 3" in said


async def test_a_region_with_its_shards_is_added_to_a_running_gateway(
    reloading: tuple[Program, Folder], system: System, tmp_path: Path
) -> None:
    program, folder = reloading
    ports = free_port(), free_port()
    shard = LocalShardSpec("bh-1", *ports, DATABASE, USER, PASSWORD)
    cluster = LocalCluster(Path(mkdtemp(prefix="meridian-bh-")), shards=[shard], search=SEARCH)
    async with cluster:
        text = SHIPPED + BAHRAIN.replace("PRIMARY", str(ports[0])).replace("REPLICA", str(ports[1]))
        (tmp_path / "with_bahrain.yaml").write_text(text)
        variables = {**system.variables, "SHARD_MAP": "with_bahrain.yaml"}
        status, said = await command("migrate", variables=variables, folder=tmp_path)
        assert status == 0, said
        folder.put(text)

        async def added() -> bool:
            health = await program.client.call("GET", "/health/regions/bh")
            return health.status == 200 and health.json["status"] == "OK"

        await until(added, what=program.said())
        person = await program.client.register("+97336001234")
        me = await program.client.call("GET", "/me", user=person)
        assert me.json["region"] == "bh"
        assert me.headers["Meridian-Route"].startswith("bh-1/")
    await cluster.fresh()


async def test_the_old_regions_pools_are_drained_not_cut(
    reloading: tuple[Program, Folder], system: System, phones: Phones
) -> None:
    program, folder = reloading
    person = await program.client.register(phones.qatar())
    swapped = SHIPPED.replace("name: {en: Qatar, ar: قطر}", "name: {en: State of Qatar}")
    assert swapped != SHIPPED
    async with system.sql("qa-1") as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM marketplace.account WHERE id = $1 FOR UPDATE", person.id)
        slow = asyncio.create_task(program.client.call("PATCH", "/me", user=person, json={"full_name": "Patient"}))

        async def waits() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(waits, what="the change waits for the row")
        folder.put(swapped)

        async def swapped_in() -> bool:
            return "map_changed" in program.said()

        await until(swapped_in, what="the new map is in force")
        await transaction.rollback()
    assert (await slow).status == 200


async def test_the_admin_port_shows_the_map_in_force(reloading: tuple[Program, Folder]) -> None:
    program, _ = reloading
    async with ClientSession() as session, session.get(f"{program.admin}/map") as response:
        shown = await response.json()
    assert shown["version"] == 1
    assert shown["regions"]["qa"]["buckets"] == {"qa-1": 4096}
    assert sum(shown["regions"]["sa"]["buckets"].values()) == 4096
