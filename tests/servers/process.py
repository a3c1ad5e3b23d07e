"""A server of the tests as a process: it dies with the test process, keeps its data, and can be killed or paused."""

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from gateway.local import launch
from tests.system import free_port, until

_START_S = 30.0


class ServerProcess(ABC):
    """One server on a port of the loopback, with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def is_running(self) -> bool:
        """Whether the process exists, be it paused."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, on the data that are there, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # The launcher asks the kernel to end it with us; it changes no user (-1).
        words = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(signal.SIGKILL)), "-1", "-1"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *words,
                *self._command(),
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", **self._environment()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(self._answers, within_s=_START_S, what=f"{type(self).__name__} answers")

    async def stop(self) -> None:
        """End it in order, with everything it has said durable on the disk."""
        self._signal(signal.SIGTERM)
        assert self._process is not None
        await self._process.wait()

    async def kill(self) -> None:
        """kill -9; does nothing if it does not run."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: the kernel goes on accepting connections, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The command line; the program by its whole path."""

    def _environment(self) -> Mapping[str, str]:
        return {}

    async def _answers(self) -> bool:
        assert self.is_running, (self.folder / "server.log").read_text()[-2000:]
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
