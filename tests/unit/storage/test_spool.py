"""The spool keeps a file whole and durable, or nothing of it."""

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StorageUnavailable, TooLarge, UnsupportedMedia
from core.limits import FILE_BYTES_MAX, FILE_GRACE_S, UPLOADS_AT_ONCE_MAX
from core.storage.spool import Spool
from tests.unit.storage.test_media import HEADS

PNG = HEADS["image/png"]


async def chunked(data: bytes, *cuts: int) -> AsyncIterator[bytes]:
    """The bytes in chunks, cut where a network might."""
    at = 0
    for cut in (*sorted(cuts), len(data)):
        yield data[at:cut]
        at = max(at, cut)


@pytest.fixture
async def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "qa")
    await spool.open()
    return spool


def everything(spool: Spool) -> list[str]:
    """The names of all files in the spool, its own name aside."""
    return sorted(path.name for path in spool._folder.rglob("*") if path.is_file() and path.name != "spool-name")


@given(
    data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 310), max_size=8), kind=st.sampled_from(sorted(HEADS))
)
@settings(max_examples=60, deadline=None)
async def test_wherever_the_network_cuts_it_the_file_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int], kind: str
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    await spool.open()
    whole, id = HEADS[kind] + data, uuid4()
    contents = await spool.receive(id, chunked(whole, *(min(cut, len(whole)) for cut in cuts)))
    assert (contents.size, contents.media_type) == (len(whole), kind)
    assert contents.sha256 == hashlib.sha256(whole).digest()
    assert spool.path(id).read_bytes() == whole


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnsupportedMedia),
        (b"x", UnsupportedMedia),
        (b"<html><script>alert(1)</script>", UnsupportedMedia),
        (PNG + b"x" * FILE_BYTES_MAX, TooLarge),
    ],
    ids=["empty", "one byte", "a page", "too large"],
)
async def test_what_is_not_kept_leaves_nothing(spool: Spool, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await spool.receive(uuid4(), chunked(data, 5))
    assert everything(spool) == []


async def test_the_largest_file_is_kept(spool: Spool) -> None:
    contents = await spool.receive(uuid4(), chunked(PNG.ljust(FILE_BYTES_MAX, b"x"), 1000))
    assert contents.size == FILE_BYTES_MAX


async def test_a_sender_who_disappears_leaves_nothing(spool: Spool) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield PNG
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await spool.receive(uuid4(), breaking())

    async def endless() -> AsyncIterator[bytes]:
        yield PNG
        await asyncio.Event().wait()

    receiving = asyncio.create_task(spool.receive(uuid4(), endless()))
    async with asyncio.timeout(5):
        while not everything(spool):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    receiving.cancel()
    await asyncio.wait([receiving])
    assert everything(spool) == []


@pytest.mark.parametrize("steps", range(40))
async def test_a_sender_who_gives_up_at_any_moment_leaves_nothing(spool: Spool, steps: int) -> None:
    receiving = asyncio.create_task(spool.receive(uuid4(), chunked(PNG + b"x" * 5000, 8, 1000)))
    for _ in range(steps):
        await asyncio.sleep(0.0001)
    receiving.cancel()
    await asyncio.wait([receiving])
    assert receiving.cancelled() == (everything(spool) == [])


async def test_a_disk_that_comes_back_is_used_again(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "qa").rename(tmp_path / "away")
    (tmp_path / "qa").write_text("no folder")
    with pytest.raises(StorageUnavailable):
        await spool.look()
    assert not spool.figures.has_room
    (tmp_path / "qa").unlink()
    (tmp_path / "away").rename(tmp_path / "qa")
    name = spool.name
    await spool.receive(uuid4(), chunked(PNG))
    assert (spool.name, spool.figures.has_room) == (name, True)
    shutil.rmtree(tmp_path / "qa")
    with pytest.raises(StorageUnavailable):
        await spool.look()
    await spool.receive(uuid4(), chunked(PNG))


async def test_uploads_at_once_are_bounded(spool: Spool) -> None:
    release = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield PNG
        await release.wait()

    under_way = [asyncio.create_task(spool.receive(uuid4(), slow())) for _ in range(UPLOADS_AT_ONCE_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await spool.receive(uuid4(), chunked(PNG))
    release.set()
    await asyncio.gather(*under_way)
    await spool.receive(uuid4(), chunked(PNG))


async def test_a_full_disk_is_told_as_such_and_leaves_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageUnavailable, match="full"):
            await spool.receive(uuid4(), chunked(PNG))
    assert everything(spool) == []
    await spool.receive(uuid4(), chunked(PNG))


async def test_processes_that_share_a_folder_share_its_name(tmp_path: Path) -> None:
    spools = [Spool(tmp_path) for _ in range(20)]
    await asyncio.gather(*(spool.open() for spool in spools))
    names = {spool.name for spool in spools}
    assert len(names) == 1
    assert names != {""}


async def test_figures_and_leftovers(tmp_path: Path) -> None:
    clock = 1e10  # long after whatever time files carry
    spool = Spool(tmp_path, now=lambda: clock)
    await spool.open()
    first = uuid4()
    await spool.receive(first, chunked(PNG + b"12"))
    assert await spool.look() == [first]
    assert (spool.figures.files, spool.figures.bytes) == (1, len(PNG) + 2)
    assert spool.figures.oldest_s > FILE_GRACE_S
    assert await spool.is_old(first)
    (tmp_path / "incoming" / str(uuid4())).write_bytes(b"half")
    (tmp_path / "incoming" / "somebody's notes").write_text("not ours")
    await spool.sweep()
    assert everything(spool) == sorted([str(first), "somebody's notes"])
    await spool.remove(first)
    await spool.remove(first)
    assert not await spool.is_old(first)
    assert (await spool.look(), spool.figures.files) == ([], 0)
