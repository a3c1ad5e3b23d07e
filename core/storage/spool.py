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
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from uuid import UUID, uuid4

from core.errors import StorageUnavailable, TooLarge, UnsupportedMedia
from core.limits import FILE_BYTES_MAX, FILE_GRACE_S, UPLOADS_AT_ONCE_MAX
from core.storage.local import has_room_at, make, sync
from core.storage.media import HEAD_BYTES, media_type_of
from core.storage.store import Contents

P = ParamSpec("P")
T = TypeVar("T")
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
        self._is_open = False
        self.name = ""
        self.figures = SpoolFigures()
        self.unclaimed: set[UUID] = set()

    async def open(self) -> None:
        """Make the folders and learn the spool's name. Raises StorageUnavailable when the disk refuses."""
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
        if not self._is_open:
            await self.open()  # the disk has refused, or lost our folders
        self._receiving += 1
        incoming = self._incoming / str(id)
        try:
            with _disk():
                return await self._received(incoming, self.path(id), chunks)
        except BaseException:
            incoming.unlink(missing_ok=True)
            self.path(id).unlink(missing_ok=True)
            raise
        finally:
            self._receiving -= 1

    async def remove(self, id: UUID) -> None:
        """Forget a file; that there is none is no error."""
        with _disk():
            await asyncio.to_thread(self.path(id).unlink, missing_ok=True)

    async def look(self) -> list[UUID]:
        """The files that wait, oldest first; brings `figures` up to date."""
        try:
            with _disk():
                found, has_room = await asyncio.to_thread(self._look)
        except StorageUnavailable:
            self._is_open, self.figures = False, replace(self.figures, has_room=False)
            raise
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

    def _look(self) -> tuple[list[tuple[float, int, UUID]], bool]:
        if not self._is_open:
            self.name = self._make()
            self._is_open = True
        return sorted(_files(self._waiting)), has_room_at(self._waiting)

    def _make(self) -> str:
        for folder in (self._incoming, self._waiting):
            make(folder)
        name = self._folder / "spool-name"
        if not name.exists():
            self._give_name(name)
        return name.read_text()

    def _give_name(self, name: Path) -> None:
        mine = name.with_name(f".spool-name.{uuid4().hex}")
        try:
            with mine.open("x") as file:
                file.write(uuid4().hex)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                name.hardlink_to(mine)  # the first process wins, and nobody reads half a name
        finally:
            mine.unlink(missing_ok=True)
        sync(self._folder)

    async def _received(self, incoming: Path, path: Path, chunks: AsyncIterator[bytes]) -> Contents:
        await asyncio.to_thread(self._require_room)
        with _Draft(incoming) as draft:
            await _finished(draft.open)
            async for chunk in chunks:
                await _finished(draft.write, chunk)
            contents = await _finished(draft.finish)
        await _finished(self._keep, incoming, path)
        return contents

    def _require_room(self) -> None:
        if not has_room_at(self._incoming):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _keep(self, incoming: Path, path: Path) -> None:
        incoming.rename(path)
        sync(self._waiting)


class _Draft:
    """A file while it comes in: written, counted, hashed, and known by its first bytes as soon as they are there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = BytesIO()
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._media_type: str | None = None

    def __enter__(self) -> "_Draft":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def open(self) -> None:
        self._file = self._path.open("xb")

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


async def _finished(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run a disk call in a thread. Who is cancelled meanwhile waits for its end, for a thread cannot be stopped, and
    would make a file after we have cleared up.
    """
    running = asyncio.create_task(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


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
