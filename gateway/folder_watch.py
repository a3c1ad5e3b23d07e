"""Follows what is in a folder: told by the system at once, and by a slow poll where it tells nothing.

The folder is watched, not its files: an atomic rename and a ConfigMap's swap of a symlink both replace the file.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

_POLL_S: Final = 5.0
_log = structlog.get_logger("folders")


async def follow(folder: Path, look: Callable[[], Awaitable[None]]) -> None:
    """Call `look` after every change in a folder, and every 5 seconds, until cancelled."""
    touched = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_notice(folder, touched), name=f"folder {folder.name}")
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await touched.wait()
            touched.clear()
            await look()


async def _notice(folder: Path, touched: asyncio.Event) -> None:
    """Tell of changes in the folder. Where it cannot be watched (gone, out of watches) the poll goes on alone."""
    while True:
        try:
            async for _ in awatch(folder, recursive=False, debounce=200):
                touched.set()
        except (OSError, RuntimeError) as exc:
            _log.warning("folder_not_watched", folder=str(folder), reason=str(exc))
        await asyncio.sleep(_POLL_S)
