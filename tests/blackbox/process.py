"""The real program as a process, as a new user or a supervisor would run it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession

from tests.system import Client, free_port, until

MERIDIAN = str(Path(sys.executable).parent / "meridian")


@dataclass
class Program:
    """A running `meridian serve`: a client for it, and its process."""

    client: Client
    admin: str
    process: asyncio.subprocess.Process
    log: Path

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 30.0) -> int:
        """Signal it and wait for its exit status."""
        self.process.send_signal(number)
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    def said(self) -> str:
        """All that it has logged."""
        return self.log.read_text()


@asynccontextmanager
async def serving(folder: Path, variables: Mapping[str, str], *, port: int | None = None) -> AsyncIterator[Program]:
    """Run `meridian serve` in a folder with exactly these variables (and PATH); killed in the end if it still runs."""
    port, admin = port or free_port(), free_port()
    env = {"HOST": "127.0.0.1", "PORT": str(port), "ADMIN_PORT": str(admin), "PATH": "/usr/bin:/bin", **variables}
    log = folder / f"serve-{port}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            MERIDIAN, "serve", cwd=folder, env=env, stdout=out, stderr=asyncio.subprocess.STDOUT
        )
    try:
        async with ClientSession(f"http://127.0.0.1:{port}") as session:

            async def answers() -> bool:
                assert process.returncode is None, log.read_text()
                try:
                    async with session.get("/health/live") as response:
                        return response.status == 200
                except ClientError:
                    return False

            await until(answers, within_s=20, what="meridian serve answers")
            yield Program(Client(session), f"http://127.0.0.1:{admin}", process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def command(
    *arguments: str, variables: Mapping[str, str], folder: Path, within_s: float = 30.0
) -> tuple[int, str]:
    """Run one `meridian` command; its exit status and everything it printed."""
    process = await asyncio.create_subprocess_exec(
        MERIDIAN,
        *arguments,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(within_s):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()
