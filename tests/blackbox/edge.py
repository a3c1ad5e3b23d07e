"""`meridian edge` as a process, in front of an origin that counts what it is asked."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession

from edge.messages import Request, Response
from tests.blackbox.process import MERIDIAN
from tests.edge.wire import asked
from tests.system import free_port, until

TOKEN = "a-purge-token-of-tests"


@dataclass
class Shop:
    """An origin: a version of each path, which a POST raises. `/slow` waits for `go`."""

    asked: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        self.asked[f"{request.method} {request.path}"] += 1
        if request.method == "POST":
            self.versions[request.path] += 1
            return Response(204)
        if request.path.startswith("/slow"):
            await self.go.wait()
        body = f"{request.path} {self.versions[request.path]}".encode()
        fields = (("Cache-Control", "max-age=600, stale-if-error=600"), ("Cache-Groups", '"all"'))
        return Response(200, fields, body)


@dataclass
class EdgeProgram:
    """A running `meridian edge`."""

    port: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str, method: str = "GET", **headers: str) -> Response:
        """One request over a connection of its own, which any worker may get."""
        return await asked(self.port, Request(method, path, tuple(headers.items())))

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((await self.get("/_edge/health")).body)
        return found

    def workers(self) -> list[int]:
        """The processes of the workers."""
        return [int(pid) for pid in children_of(self.process.pid)]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its exit status."""
        self.process.send_signal(number)
        async with asyncio.timeout(15):
            return await self.process.wait()

    def said(self) -> str:
        """All that it has logged."""
        return self.log.read_text()


def children_of(pid: int) -> list[str]:
    """The processes that a process has started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@asynccontextmanager
async def edge_program(
    folder: Path, *arguments: str, workers: int = 1, variables: Mapping[str, str] | None = None
) -> AsyncIterator[EdgeProgram]:
    """Run `meridian edge` until the block ends; then it is killed, if it still runs."""
    port = free_port()
    log = folder / f"edge-{port}.log"
    command = [MERIDIAN, "edge", "--port", str(port), "--host", "127.0.0.1", "--workers", str(workers), *arguments]
    env = {"PATH": "/usr/bin:/bin", "LOG_FORMAT": "json", "EDGE_PURGE_TOKEN": TOKEN, **(variables or {})}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=env, stdout=out, stderr=out)
    program = EdgeProgram(port, process, log)

    async def is_ready() -> bool:
        assert process.returncode is None, log.read_text()
        return '"serving"' in log.read_text()

    try:
        await until(is_ready, within_s=20, what="meridian edge serves")
        yield program
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def refuses(port: int) -> bool:
    """Whether nobody listens on a port."""
    try:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/_edge/health"):
            return False
    except ClientError:
        return True


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
