"""What uploads cost in memory: fifty files of 10 MiB at once into each kind of store, and out again.

    python -m bench.uploads [--files 50]

The gateway is a process of its own; its resident memory is read from /proc every 20 ms.
"""

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import FormData

from core.limits import FILE_BYTES_MAX
from tests.blackbox.process import Program, serving
from tests.servers.azurite import Azurite
from tests.servers.s3 import S3Server
from tests.system import Person, Phones, running_system, until

MIB = 2**20


@dataclass
class Peak:
    """The most memory that a process had while it was looked at, in MiB."""

    mib: float = 0.0


def resident_mib(pid: int) -> float:
    """The resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[Peak]:
    """Look at a process until the block ends."""
    peak = Peak(resident_mib(pid))

    async def look() -> None:
        while True:
            peak.mib = max(peak.mib, resident_mib(pid))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(look())
    try:
        yield peak
    finally:
        task.cancel()


async def send(program: Program, person: Person, file: Path) -> str:
    """Upload one file, streamed from the disk."""
    with file.open("rb") as data:
        form = FormData()
        form.add_field("file", data, filename="photo.png", content_type="image/png")
        answer = await program.client.call("POST", "/uploads", user=person, data=form)
    assert answer.status == 201, answer
    return str(answer.json["id"])


async def fetch(program: Program, person: Person, id: str) -> int:
    """Download one file without keeping it."""
    headers = {"Authorization": f"Bearer {person.access_token}"}
    size = 0
    async with program.client.session.get(f"/api/v1/uploads/{id}", headers=headers) as response:
        assert response.status == 200, response
        async for chunk in response.content.iter_chunked(65536):
            size += len(chunk)
    return size


async def measure(kind: str, phone: str, variables: Mapping[str, str], folder: Path, files: int) -> None:
    """One store: in and out, with the peaks."""
    async with serving(folder, variables) as program:
        person = await program.client.register(phone)
        photo = folder / "photo.png"
        photo.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(FILE_BYTES_MAX - 8))
        await send(program, person, photo)
        before = resident_mib(program.process.pid)
        began = time.perf_counter()
        async with watched(program.process.pid) as up:
            ids = await asyncio.gather(*(send(program, person, photo) for _ in range(files)))
        up_s = time.perf_counter() - began

        async def drained() -> bool:
            health = (await program.client.call("GET", "/health")).json
            return bool(health["regions"]["qa"]["storage"]["spooled"] == 0)

        await until(drained, within_s=60)
        began = time.perf_counter()
        async with watched(program.process.pid) as down:
            sizes = await asyncio.gather(*(fetch(program, person, id) for id in ids[:40]))
        down_s = time.perf_counter() - began
        assert set(sizes) == {FILE_BYTES_MAX}
    print(
        f"{kind:<6} before {before:6.1f} MiB; {files} x 10 MiB in: peak {up.mib:6.1f} MiB, {up_s:5.1f} s;"
        f" 40 x 10 MiB out: peak {down.mib:6.1f} MiB, {down_s:5.1f} s",
        flush=True,
    )


async def run(files: int) -> None:
    """Every kind of store."""
    async with running_system() as system, AsyncExitStack() as stack:
        phones = Phones()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        s3 = await stack.enter_async_context(S3Server(folder / "s3"))
        azurite = await stack.enter_async_context(Azurite(folder / "azurite"))
        inner_s3 = {name: value for name, value in s3.variables.items() if name != "S3_BASE_URL"}
        for kind, more in (("Local", {}), ("S3", inner_s3), ("Azure", azurite.variables)):
            place = folder / kind
            place.mkdir()
            variables = {
                **system.variables,
                **more,
                "UPLOAD_FOLDER": "uploads",
                "LOG_LEVEL": "warning",
                "RATE_LIMITS": "off",
            }
            await measure(kind, phones.qatar(), variables, place, files)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.uploads")
    parser.add_argument("--files", type=int, default=50)
    asyncio.run(run(parser.parse_args().files))


if __name__ == "__main__":
    main()
