"""Reference data in the gateway: made from the map in force and an operator's folder, swapped whole."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

import structlog

from core.shard_map import ShardMap
from edge.messages import Request, Response
from edge.reference import Catalogue, DataRefused, Reference, RegionFacts, groups_changed
from edge.reference.catalogue import BYTES_MAX
from edge.reference.reference import FRESHNESS
from gateway.compression import COMPRESSORS
from gateway.edge_table import facts_of
from gateway.folder_watch import follow

_FILES_MAX: Final = 32
_log = structlog.get_logger("reference")


def facts_of_regions(shard_map: ShardMap) -> tuple[RegionFacts, ...]:
    """What reference data need of a map; the default region, which counts for whoever names none, is the first."""
    regions = sorted(shard_map.regions, key=lambda region: region.name != shard_map.default_region)
    return tuple(map(facts_of, regions))


class References:
    """The reference data in force. They are made anew beside the loop when the map or the operator's files change.

    A file that is not as it must be changes nothing: `refused` says why, until it is mended. `on_change` is told the
    cache groups whose answers are other ones from now on.
    """

    def __init__(
        self,
        shard_map: ShardMap,
        *,
        folder: Path | None = None,
        freshness: str = FRESHNESS,
        is_told: bool = False,
        on_change: Callable[[Sequence[str]], None],
    ) -> None:
        """`folder`: the operator's files, by the names and the schema of the shipped ones, whose place they take.

        `is_told`: edges hear of `on_change`.
        """
        self.refused = ""
        self._folder = folder
        self._freshness = freshness
        self._is_told = is_told
        self._on_change = on_change
        self._changing = asyncio.Lock()
        self._regions = facts_of_regions(shard_map)
        self._shipped = Catalogue.shipped()
        self._found = _Found({}, self._shipped)
        found = self._look()
        if isinstance(found, DataRefused):
            self._tell(str(found))
        else:
            self._found = found
        self.reference = self._make()

    def handle(self, request: Request, region: str) -> Response:
        """The answer of the data in force now."""
        return self.reference.handle(request, region)

    async def adopt(self, shard_map: ShardMap) -> None:
        """Follow a map that was put in force."""
        async with self._changing:
            regions = facts_of_regions(shard_map)
            if regions != self._regions:
                self._regions = regions
                await self._remake()

    async def look(self) -> None:
        """Read the operator's folder once and act on it."""
        async with self._changing:
            found = await asyncio.to_thread(self._look)
            if isinstance(found, DataRefused):
                self._tell(str(found))
                return
            if found is not self._found:
                self._found = found
                await self._remake()
            self._tell("")

    async def run(self) -> None:
        """Follow the operator's folder until cancelled."""
        if self._folder is not None:
            await follow(self._folder.absolute(), self.look)

    def _look(self) -> "_Found | DataRefused":
        """What the folder has now: the same as before, something new, or something that is not as it must be."""
        if self._folder is None:
            return self._found
        try:
            files = _read(self._folder)
            return self._found if files == self._found.files else _Found(files, self._shipped.replaced(files))
        except DataRefused as exc:
            return exc

    def _tell(self, refused: str) -> None:
        if refused == self.refused:
            return
        self.refused = refused
        if refused:
            _log.error("reference_refused", reasons=refused.splitlines())
        else:
            _log.info("reference_accepted")

    def _make(self) -> Reference:
        return Reference(
            self._regions,
            catalogue=self._found.catalogue,
            compressors=COMPRESSORS,
            freshness=self._freshness,
            is_told=self._is_told,
        )

    async def _remake(self) -> None:
        before = self.reference
        self.reference = await asyncio.to_thread(self._make)
        changed = groups_changed(before, self.reference)
        if changed:
            _log.info("reference_changed", groups=list(changed))
            self._on_change(changed)


@dataclass(frozen=True, slots=True)
class _Found:
    """An operator's files by name, and the catalogue with them in it."""

    files: Mapping[str, bytes]
    catalogue: Catalogue


def _read(folder: Path) -> Mapping[str, bytes]:
    """The files of a folder by name. Raises DataRefused for one that cannot be read, naming no path above it."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.name[0] != ".")
        if len(paths) > _FILES_MAX:
            raise DataRefused([f"{folder.name}: has more than {_FILES_MAX} files"])
        return {path.name: _content(path) for path in paths}
    except OSError as exc:
        reason = (exc.strerror or type(exc).__name__).lower()
        raise DataRefused([f"{Path(exc.filename or folder).name}: cannot be read: {reason}"]) from exc


def _content(path: Path) -> bytes:
    mode = path.stat().st_mode
    if not (S_ISREG(mode) or S_ISDIR(mode)):  # to open a pipe would wait for somebody who writes to it
        raise DataRefused([f"{path.name}: cannot be read: it is no file"])
    with path.open("rb") as file:
        return file.read(BYTES_MAX + 1)
