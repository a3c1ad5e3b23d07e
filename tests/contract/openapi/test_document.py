"""Schemathesis plays the API document against the running system: what it promises is what is answered.

Every operation is called as somebody who may, on real things. `CONTRACT_EXAMPLES=100` makes the run a thorough one.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.marketplace import SERVICE
from gateway.routes import API_DOCUMENT
from tests.contract.openapi.world import world_of
from tests.integration.http.stage import Stage
from tests.system import ROOT, Client, Phones, System

EXAMPLES: Final = os.environ.get("CONTRACT_EXAMPLES", "10")
THOROUGH: Final = "CONTRACT_EXAMPLES" in os.environ
HOOKS: Final = "tests.contract.openapi.hooks"
OTHERWISE_REACHED: Final[Mapping[str, str]] = {
    "payments_webhook": "only the payment provider can sign its events; the tests of payments do",
}
"""Operation -> why its handler cannot be reached from here, and where it is."""
CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.timeout(1800)
async def test_every_operation_answers_as_the_document_says(
    gateway: Client, system: System, phones: Phones, tmp_path: Path
) -> None:
    stage = await Stage.opened(gateway, system, phones)
    seen = tmp_path / "seen.json"
    world = {**await world_of(stage), "seen": str(seen), "thorough": THOROUGH}
    await stage.settled()
    code, said = await schemathesis(gateway, tmp_path, world)
    print(said[-20_000:])
    assert code == 0
    answered: Mapping[str, int] = json.loads(seen.read_bytes())
    reached = OTHERWISE_REACHED.keys() | {
        name for name, status in (pair.split() for pair in answered) if status[0] == "2"
    }
    assert sorted({operation.name for operation in SERVICE.api.operations} - reached) == [], "handlers that never ran"


def written(world: Mapping[str, Any], file: Path) -> str:
    """A file with the world in it, as the hooks read it."""
    file.write_text(json.dumps(world))
    return str(file)


async def schemathesis(gateway: Client, folder: Path, world: Mapping[str, Any]) -> tuple[int, str]:
    """Run it as a process of its own; its exit code and what it said."""
    assert gateway.runtime is not None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(CONFIGURATION)),
        *("run", f"http://127.0.0.1:{gateway.runtime.settings.port}{API_DOCUMENT}", "--max-examples", EXAMPLES),
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "SCHEMATHESIS_HOOKS": HOOKS,
            "CONTRACT_WORLD": written(world, folder / "world.json"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")
