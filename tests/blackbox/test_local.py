"""`meridian local` as a new user runs it: it says how to try it, what it says works as printed, and it cleans up."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.blackbox.process import MERIDIAN, command
from tests.system import ROOT, free_port, until

pytestmark = pytest.mark.timeout(180)


@dataclass
class Local:
    """A running `meridian local` in a folder of its own."""

    process: asyncio.subprocess.Process
    log: Path
    base: str
    seconds_to_serve: float

    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A checkout's folder, in which everybody may read as in most checkouts."""
    made = Path(tempfile.mkdtemp(prefix="meridian-user-"))
    made.chmod(0o755)
    shutil.copy(ROOT / "shard_map.yaml", made)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def variables() -> dict[str, str]:
    names = [f"{shard}_{role}" for shard in ("QA_1", "SA_1", "SA_2") for role in ("PRIMARY", "REPLICA")]
    ports = {name: f"127.0.0.1:{free_port()}" for name in names}
    kept = {name: os.environ[name] for name in ("PATH", "MERIDIAN_PG_BIN", "MERIDIAN_REDIS_BIN") if name in os.environ}
    return {**kept, **ports, "PORT": str(free_port()), "ADMIN_PORT": str(free_port()), "EDGE_PORT": str(free_port())}


@asynccontextmanager
async def local(folder: Path, variables: dict[str, str], redis_port: int) -> AsyncIterator[Local]:
    """Run it until it says that it is running."""
    log = folder / f"local-{time.monotonic_ns()}.log"
    begun = time.monotonic()
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            MERIDIAN, "local", "--redis-port", str(redis_port), cwd=folder, env=variables, stdout=out, stderr=out
        )

    async def is_running() -> bool:
        assert process.returncode is None, log.read_text()
        return "Ctrl-C stops everything" in log.read_text()

    try:
        await until(is_running, within_s=60, what="meridian local is running")
        yield Local(process, log, f"http://127.0.0.1:{variables['PORT']}", time.monotonic() - begun)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                await process.wait()


def listeners(variables: dict[str, str]) -> list[str]:
    """Which of the system's ports anybody listens on, in the kernel's own table."""
    kinds = ("PORT", "PRIMARY", "REPLICA")
    ports = {int(value.rpartition(":")[2]) for name, value in variables.items() if name.endswith(kinds)}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == "0A" and int(line[1].rpartition(":")[2], 16) in ports]


async def test_what_it_prints_works_as_printed_and_ctrl_c_stops_everything(
    folder: Path, variables: dict[str, str]
) -> None:
    async with local(folder, variables, free_port()) as running:
        lines = re.findall(r"^  (curl .*)$", running.said(), re.MULTILINE)
        assert len(lines) == 4
        for line in lines:
            shell = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
            out, _ = await shell.communicate()
            assert shell.returncode == 0, line
            words = (b'"status":"OK"', b'"region":"sa"', b"access_token", b"Cache-Status: meridian-qa")
            assert any(word in out for word in words), out
        running.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0, running.said()
        assert listeners(variables) == []


async def test_killed_with_9_it_starts_again_with_its_data(folder: Path, variables: dict[str, str]) -> None:
    redis_port = free_port()
    login = {"phone_number": "+966500001001", "password": "demo-password"}
    async with local(folder, variables, redis_port) as running, ClientSession(running.base) as session:
        async with session.post("/api/v1/auth/login", json=login) as answer:
            token = (await answer.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        vehicle = {"make": "Lexus", "model": "LX", "year": 2023}
        async with session.post("/api/v1/vehicles", json=vehicle, headers=headers) as answer:
            made = await answer.json()
        running.process.kill()
        await running.process.wait()
    async with local(folder, variables, redis_port) as running, ClientSession(running.base) as session:
        async with session.get(f"/api/v1/vehicles/{made['id']}", headers=headers) as answer:
            assert answer.status == 200, "the token and the row are good after kill -9"
        async with session.get("/health") as answer:
            assert (await answer.json())["status"] == "OK"
        status, said = await command("local", variables=variables, folder=folder)
        assert status == 1
        assert "already running" in said


async def test_a_taken_port_is_named_with_its_setting(folder: Path, variables: dict[str, str]) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", int(variables["PORT"]))
    async with server:
        status, said = await command("local", variables=variables, folder=folder)
    assert status == 1
    assert f"port {variables['PORT']} for the gateway (change it with PORT)" in said
    assert "Traceback" not in said
