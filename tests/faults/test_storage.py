"""File stores fail in the middle of uploads: clients see success, nothing is lost or doubled, and all of it heals."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest
import structlog

from core.errors import Invalid
from core.shard_map import ShardMap, load
from core.storage.storage import FELL_BACK, RETURNED
from gateway.app import require_stores
from tests.blackbox.process import serving
from tests.integration.http.asking import Json, is_problem, new_person, photo
from tests.servers.azurite import CONTAINER, Azurite
from tests.servers.s3 import BUCKET, S3Server
from tests.system import Answer, Client, Person, Phones, System, until

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module", name="s3")
async def s3_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    async with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module", name="azurite")
async def azurite_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Azurite]:
    async with Azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


def inner(s3: S3Server) -> dict[str, str]:
    """S3 as clients cannot reach it: downloads pass through the gateway."""
    return {name: value for name, value in s3.variables.items() if name != "S3_BASE_URL"}


def map_with(system: System, folder: Path, **kinds: Literal["S3", "Azure"]) -> ShardMap:
    """The map with a store of its own for each region."""
    text = system.map_file.read_text()
    for region, kind in kinds.items():
        head, found, tail = text.partition(f"\n  {region}:\n")
        bucket = {"S3": BUCKET, "Azure": CONTAINER}[kind]
        text = head + found + tail.replace("storage: {}", f"storage: {{kind: {kind}, bucket: {bucket}}}", 1)
    file = folder / "shard_map.yaml"
    file.write_text(text)
    return load(file, environment=system.variables)


@pytest.fixture
async def gateway(system: System, s3: S3Server, azurite: Azurite, tmp_path: Path) -> AsyncIterator[Client]:
    """qa keeps its files in S3, sa in Azure; downloads pass through the gateway."""
    variables = {**inner(s3), **azurite.variables, "UPLOAD_FOLDER": str(tmp_path / "uploads")}
    shard_map = map_with(system, tmp_path, qa="S3", sa="Azure")
    async with system.gateway(shard_map, **variables, SHARD_MAP=shard_map.file) as client:
        yield client


@pytest.fixture
async def doha(gateway: Client, phones: Phones) -> Person:
    return await new_person(gateway, phones, "qa-1")


@pytest.fixture
async def riyadh(gateway: Client, phones: Phones) -> Person:
    return await new_person(gateway, phones, "sa-1")


async def send(client: Client, person: Person, data: bytes, **more: Any) -> Answer:
    return await client.call("POST", "/uploads", user=person, data=photo(data), **more)


async def read(client: Client, person: Person, id: str) -> Answer:
    return await client.call("GET", f"/uploads/{id}", user=person)


async def storage_of(client: Client, region: str) -> Json:
    found: Json = (await client.call("GET", "/health")).json["regions"][region]["storage"]
    return found


async def healed(client: Client, region: str) -> None:
    async def is_healed() -> bool:
        storage = await storage_of(client, region)
        return bool(storage["connected"] and storage["spooled"] == 0 and storage["fallback_since"] is None)

    await until(is_healed, within_s=20, what=f"files of {region} are all in their store")


def objects(s3: S3Server) -> dict[str, bytes]:
    """What the S3 server holds, past every client: key -> bytes."""
    return {
        str(path.relative_to(s3.objects)): path.read_bytes()
        for path in s3.objects.rglob("*")
        if path.is_file() and path.parent.name == "qa" and not path.name.startswith(".")
    }


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_uploads_succeed_while_s3_is_away_and_are_in_it_afterwards(
    gateway: Client, doha: Person, riyadh: Person, s3: S3Server, azurite: Azurite, fault: str
) -> None:
    await healed(gateway, "qa")
    sent: dict[str, bytes] = {}

    async def send_some(count: int) -> None:
        files = [PNG + os.urandom(200_000) for _ in range(count)]
        for data, answer in zip(files, await asyncio.gather(*(send(gateway, doha, f) for f in files)), strict=True):
            assert answer.status == 201, answer
            sent[answer.json["id"]] = data

    before = asyncio.create_task(send_some(10))
    with structlog.testing.capture_logs() as logs:
        if fault == "killed":
            await s3.kill()
        else:
            s3.pause()
        await before
        await send_some(10)
        storage = await storage_of(gateway, "qa")
        assert (storage["store"], storage["configured"], storage["connected"]) == ("Local", "S3", False)
        assert storage["fallback_since"]
        assert storage["breaker"] in ("open", "half_open")
        assert (await gateway.call("GET", "/health")).json["storage"] == "Local"
        sa = await storage_of(gateway, "sa")
        assert (sa["store"], sa["connected"], sa["fallback_since"]) == ("Azure", True, None), "sa is untouched"
        theirs = await send(gateway, riyadh, PNG + b"theirs")
        assert theirs.status == 201
        spooled = [id for id in sent if (await read(gateway, doha, id)).status == 200]
        assert len(spooled) >= 10, "what waits in the spool can be read"
        if fault == "killed":
            await s3.start()
        else:
            s3.resume()
        await healed(gateway, "qa")
    changes = [line["event"] for line in logs if line["event"] in (FELL_BACK, RETURNED)]
    assert changes == [FELL_BACK, RETURNED], "a change of state is one line"
    assert str(s3.port) not in str(logs)
    for id, data in sent.items():
        assert (await read(gateway, doha, id)).body == data
    stored = objects(s3)
    assert {id: stored[f"qa/{id}"] for id in sent} == sent, "each is in its store, whole, once"
    assert not any("sa/" in key for key in stored)
    assert {key.partition("/")[0] for key in await azurite.objects()} <= {"sa", "meridian-probe"}
    assert f"sa/{theirs.json['id']}" in await azurite.objects()


async def test_files_that_wait_outlive_a_change_of_the_map(
    gateway: Client, doha: Person, s3: S3Server, system: System, tmp_path: Path
) -> None:
    await healed(gateway, "qa")
    assert gateway.runtime is not None
    fleet, shard_map = gateway.runtime.fleet, map_with(system, tmp_path, qa="S3", sa="Azure")
    before = fleet.regions[shard_map.regions[0].name]
    await s3.kill()
    try:
        sent = {(await send(gateway, doha, data)).json["id"]: data for data in (PNG + bytes([n]) for n in range(5))}
        changed = [replace(region, order_prefix="NEW") for region in shard_map.regions]
        await fleet.adopt(replace(shard_map, regions=tuple(changed)))
        after = fleet.regions[before.spec.name]
        assert after is not before
        assert (await storage_of(gateway, "qa"))["spooled"] == len(sent)
        for id, data in sent.items():
            assert (await read(gateway, doha, id)).body == data
    finally:
        await s3.start()
    await healed(gateway, "qa")
    stored = objects(s3)
    assert {id: stored[f"qa/{id}"] for id in sent} == sent


async def test_a_file_whose_store_is_away_is_unavailable_and_not_lost(
    gateway: Client, riyadh: Person, azurite: Azurite
) -> None:
    answer = await send(gateway, riyadh, PNG + b"in azure")
    await healed(gateway, "sa")
    await azurite.stop()

    async def noticed() -> bool:
        return bool((await storage_of(gateway, "sa"))["store"] == "Local")

    try:
        await until(noticed, what="the store is known to be away")
        for _ in range(2):
            refused = await read(gateway, riyadh, answer.json["id"])
            is_problem(refused, 503, "storage_unavailable")
            assert refused.headers["Retry-After"]
    finally:
        await azurite.start()
    await healed(gateway, "sa")
    back = await read(gateway, riyadh, answer.json["id"])
    assert back.body == PNG + b"in azure", back.body


async def test_refused_credentials_are_a_store_that_is_away(
    system: System, phones: Phones, s3: S3Server, tmp_path: Path
) -> None:
    variables = {**s3.variables, "UPLOAD_FOLDER": str(tmp_path), "S3_SECRET_KEY": "not the secret"}
    async with system.gateway(None, **variables) as client:
        person = await new_person(client, phones, "qa-1")
        answer = await send(client, person, PNG + b"kept all the same")
        assert answer.status == 201
        storage = await storage_of(client, "qa")
        assert (storage["store"], storage["connected"], storage["spooled"]) == ("Local", False, 1)
        assert "not the secret" not in str(storage)
    async with system.gateway(None, **{**variables, "S3_SECRET_KEY": s3.variables["S3_SECRET_KEY"]}) as client:
        await healed(client, "qa")
        assert objects(s3)[f"qa/{answer.json['id']}"] == PNG + b"kept all the same", "the next process moves it"
        link = await client.call("GET", f"/uploads/{answer.json['id']}", user=person, allow_redirects=False)
        assert (link.status, link.headers["Cache-Control"]) == (307, "no-store")
        followed = await client.call("GET", f"/uploads/{answer.json['id']}", user=person)
        assert followed.body == PNG + b"kept all the same"


async def test_a_map_that_wants_a_store_without_credentials_is_refused(system: System, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        require_stores(map_with(system, tmp_path, qa="S3"), system.settings())
    assert [fault.field for fault in refused.value.fields] == ["S3_ACCESS_KEY", "S3_SECRET_KEY"]
    assert "region qa" in refused.value.fields[0].message


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 72 MiB, of which the spool needs 64 MiB free: some small files fill it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=72m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_refuses_uploads_clearly_and_takes_them_when_there_is_room(
    system: System, phones: Phones, s3: S3Server, small_disk: Path
) -> None:
    async with system.gateway(None, **{**s3.variables, "UPLOAD_FOLDER": str(small_disk)}) as client:
        person = await new_person(client, phones, "qa-1")
        assert (await send(client, person, PNG + b"fits")).status == 201
        filler = small_disk / "filler"
        filler.write_bytes(bytes(10 * 2**20))
        is_problem(await send(client, person, PNG + b"too late"), 503, "storage_unavailable")

        async def seen() -> bool:
            return (await storage_of(client, "qa"))["has_room"] is False

        await until(seen, what="health says that there is no room")
        health = await client.call("GET", "/health")
        assert (health.status, health.json["status"]) == (200, "DEGRADED")
        filler.unlink()
        assert (await send(client, person, PNG + b"fits again")).status == 201
        await healed(client, "qa")
        assert [
            path for path in (small_disk / "spool").rglob("*") if path.is_file() and path.name != "spool-name"
        ] == []


async def test_a_gateway_killed_while_files_wait_loses_none(
    system: System, phones: Phones, s3: S3Server, tmp_path: Path
) -> None:
    variables = {**system.variables, **inner(s3), "UPLOAD_FOLDER": str(tmp_path / "uploads")}
    sent: dict[str, bytes] = {}
    await s3.kill()
    async with serving(tmp_path, variables) as program:
        person = await program.client.register(phones.qatar())
        for _ in range(5):
            data = PNG + os.urandom(50_000)
            answer = await send(program.client, person, data, headers={"Idempotency-Key": uuid4().hex})
            assert answer.status == 201
            sent[answer.json["id"]] = data
        program.process.kill()
        await program.process.wait()
    await s3.start()
    async with serving(tmp_path, variables) as program:
        await healed(program.client, "qa")
        for id, data in sent.items():
            assert (await read(program.client, person, id)).body == data
    stored = objects(s3)
    assert {id: stored[f"qa/{id}"] for id in sent} == sent
