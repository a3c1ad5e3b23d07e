"""Follows the shard map's file while the gateway runs: parsed whole, opened, swapped; a bad file changes nothing.

The folder is watched, not the file: an atomic rename and a ConfigMap's swap of a symlink both replace the file. A slow
poll stands beside the watcher, for file systems that tell nothing. Contents are compared by digest.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from core.errors import Invalid, MapRefused
from core.shard_map import ShardMap, differences, load

_POLL_S: Final = 5.0
_log = structlog.get_logger("map")


class MapWatch:
    """Watches one map file. `adopt` puts a good and applicable map in force; `refuse` is told why another was not.

    Removing what was wrong, or putting the old file back, clears a refusal.
    """

    def __init__(
        self,
        path: Path,
        *,
        in_force: Callable[[], ShardMap],
        environment: Callable[[], Mapping[str, str]],
        adopt: Callable[[ShardMap], Awaitable[None]],
        refuse: Callable[[str], None],
    ) -> None:
        self._path = path
        self._in_force = in_force
        self._environment = environment
        self._adopt = adopt
        self._refuse = refuse
        self._refused = ""

    async def run(self) -> None:
        """Follow the file until cancelled."""
        touched = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notice(touched), name="map folder")
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await touched.wait()
                touched.clear()
                await self.look()

    async def look(self) -> None:
        """Read the file once and act on it."""
        try:
            found = await asyncio.to_thread(load, self._path, environment=self._environment())
        except MapRefused as exc:
            self._tell(str(exc))
            return
        before = self._in_force()
        if found == before:
            self._tell("")
            return
        changes = differences(before, found)
        refused = [change for change in changes if change.refused]
        if refused:
            self._tell("\n".join(str(change) for change in refused))
            return
        try:
            await self._adopt(found)
        except Invalid as exc:
            self._tell("\n".join(f"{fault.field} {fault.message}" for fault in exc.fields))
            return
        _log.info("map_changed", version=found.version, changes=[str(change) for change in changes])
        self._tell("")

    async def _notice(self, touched: asyncio.Event) -> None:
        """Tell of changes in the folder. Where it cannot be watched (gone, out of watches) the poll goes on alone."""
        while True:
            try:
                async for _ in awatch(self._path.absolute().parent, recursive=False, debounce=200):
                    touched.set()
            except (OSError, RuntimeError) as exc:
                _log.warning("map_folder_not_watched", folder=str(self._path.parent), reason=str(exc))
            await asyncio.sleep(_POLL_S)

    def _tell(self, refused: str) -> None:
        if refused == self._refused:
            return
        self._refused = refused
        self._refuse(refused)
        if refused:
            _log.error("map_refused", file=str(self._path), reasons=refused.splitlines())
        else:
            _log.info("map_accepted", file=str(self._path))
