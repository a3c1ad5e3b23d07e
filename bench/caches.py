"""The caches that `bench.edge` compares, each as its distribution ships it, on one core, in front of one origin."""

import asyncio
import getpass
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
OURS: Final = "meridian edge"
_START_S: Final = 20.0
_STOP_S: Final = 10.0

_NGINX: Final = """
daemon off; worker_processes 1; user {user}; pid {folder}/pid; error_log {folder}/errors warn;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=bench:10m;
    server {{
        listen {host}:{port};
        location / {{ proxy_pass http://{host}:{origin}; proxy_cache bench; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Cache:
    """One that runs, as a process and its children."""

    name: str
    url: str
    pid: int

    def cpu_s(self) -> float:
        """The processor time that it has used: what a hit costs, whoever else was busy meanwhile."""
        return sum(_cpu_s(pid) for pid in (self.pid, *_children(self.pid)))


def names() -> list[str]:
    """Those that can be run here: ours, and what is on PATH."""
    found = {"nginx": shutil.which("nginx"), "varnish": shutil.which("varnishd")}
    return [*(name for name, path in found.items() if path), OURS]


@asynccontextmanager
async def running(name: str, folder: Path, *, origin: int, core: int) -> AsyncIterator[Cache]:
    """Run one on a free port and on that core alone, its files in a new folder in `folder`; ended with the block."""
    own = folder / name.partition(" ")[0]
    own.mkdir()
    port = free_port()
    with (own / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *("taskset", "-c", str(core), *_command(name, own, port, origin)),
            cwd=own,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "LOG_LEVEL": "warning"},
        )
    try:
        await _listens(process, port, own / "said")
        yield Cache(name, f"http://{LOOPBACK}:{port}", process.pid)
    finally:
        await _end(process)


def free_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _command(name: str, folder: Path, port: int, origin: int) -> list[str]:
    if name == "nginx":
        file = folder / "nginx.conf"
        values = {"user": getpass.getuser(), "folder": folder, "host": LOOPBACK, "port": port, "origin": origin}
        file.write_text(_NGINX.format_map(values))
        return ["nginx", "-p", str(folder), "-c", str(file)]
    if name == "varnish":
        store = ["-j", "none", "-s", "malloc,64m", "-n", str(folder / "work")]
        return ["varnishd", "-F", *store, "-a", f"{LOOPBACK}:{port}", "-b", f"{LOOPBACK}:{origin}"]
    meridian = str(Path(sys.executable).with_name("meridian"))
    where = ["--origin", f"http://{LOOPBACK}:{origin}", "--host", LOOPBACK, "--port", str(port)]
    return [meridian, "edge", *where, "--workers", "1"]


def _children(pid: int) -> list[int]:
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*found, *(deeper for child in found for deeper in _children(child))]


def _cpu_s(pid: int) -> float:
    # utime and stime are the 14th and 15th field; the name, which may hold anything, is the 2nd.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _listens(process: asyncio.subprocess.Process, port: int, said: Path) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            if process.returncode is not None:
                raise SystemExit("it does not start: " + await asyncio.to_thread(said.read_text))
            with suppress(OSError):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
