"""A file's whole life on real shards and real stores: received, settled, read, deleted, purged; by many processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from core.database.shard import Consistency, Terms
from core.errors import Conflict, NotFound, StorageUnavailable
from core.ids import Placement
from core.limits import DRAINS_AT_ONCE, FILE_SWEEP_ROWS, FILE_UNUSED_LIFETIME_S
from core.region import Region
from core.shard_map.model import RegionName
from core.storage import rows
from core.storage.files import Files
from core.storage.opening import open_storage
from core.storage.rows import StoredFile
from core.storage.settings import LocalSettings, StoreSettings
from core.storage.storage import Storage
from tests.servers.azurite import Azurite
from tests.servers.s3 import S3Server
from tests.system import Client, System

PNG = b"\x89PNG\r\n\x1a\n"


@asynccontextmanager
async def opened(settings: StoreSettings, folder: Path) -> AsyncIterator[Storage]:
    async with open_storage(
        settings,
        region="qa",
        spool_folder=folder,
        clock=asyncio.get_running_loop().time,
        wall=lambda: datetime.now(UTC),
        on_change=lambda name, details: None,
    ) as storage:
        yield storage


@pytest.fixture(scope="module", params=["S3", "Azure", "Local"])
async def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StoreSettings]:
    folder = tmp_path_factory.mktemp("stores")
    async with AsyncExitStack() as stack:
        if request.param == "S3":
            yield (await stack.enter_async_context(S3Server(folder / "s3"))).settings
        elif request.param == "Azure":
            yield (await stack.enter_async_context(Azurite(folder / "azurite"))).settings
        else:
            yield LocalSettings(folder / "files")


@pytest.fixture
async def storage(settings: StoreSettings, tmp_path: Path) -> AsyncIterator[Storage]:
    async with opened(settings, tmp_path / "spool") as storage:
        yield storage


@pytest.fixture
def region(gateway: Client) -> Region:
    assert gateway.runtime is not None
    return next(region for name, region in gateway.runtime.fleet.regions.items() if name == "qa")


@pytest.fixture
def files(storage: Storage, region: Region) -> Files:
    """The files of a process that drains and sweeps only when told."""
    return Files(storage, region)


class Owner:
    """Somebody with files in qa."""

    def __init__(self, gateway: Client) -> None:
        assert gateway.runtime is not None
        self._new_id = gateway.runtime.new_id
        self.id = self.new_id()

    def new_id(self) -> UUID:
        return self._new_id(Placement(1, 77))


@pytest.fixture
def owner(gateway: Client) -> Owner:
    return Owner(gateway)


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def received(files: Files, region: Region, owner: Owner, data: bytes) -> StoredFile:
    id = owner.new_id()
    contents = await files.receive(id, chunks_of(data))
    insert = rows.insert(
        id, owner=owner.id, name="part.png", contents=contents, spool=files.spool_name, event=owner.new_id()
    )
    return await region.write_now(insert)


async def row(region: Region, id: UUID) -> StoredFile | None:
    found = await region.read_now(77, rows.whatever(id))
    return found[0] if found else None


async def read(files: Files, file: StoredFile, first: int = 0, last: int | None = None) -> bytes:
    async with files.content(file, first=first, last=last) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_a_file_goes_from_the_spool_into_the_store_and_is_the_same_in_both(
    files: Files, storage: Storage, region: Region, owner: Owner
) -> None:
    data = PNG + bytes(range(256)) * 500
    spooled = await received(files, region, owner, data)
    assert (spooled.state, spooled.spool, spooled.name) == ("spooled", files.spool_name, "part.png")
    assert (await read(files, spooled), await read(files, spooled, 8, 11)) == (data, data[8:12])
    stored = await files.settle(spooled)
    assert (stored.state, stored.spool) == ("stored", None)
    assert (await read(files, stored), await read(files, stored, 8, 11)) == (data, data[8:12])
    assert not storage.spool.holds(stored.id)
    assert await read(files, spooled) == data, "who read the row before it settled finds the file all the same"
    assert await files.settle(stored) == stored


async def test_deleting_hides_a_file_at_once_and_the_sweep_purges_it(
    files: Files, storage: Storage, region: Region, owner: Owner
) -> None:
    file = await files.settle(await received(files, region, owner, PNG + b"gone soon"))
    with pytest.raises(NotFound):
        await region.write_now(rows.delete(file.id, owner=uuid4()))
    await region.write_now(rows.delete(file.id, owner=owner.id))
    assert await region.read_now(77, rows.one(file.id)) == []
    await files.sweep()
    assert await row(region, file.id) is not None, "a put of it might still be under way"
    await files.sweep(grace_s=0)
    assert await row(region, file.id) is None
    with pytest.raises(NotFound):
        await read(files, file)


async def test_a_file_that_is_used_is_not_deleted_and_one_that_is_not_goes_after_a_day(
    files: Files, region: Region, owner: Owner, system: System
) -> None:
    used, unused, young = [await received(files, region, owner, PNG + bytes([n])) for n in range(3)]
    async with system.sql("qa-1") as sql:
        await sql.execute("UPDATE meridian.file SET used_by = $1 WHERE bucket = 77 AND id = $2", owner.id, used.id)
        for file in (used, unused):
            await sql.execute(
                "UPDATE meridian.file SET created_at = now() - make_interval(secs => $1) WHERE bucket = 77 AND id = $2",
                FILE_UNUSED_LIFETIME_S + 1.0,
                file.id,
            )
    with pytest.raises(Conflict):
        await region.write_now(rows.delete(used.id, owner=owner.id))
    await files.sweep()
    states = [found.state for file in (used, unused, young) if (found := await row(region, file.id))]
    assert states == ["spooled", "deleted", "spooled"]


async def test_many_processes_drain_one_spool_and_every_file_is_stored_once(
    settings: StoreSettings, region: Region, owner: Owner, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        processes = [
            Files(await stack.enter_async_context(opened(settings, tmp_path / "shared")), region) for _ in range(3)
        ]
        data = [PNG + bytes([n]) * 1000 for n in range(30)]
        spooled = [await received(processes[n % 3], region, owner, each) for n, each in enumerate(data)]
        await asyncio.gather(*(process.drain() for process in processes))
        for file, expected in zip(spooled, data, strict=True):
            found = await row(region, file.id)
            assert found is not None
            assert found.state == "stored"
            assert await read(processes[0], found) == expected
        assert list((tmp_path / "shared" / "waiting").iterdir()) == []


async def test_a_file_that_waits_elsewhere_is_told_to_wait_for(files: Files, region: Region, owner: Owner) -> None:
    file = replace(await received(files, region, owner, PNG), spool="another server")
    with pytest.raises(StorageUnavailable, match="another server"):
        await read(files, file)


async def test_a_row_that_lags_behind_the_drain_hides_no_file(files: Files, region: Region, owner: Owner) -> None:
    file = await received(files, region, owner, PNG + b"there by now")
    await files.settle(file)
    assert await read(files, replace(file, spool="another server")) == PNG + b"there by now"


async def test_files_that_cannot_be_moved_hold_up_no_other(
    files: Files, storage: Storage, region: Region, owner: Owner
) -> None:
    bad = [await received(files, region, owner, PNG + bytes([n])) for n in range(DRAINS_AT_ONCE * 2)]
    for n, file in enumerate(bad):
        path = storage.spool.path(file.id)
        if n % 2:
            path.write_bytes(b"other bytes")
        else:
            path.unlink()
            path.mkdir()  # reading it is an OSError, as of a broken disk
    good = [await received(files, region, owner, PNG + b"good" + bytes([n])) for n in range(10)]
    await files.drain()
    states = [found.state for file in [*bad, *good] if (found := await row(region, file.id))]
    assert states == ["spooled"] * len(bad) + ["stored"] * len(good)
    assert storage.health().spooled == len(bad), "and health shows them"
    assert storage.uses_store, "the store is not to blame"


async def test_no_row_in_a_shard_without_the_bucket_proves_nothing(gateway: Client) -> None:
    assert gateway.runtime is not None
    region = gateway.runtime.fleet.regions[RegionName("sa")]
    id = gateway.runtime.new_id(Placement(region.spec.code, 77))
    answers = {}
    for name, shard in region.shards.items():
        terms = Terms(asyncio.get_running_loop().time() + 5, Consistency.STRONG)
        answers[name] = (await shard.read(rows.gone(id), terms)).value
    holder = region.owner(77).name
    assert answers == {name: [True] if name == holder else [] for name in region.shards}
    assert len(answers) == 2


async def test_a_put_that_comes_after_the_purge_leaves_nothing(
    files: Files, storage: Storage, region: Region, owner: Owner
) -> None:
    file = await received(files, region, owner, PNG + b"late")
    await region.write_now(rows.delete(file.id, owner=owner.id))
    await files.sweep(grace_s=0)
    await files.receive(file.id, chunks_of(PNG + b"late"))  # a process that was stopped all the time still has it
    await files.settle(file)
    assert not storage.spool.holds(file.id)
    with pytest.raises(NotFound):
        await read(files, file)


async def test_a_sweep_purges_more_than_one_batch(files: Files, region: Region, owner: Owner, system: System) -> None:
    ids = [owner.new_id() for _ in range(FILE_SWEEP_ROWS * 2 + 1)]
    async with system.sql("qa-1") as sql:
        await sql.execute(
            """INSERT INTO meridian.file (bucket, id, owner, media_type, size, sha256, state)
               SELECT 77, id, $2, 'image/png', 1, sha256(''), 'deleted' FROM unnest($1::uuid[]) AS id""",
            ids,
            owner.id,
        )
        await files.sweep(grace_s=0)
        assert await sql.fetchval("SELECT count(*) FROM meridian.file WHERE owner = $1", owner.id) == 0


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["after receive", "after row", "after put", "after settled"])
async def test_a_crash_between_any_two_steps_loses_nothing_and_leaves_nothing(
    settings: StoreSettings, region: Region, owner: Owner, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PNG + step.encode()
    async with opened(settings, tmp_path / "spool") as storage:
        files = Files(storage, region)

        async def crash(*_: object) -> None:
            raise Crash

        async def put_and_crash(*arguments: object) -> None:
            await put(*arguments)  # type: ignore[arg-type]
            raise Crash

        put = storage.put
        if step == "after put":
            monkeypatch.setattr(storage, "put", put_and_crash)
        if step == "after settled":
            monkeypatch.setattr(storage.spool, "remove", crash)
        id = owner.new_id()
        contents = await files.receive(id, chunks_of(data))
        if step != "after receive":
            insert = rows.insert(
                id, owner=owner.id, name=None, contents=contents, spool=files.spool_name, event=owner.new_id()
            )
            file = await region.write_now(insert)
        if step in ("after put", "after settled"):
            with pytest.raises(Crash):
                await files.settle(file)
    monkeypatch.undo()

    async with opened(settings, tmp_path / "spool") as storage:  # the process that is started again
        files = Files(storage, region)
        await files.drain()
        found = await row(region, id)
        if step == "after receive":
            assert found is None
            assert storage.spool.holds(id), "its row may be under way"
            assert storage.health().spooled == 0, "but nobody waits for it"
            storage.spool._now = lambda: 1e10
            await files.drain()
        else:
            assert found is not None
            assert (found.state, await read(files, found)) == ("stored", data)
        assert not storage.spool.holds(id)
