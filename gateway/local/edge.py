"""The edge of the local system: a process of its own in front of the gateway, that ends with its owner."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.local import files, launch, limits
from gateway.local.errors import ServerFailed
from gateway.local.ports import LOOPBACK
from gateway.local.processes import until


class LocalEdge:
    """A started edge. `base` is its address."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.base = f"http://{LOOPBACK}:{port}"
        self._process = process
        self._port = port
        self._log = log

    async def ready(self) -> None:
        """Wait until it listens. Raises ServerFailed with the end of its log."""
        deadline = asyncio.get_running_loop().time() + limits.READY_S
        while not await self._listens():
            if self._process.poll() is not None or asyncio.get_running_loop().time() >= deadline:
                tail = files.tail(self._log, lines=limits.LOG_TAIL_LINES, bytes_max=limits.LOG_TAIL_BYTES)
                raise ServerFailed("the edge did not start", tail)
            await asyncio.sleep(limits.POLL_S)

    async def stop(self) -> None:
        """End it: politely, then by SIGKILL."""
        self._process.send_signal(signal.SIGTERM)
        if not await until(lambda: self._process.poll() is not None, limits.STOP_POLITE_S):
            self._process.kill()
            await until(lambda: self._process.poll() is not None, limits.STOP_KILLED_S)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self._port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def edge_beside(variables: Mapping[str, str], *, port: int, log: Path) -> AsyncIterator[LocalEdge]:
    """An edge of one worker with these variables, for the length of the block; its output goes to `log`.

    It is only started: `ready` waits for it.
    """
    edge = LocalEdge(_start(variables, log), port, log)
    try:
        yield edge
    finally:
        await edge.stop()


def _start(variables: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    terms = [str(number) for number in (os.getpid(), int(signal.SIGTERM), -1, -1)]
    launcher = [sys.executable, "-I", "-S", launch.__file__, *terms]
    with log.open("wb") as output:
        # By this very thread: the kernel watches the thread that starts a process, not the process.
        return subprocess.Popen(
            [*launcher, sys.executable, "-m", "gateway", "edge", "--workers", "1"],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
