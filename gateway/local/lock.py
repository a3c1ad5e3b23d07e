"""One owner at a time for a cluster's folder; the kernel releases the lock however the owner ends."""

import fcntl
import os
from pathlib import Path

from gateway.local.errors import AlreadyRunning

_FILE = "local.lock"


class OwnerLock:
    """An exclusive lock on a folder. The file holds the owner's pid, for the message of who comes second."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether we are the owner."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Become the owner. Raises AlreadyRunning, naming the owner's pid."""
        self._root.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._root / _FILE, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            text = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(str(self._root), int(text) if text.isdigit() else None) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it up; the file stays, for removing it would let two owners lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
