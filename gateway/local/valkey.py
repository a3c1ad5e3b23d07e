"""A Valkey (or Redis) server on loopback that keeps sessions over a restart."""

import asyncio
import signal
from collections.abc import Collection, Sequence
from pathlib import Path

from gateway.local.binaries import RedisProgram
from gateway.local.files import make_folder
from gateway.local.ports import LOOPBACK
from gateway.local.processes import Nursery, Resident
from gateway.local.server import Server

_MEMORY_MAX = "256mb"


class ValkeyServer(Server):
    """One server with an append-only file, synced every second; no password, loopback only."""

    def __init__(self, *, name: str, folder: Path, port: int, nursery: Nursery, program: RedisProgram) -> None:
        super().__init__(name=name, folder=folder, port=port, nursery=nursery)
        self._program = program

    @property
    def url(self) -> str:
        """Its address as a client wants it."""
        return f"redis://{LOOPBACK}:{self.port}"

    @property
    def _programs(self) -> Sequence[str]:
        return ("valkey-server", "redis-server", self._program.file.name)

    @property
    def _stop_signals(self) -> Sequence[signal.Signals]:
        return (signal.SIGTERM,)

    def _chiefs(self, found: Sequence[Resident]) -> Collection[int]:
        pids = {resident.pid for resident in found}
        return [resident.pid for resident in found if resident.parent not in pids]

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self.data_dir),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory": _MEMORY_MAX,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(self._program.file), *words]

    def _prepare(self) -> None:
        make_folder(self.folder, self.identity)
        if not self.data_dir.exists():
            self.data_dir.mkdir(mode=0o700)
            self.identity.own(self.data_dir)

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        try:
            async with asyncio.timeout(1):
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
