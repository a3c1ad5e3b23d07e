"""Follows the shard map's file while the gateway runs: parsed whole, opened, swapped; a bad file changes nothing.

Contents are compared by digest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from core.errors import Invalid, MapRefused
from core.shard_map import ShardMap, differences, load
from gateway.folder_watch import follow

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
        await follow(self._path.absolute().parent, self.look)

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

    def _tell(self, refused: str) -> None:
        if refused == self._refused:
            return
        self._refused = refused
        self._refuse(refused)
        if refused:
            _log.error("map_refused", file=str(self._path), reasons=refused.splitlines())
        else:
            _log.info("map_accepted", file=str(self._path))
