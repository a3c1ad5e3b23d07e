"""What every local server has in common: start, stop, kill, suspend, and the proof that it is ours."""

import asyncio
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

from gateway.local import files, limits
from gateway.local.errors import ServerFailed
from gateway.local.identity import Identity
from gateway.local.processes import Nursery, Resident, evict, residents, send, until


class Server(ABC):
    """One server process in a folder of its own, on one loopback port.

    `folder` holds its settings and its log and belongs to us; `folder/data` belongs to the user the server runs as.
    All waits are bounded; a server that fails says so with the tail of its log (ServerFailed).
    """

    def __init__(self, *, name: str, folder: Path, port: int, nursery: Nursery) -> None:
        self.name = name
        self.folder = folder
        self.port = port
        self._nursery = nursery
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> Identity:
        """The user it runs as."""
        return self._nursery.identity

    @property
    def data_dir(self) -> Path:
        """Where its data are."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """Its log since the last start; the one before is beside it, ending in `.1`."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The server's process, or None if it does not run."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether the process we started exists, be it suspended."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = limits.LOG_TAIL_LINES) -> str:
        """The last lines of the log."""
        return files.tail(self.log_file, lines=lines, bytes_max=limits.LOG_TAIL_BYTES)

    async def start(self) -> None:
        """Start it and wait until it answers; does nothing if it runs. Stops its own leftovers first."""
        if self.is_running:
            return
        await self.evict()
        await asyncio.to_thread(self._prepare)
        with self._fresh_log() as log:
            self._process = await self._nursery.start(
                self._command(), folder=self.data_dir, output=log, death_signal=self._stop_signals[0]
            )
        try:
            await self._wait_ready()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop it in order: politely, then firmly, then by SIGKILL. Does nothing if it does not run."""
        process = self._process
        if process is None or not self.is_running:
            return
        self.resume()
        waits = (limits.STOP_POLITE_S, *[limits.STOP_FIRM_S] * (len(self._stop_signals) - 1))
        for number, wait_s in zip(self._stop_signals, waits, strict=True):
            process.send_signal(number)
            if await until(lambda: process.poll() is not None, wait_s):
                return
        await self.kill()

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the server's main process a signal; after SIGKILL, wait until all of its processes are gone."""
        process = self._process
        if process is None or not self.is_running:
            return
        process.send_signal(number)
        if number is signal.SIGKILL:
            gone = await until(lambda: process.poll() is not None, limits.STOP_KILLED_S)
            # Its children see that it died, but a suspended one sees nothing.
            await self.evict()
            if not gone:
                raise ServerFailed(f"{self.name} (process {process.pid}) survived SIGKILL")

    def suspend(self) -> None:
        """Stop time for it (SIGSTOP): connections stay open and nothing is answered, as on a hung machine."""
        # The main process first, so that it starts no child that we would miss.
        if (pid := self.pid) is not None:
            send([pid], signal.SIGSTOP)
            send([resident.pid for resident in residents(self.folder, self._programs)], signal.SIGSTOP)

    def resume(self) -> None:
        """End `suspend`."""
        if (pid := self.pid) is not None:
            send([resident.pid for resident in residents(self.folder, self._programs)], signal.SIGCONT)
            send([pid], signal.SIGCONT)

    async def evict(self) -> int:
        """Stop processes that an earlier owner left in this folder; never touches any other. Returns how many."""
        if self.is_running or not self.folder.exists():
            return 0
        return await evict(self.folder, self._programs, chiefs=self._chiefs, polite=self._stop_signals)

    @property
    @abstractmethod
    def _programs(self) -> Sequence[str]:
        """Names of the programs that may live in the folder."""

    @property
    @abstractmethod
    def _stop_signals(self) -> Sequence[signal.Signals]:
        """From the politest to the firmest; the first is also what it gets when its owner dies."""

    @abstractmethod
    def _chiefs(self, found: Sequence[Resident]) -> Collection[int]:
        """Which of the processes found in the folder understand the stop signals."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line."""

    @abstractmethod
    def _prepare(self) -> None:
        """Write the settings; blocks."""

    @abstractmethod
    async def _is_ready(self) -> bool:
        """Whether it answers now."""

    async def _wait_ready(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.READY_S
        while not await self._is_ready():
            if not self.is_running:
                raise ServerFailed(f"{self.name} ended while starting", self.log_tail())
            if loop.time() >= deadline:
                raise ServerFailed(f"{self.name} was not ready within {limits.READY_S:g} s", self.log_tail())
            await asyncio.sleep(limits.POLL_S)

    def _fresh_log(self) -> IO[bytes]:
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        return self.log_file.open("xb")
