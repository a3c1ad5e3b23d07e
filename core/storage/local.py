"""Files below a folder of this machine, or of a disk that its servers share."""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from uuid import uuid4

from core.limits import FILE_CHUNK_BYTES, SPOOL_BYTES_FREE_MIN
from core.storage.store import PROBE_KEY, Contents, FileMissing, StoreKind, StoreUnreachable, verified_md5

P = ParamSpec("P")
T = TypeVar("T")
_KEY = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?")


class LocalStore:
    """A FileStore in `folder`: a file is written beside its place, made durable, and then renamed into it."""

    kind: StoreKind = "Local"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, source: Path, contents: Contents) -> None:
        """See FileStore.put."""
        await verified_md5(source, contents)
        await _done(self._put, self._path(key), source)

    @asynccontextmanager
    async def open(self, key: str, *, first: int = 0, last: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """See FileStore.open."""
        async with reading(self._path(key), first=first, last=last) as chunks:
            yield chunks

    async def delete(self, key: str) -> None:
        """See FileStore.delete."""
        with contextlib.suppress(FileMissing):
            await _done(os.unlink, self._path(key))

    async def probe(self, *, writing: bool) -> None:
        """See FileStore.probe."""
        if writing:
            await _done(self._write_probe)
            return
        nearest = next(path for path in (self._folder, *self._folder.absolute().parents) if path.exists())
        if not os.access(nearest, os.W_OK):
            raise StoreUnreachable("the folder cannot be written to")
        if not await asyncio.to_thread(has_room_at, nearest):
            raise StoreUnreachable("the disk is full")

    async def link(self, key: str, contents: Contents, *, disposition: str, lifetime_s: int) -> str | None:
        """None: nothing but this process can read the folder."""
        return None

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("a key is one or two names of letters, digits and hyphens")
        return self._folder / key

    def _put(self, path: Path, source: Path) -> None:
        make(path.parent)
        beside = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            _copy(source, beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        sync(path.parent)

    def _write_probe(self) -> None:
        make(self._folder)
        (self._folder / PROBE_KEY).write_bytes(b"probe")


def has_room_at(folder: Path) -> bool:
    """Whether the disk of a folder has SPOOL_BYTES_FREE_MIN left for us; blocks."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize >= SPOOL_BYTES_FREE_MIN


def make(folder: Path) -> None:
    """Make a folder and those above it, if they are not there, so that a power cut does not undo it; blocks."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable; blocks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@asynccontextmanager
async def reading(file: Path, *, first: int = 0, last: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes `first..last` of a local file, in chunks. Entering raises FileMissing or StoreUnreachable."""
    # A buffered file has a lock: closing it waits for the read of a cancelled caller, which may still run in its
    # thread. With a bare descriptor that read could meet another file that has got the same number.
    opened = await _done(file.open, "rb")
    try:
        yield _chunks(opened, first, None if last is None else last - first + 1)
    finally:
        await asyncio.to_thread(opened.close)


def _copy(source: Path, target: Path) -> None:
    """A second name for the same bytes where the disk allows it, else a durable copy."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as copy:
            os.fsync(copy.fileno())


async def _chunks(file: BinaryIO, first: int, size: int | None) -> AsyncIterator[bytes]:
    left = size
    file.seek(first)
    while left is None or left > 0:
        wanted = FILE_CHUNK_BYTES if left is None else min(FILE_CHUNK_BYTES, left)
        chunk = await _done(file.read, wanted)
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk


async def _done(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run a disk call in a thread. Raises FileMissing or StoreUnreachable, which name the kind of failure only."""
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except FileNotFoundError as exc:
        raise FileMissing("there is no such file") from exc
    except OSError as exc:
        raise StoreUnreachable(exc.strerror or type(exc).__name__) from exc
