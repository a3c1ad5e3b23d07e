"""The Worker as it is deployed, in Pyodide with miniflare's KV and Cache API, offline."""

import ast
import asyncio
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from core.shard_map import load
from edge.cache import Cache
from gateway.edge_table import edge_table_text
from tests.edge.cache_contract import CONTRACT
from tests.edge.stories import STORIES
from tests.system import ROOT, System

BUILD = ROOT / "deploy" / "cloudflare" / "build.py"
HOST = ROOT / "tests" / "edge" / "pyodide" / "host.mjs"
MODULES = ROOT / "tests" / "node" / "node_modules"
NODE = Path(sysconfig.get_path("scripts")) / "node"
LASTS_S = 90


FOLDED = "no asset is at %2e%2e/pyproject.toml"
"""The platform's urls have no dot segments: what arrives is a request for /pyproject.toml, which nobody answers."""

SCENES = [
    node.name
    for node in ast.parse((ROOT / "tests" / "edge" / "pyodide" / "scenes.py").read_text()).body
    if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith(("a_", "an_", "the_"))
]


@dataclass(frozen=True)
class Played:
    """What became of each story by its sentence, each scene and each promise by its name: None if all was right."""

    stories: Mapping[str, str | None]
    scenes: Mapping[str, str | None]
    promises: Mapping[str, str | None]
    seconds: float


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of the shipped map with gateways, qa's standing in for sa's."""
    shipped = load(ROOT / "shard_map.yaml", environment={"QA_GATEWAY": "https://qa.example", "SA_GATEWAY": ""})
    qa, sa = shipped.regions
    sa = replace(sa, residency=(qa.name,), gateway="https://sa.example")
    file = tmp_path_factory.mktemp("table") / "table.json"
    file.write_text(edge_table_text(replace(shipped, regions=(qa, sa))), "utf-8")
    return file


def build(to: Path, *words: str) -> str:
    return subprocess.run(
        [sys.executable, BUILD, "--to", to, *words], check=True, capture_output=True, text=True
    ).stdout


def zipped(target: Path, folder: Path, files: Mapping[str, Path] | None = None) -> Path:
    with ZipFile(target, "w", ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")) if files is None else ():
            if file.is_file():
                archive.write(file, file.relative_to(folder))
        for name, file in (files or {}).items():
            archive.write(file, name)
    return target


def of_tests() -> dict[str, Path]:
    """The table and its runner, and what only they need of the edge."""
    own = [*(ROOT / "tests" / "edge").glob("stories*.py"), *(ROOT / "tests" / "edge" / "pyodide").glob("*.py")]
    own += [ROOT / "tests" / "edge" / f"{name}.py" for name in ("table", "checking", "telling", "cache_contract")]
    own += [ROOT / "edge" / f"{name}.py" for name in ("assets", "folder", "media")]
    return {str(file.relative_to(ROOT)): file for file in own}


def of_sdk() -> dict[str, Path]:
    """The platform's SDK as it was installed."""
    installed = distribution("workers-runtime-sdk")
    files = {str(file): Path(str(file.locate())) for file in installed.files or ()}
    return {name: file for name, file in files.items() if "__pycache__" not in name and file.is_file()}


@pytest.fixture(scope="module")
async def gateway(system: System) -> AsyncIterator[str]:
    """Where a real gateway is that shares the Worker's secret."""
    async with system.gateway(NODE_ENV="production", EDGE_SECRET="e" * 32) as client:
        assert client.runtime is not None
        yield f"http://127.0.0.1:{client.runtime.settings.port}"


@pytest.fixture(scope="module")
async def played(table: Path, gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The whole table, played once."""
    folder = tmp_path_factory.mktemp("worker")
    build(folder / "build", "--table", str(table))
    given = {
        "modules": str(MODULES),
        "bundle": str(zipped(folder / "bundle.zip", folder / "build")),
        "sdk": str(zipped(folder / "workers_runtime_sdk-0-py3-none-any.whl", folder, of_sdk())),
        "gateway": gateway,
        "tests": str(zipped(folder / "tests.zip", folder, of_tests())),
    }
    node = await asyncio.create_subprocess_exec(
        NODE, HOST, json.dumps(given), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(node.communicate(), LASTS_S)
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, err.decode()[-4000:] or out.decode()[-4000:]
    return Played(**json.loads(out.splitlines()[-1]))


@pytest.mark.parametrize("sentence", [case.says for case in STORIES if case.says != FOLDED])
def test_the_worker_tells_the_story(played: Played, sentence: str) -> None:
    wrong = played.stories[sentence]
    assert wrong is None, wrong


def test_what_the_platform_folds_is_refused_all_the_same(played: Played) -> None:
    assert FOLDED in {case.says for case in STORIES}
    wrong = played.stories[FOLDED]
    assert wrong is not None
    assert "status 502, not 404" in wrong


@pytest.mark.parametrize("name", SCENES)
def test_on_the_platform(played: Played, name: str) -> None:
    wrong = played.scenes[name]
    assert wrong is None, wrong


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_its_cache_keeps_the_promises_of_every_cache(
    played: Played, promise: Callable[[Cache], Awaitable[None]]
) -> None:
    wrong = played.promises[promise.__name__]
    assert wrong is None, wrong


def test_the_build_is_reproducible_and_has_nothing_of_other_runtimes(table: Path, tmp_path: Path) -> None:
    once = build(tmp_path / "once", "--table", str(table))
    again = build(tmp_path / "again", "--table", str(table))
    assert once.partition("sha256")[2] == again.partition("sha256")[2] != ""
    built = {str(file.relative_to(tmp_path / "once")) for file in (tmp_path / "once").rglob("*") if file.is_file()}
    assert {"entry.py", "edge/table.json", "edge/handler.py", "edge/reference/data/makes.json"} <= built
    assert not {name for name in built if "upstream" in name or "rsgi" in name or "aio.py" in name}
    assert (tmp_path / "once" / "entry.py").read_bytes() == (ROOT / "edge" / "worker" / "entry.py").read_bytes()


def test_the_configuration_names_what_the_entry_binds_and_no_account_and_no_secret() -> None:
    text = (BUILD.parent / "wrangler.jsonc").read_text("utf-8")
    given = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert given["main"] == "build/entry.py"
    assert "python_workers" in given["compatibility_flags"]
    assert given["compatibility_date"] >= "2026-04-21"
    assert [space["binding"] for space in given["kv_namespaces"]] == ["PURGES"]
    assert set(given["vars"]) == {"EDGE_NAME", "EDGE_URL"}
    assert "account_id" not in text
    for secret in ("EDGE_SECRET", "EDGE_PURGE_TOKEN"):
        assert secret not in given["vars"]
        assert secret in (BUILD.parent / "README.md").read_text("utf-8")
