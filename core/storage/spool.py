"""The spool: where every upload lands first, on the local disk, until it is in its region's store.

<folder>/incoming/<id>   being received; of no worth until it is whole
<folder>/waiting/<id>    whole and durable, but not known to be in the store
<folder>/spool-name      what rows call this folder: processes that share it share the name
"""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from core.errors import StorageUnavailable, TooLarge, UnsupportedMedia
from core.limits import FILE_BYTES_MAX, FILE_GRACE_S, UPLOADS_AT_ONCE_MAX
from core.storage.local import has_room_at, sync
from core.storage.media import HEAD_BYTES, media_type_of
from core.storage.store import Contents

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_KINDS = "an image (JPEG, PNG, WebP) or a PDF"


@dataclass(frozen=True, slots=True)
class SpoolFigures:
    """Files that wait, their bytes, the age of the oldest in seconds (0 when there is none), and room for more."""

    files: int = 0
    bytes: int = 0
    oldest_s: float = 0.0
    has_room: bool = True


class Spool:
    """The spool of one region in `folder`. Disk calls run in threads; only names are removed in the loop.

    `figures` is what the last `look` saw, without the files that are `unclaimed`: those that no row was found for, as
    after an upload of unknown outcome. They wait for nothing, and go when they are old.
    """

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._waiting = folder / "waiting"
        self._now = now
        self._receiving = 0
        self.name = ""
        self.figures = SpoolFigures()
        self.unclaimed: set[UUID] = set()

    async def open(self) -> None:
        """Make the folders and learn the spool's name. Raises StorageUnavailable when the disk refuses."""
        with _disk():
            self.name = await asyncio.to_thread(self._make)
        await self.look()

    def path(self, id: UUID) -> Path:
        """Where a file waits."""
        return self._waiting / str(id)

    def holds(self, id: UUID) -> bool:
        """Whether a file waits here."""
        return self.path(id).exists()

    async def receive(self, id: UUID, chunks: AsyncIterator[bytes]) -> Contents:
        """Keep a file as it comes, durable when this returns; nothing of it is left when this raises.

        Raises TooLarge, UnsupportedMedia for what is not an image or a PDF by its first bytes, StorageUnavailable for a
        full disk or too many uploads at once, and whatever `chunks` raises.
        """
        if self._receiving >= UPLOADS_AT_ONCE_MAX:
            raise StorageUnavailable(f"{UPLOADS_AT_ONCE_MAX} uploads are under way already")
        if not self.name:
            await self.open()  # the disk refused when this process started
        self._receiving += 1
        incoming = self._incoming / str(id)
        try:
            with _disk():
                contents = await self._received(incoming, chunks)
                await asyncio.to_thread(self._keep, incoming, self.path(id))
            return contents
        finally:
            self._receiving -= 1
            incoming.unlink(missing_ok=True)

    async def remove(self, id: UUID) -> None:
        """Forget a file; that there is none is no error."""
        with _disk():
            await asyncio.to_thread(self.path(id).unlink, missing_ok=True)

    async def look(self) -> list[UUID]:
        """The files that wait, oldest first; brings `figures` up to date."""
        with _disk():
            found = await asyncio.to_thread(lambda: sorted(_files(self._waiting)))
            has_room = await asyncio.to_thread(has_room_at, self._waiting)
        self.unclaimed &= {id for _, _, id in found}
        waiting = [(since, size) for since, size, id in found if id not in self.unclaimed]
        oldest_s = max(0.0, self._now() - waiting[0][0]) if waiting else 0.0
        self.figures = SpoolFigures(len(waiting), sum(size for _, size in waiting), oldest_s, has_room)
        return [id for _, _, id in found]

    async def is_old(self, id: UUID) -> bool:
        """Whether a file has waited longer than any step of an upload can take."""
        try:
            changed_at = (await asyncio.to_thread(self.path(id).stat)).st_mtime
        except FileNotFoundError:
            return False
        return self._now() - changed_at > FILE_GRACE_S

    async def sweep(self) -> None:
        """Remove what crashes have left half received."""
        with _disk():
            await asyncio.to_thread(self._sweep_incoming)

    def _sweep_incoming(self) -> None:
        for changed_at, _, id in _files(self._incoming):
            if self._now() - changed_at > FILE_GRACE_S:
                (self._incoming / str(id)).unlink(missing_ok=True)

    def _make(self) -> str:
        for folder in (self._incoming, self._waiting):
            folder.mkdir(parents=True, exist_ok=True)
        name = self._folder / "spool-name"
        mine = self._folder / f".spool-name.{uuid4().hex}"
        mine.write_text(uuid4().hex)
        try:
            with suppress(FileExistsError):
                name.hardlink_to(mine)  # the first process wins, and nobody reads half a name
        finally:
            mine.unlink()
        return name.read_text()

    async def _received(self, incoming: Path, chunks: AsyncIterator[bytes]) -> Contents:
        await asyncio.to_thread(self._require_room)
        with await asyncio.to_thread(incoming.open, "xb") as file:
            draft = _Draft(file)
            async for chunk in chunks:
                await asyncio.to_thread(draft.write, chunk)
            return await asyncio.to_thread(draft.finish)

    def _require_room(self) -> None:
        if not has_room_at(self._incoming):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _keep(self, incoming: Path, path: Path) -> None:
        incoming.rename(path)
        sync(self._waiting)


class _Draft:
    """A file while it comes in: written, counted, hashed, and known by its first bytes as soon as they are there."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._media_type: str | None = None

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > FILE_BYTES_MAX:
            raise TooLarge(f"a file may have {FILE_BYTES_MAX} bytes at most")
        self._head += chunk[: HEAD_BYTES - len(self._head)]
        if self._media_type is None and len(self._head) == HEAD_BYTES:
            self._media_type = _kept_type(self._head)
        self._sha256.update(chunk)
        self._file.write(chunk)

    def finish(self) -> Contents:
        if not self._size:
            raise UnsupportedMedia(f"the file is empty; send {_KINDS}")
        media_type = self._media_type or _kept_type(self._head)
        self._file.flush()
        os.fsync(self._file.fileno())
        return Contents(self._size, self._sha256.digest(), media_type)


def _kept_type(head: bytes) -> str:
    media_type = media_type_of(head)
    if media_type is None:
        raise UnsupportedMedia(f"the file is not {_KINDS}, whatever its name says")
    return media_type


def _files(folder: Path) -> Iterator[tuple[float, int, UUID]]:
    """Of each file: when it last changed, its size, its id. Files may go while we look; other names are not ours."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError, ValueError):
                found = entry.stat()
                yield found.st_mtime, found.st_size, UUID(entry.name)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if isinstance(exc, ConnectionError | TimeoutError):
            raise  # of whoever sends the file: no word about our disk
        full = exc.errno in _NO_ROOM
        what = "the disk of this server is full" if full else "the disk of this server refuses files"
        raise StorageUnavailable(what, retry_after_s=30 if full else 5) from exc
