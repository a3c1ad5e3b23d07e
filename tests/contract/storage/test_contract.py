"""What every file store promises, against the real ones: S3 (signatures checked), Azure Blob, and local files."""

import asyncio
import hashlib
import re
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from core.limits import FILE_BYTES_MAX, STORE_BLOCK_BYTES
from core.storage.opening import open_store
from core.storage.settings import LocalSettings
from core.storage.store import Contents, FileDamaged, FileMissing, StoreUnreachable
from tests.contract.storage.world import KINDS, World, new_key
from tests.servers.azurite import Azurite
from tests.servers.s3 import S3Server


async def test_a_file_comes_back_as_it_went(world: World) -> None:
    assert world.store.kind in KINDS
    for size in (1, 1000, STORE_BLOCK_BYTES, STORE_BLOCK_BYTES + 1, FILE_BYTES_MAX):
        key, data = new_key(), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        await world.put(key, data)
        assert await world.get(key) == data
        await world.store.delete(key)


@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (0, 9), (5, 5), (90, 99), (99, 99), (0, 99), (10, None), (99, None)]
)
async def test_a_part_of_a_file_is_read(world: World, first: int, last: int | None) -> None:
    key, data = new_key(), bytes(range(100))
    await world.put(key, data)
    assert await world.get(key, first=first, last=last) == data[first : None if last is None else last + 1]


async def test_storing_again_is_no_error_and_the_newer_stays(world: World) -> None:
    key = new_key()
    await world.put(key, b"first")
    await world.put(key, b"second")
    assert await world.get(key) == b"second"


async def test_what_is_not_there_is_missing_and_removing_it_is_no_error(world: World) -> None:
    key = new_key()
    with pytest.raises(FileMissing):
        await world.get(key)
    await world.store.delete(key)
    await world.put(key, b"here")
    await world.store.delete(key)
    with pytest.raises(FileMissing):
        await world.get(key)


async def test_a_file_that_changed_on_the_local_disk_is_not_stored(world: World) -> None:
    key = new_key()
    path, contents = world.file(b"as it was received")
    for damaged in (b"as it was receivee", b"as it was", b""):
        path.write_bytes(damaged)
        with pytest.raises(FileDamaged):
            await world.store.put(key, path, contents)
    with pytest.raises(FileMissing):
        await world.get(key)


async def test_a_put_that_is_cancelled_leaves_no_part_under_its_key(world: World) -> None:
    data = b"z" * FILE_BYTES_MAX
    path, contents = world.file(data)
    for delay_s in (0.0, 0.005, 0.02, 0.04):
        key = new_key()
        putting = asyncio.create_task(world.store.put(key, path, contents))
        await asyncio.wait([putting], timeout=delay_s)
        putting.cancel()
        await asyncio.wait([putting])
        with suppress(FileMissing):
            assert await world.get(key) == data
    await world.put(new_key(), b"the client is still sound")


@pytest.mark.parametrize("at_once", [1, 8])
async def test_files_pass_in_little_memory(world: World, at_once: int) -> None:
    files = [(new_key(), *world.file(bytes([n]) * FILE_BYTES_MAX)) for n in range(at_once)]
    await world.put(new_key(), b"the first one makes the client load its parts")
    tracemalloc.start()
    try:
        await asyncio.gather(*(world.store.put(*file) for file in files))

        async def drained(key: str) -> int:
            async with world.store.open(key) as chunks:
                return sum([len(chunk) async for chunk in chunks])

        assert set(await asyncio.gather(*(drained(key) for key, *_ in files))) == {FILE_BYTES_MAX}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Half of every file, and what a client holds anyway: on a busy machine that is another block or two.
    most = (at_once / 2 + 1 / 4) * FILE_BYTES_MAX
    assert peak < most, f"{at_once} files of 10 MiB: {peak / 2**20:.1f} MiB were held at most"


async def test_a_probe_says_that_it_can_be_used(world: World) -> None:
    await world.store.probe(writing=False)
    await world.store.probe(writing=True)


async def test_a_local_file_has_no_link(tmp_path: Path) -> None:
    async with open_store(LocalSettings(tmp_path)) as store:
        contents = Contents(1, hashlib.sha256(b"x").digest(), "image/png")
        assert await store.link(new_key(), contents, disposition="inline", lifetime_s=60) is None


async def test_a_full_or_forbidden_folder_is_an_unreachable_store(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    async with open_store(LocalSettings(blocked)) as store:
        with pytest.raises(StoreUnreachable):
            await store.put(new_key(), source, Contents(1, hashlib.sha256(b"x").digest(), "image/png"))
        with pytest.raises(StoreUnreachable):
            await store.probe(writing=True)


@pytest.mark.parametrize("key", ["../x", "qa/../../x", "/etc/passwd", "qa/a/b", "", "QA/x", "qa/", "qa/."])
async def test_a_local_key_is_never_a_path(tmp_path: Path, key: str) -> None:
    async with open_store(LocalSettings(tmp_path)) as store:
        with pytest.raises(ValueError, match="a key is"):
            await store.delete(key)


def test_settings_never_show_their_secrets(tmp_path: Path) -> None:
    for settings in (S3Server(tmp_path).settings, Azurite(tmp_path).settings):
        assert not re.search("secret-key|access-key|AccountKey", repr(settings))
        assert replace(settings) == settings
