"""The rooms of docs/ARCHITECTURE.md: imports point inward, without circles; no function or file outgrows its job."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import stdlib_module_names
from textwrap import dedent

import pytest

from tests.system import ROOT

ROOMS = ("core", "gateway", "edge")
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 400

EDGE_ADAPTERS = ("edge.aio", "edge.upstream", "edge.worker")
REDIS_ROOMS = ("core.sessions", "core.events", "core.limiter", "core.redis_pool")
OBJECT_STORES = ("aiobotocore", "botocore", "azure")
MARKETPLACE_MAY_USE = (
    "gateway.geography",
    "gateway.marketplace",
    "gateway.operations",
    "gateway.service",
    "gateway.credentials.User",
)
ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "dotenv")


@dataclass(frozen=True)
class Module:
    """One file of the tree: its dotted name, what it imports (`package.module.name`), and its parsed text."""

    name: str
    tree: ast.Module
    lines: int
    imports: tuple[str, ...]
    imports_for_types: tuple[str, ...]


def modules_of(root: Path, rooms: Sequence[str] = ROOMS) -> dict[str, Module]:
    """Every module of the rooms below `root`, by name."""
    files = [file for room in rooms for file in sorted((root / room).rglob("*.py"))]
    return {module.name: module for module in (module_of(file, root) for file in files)}


def module_of(file: Path, root: Path) -> Module:
    text = file.read_text()
    parts = file.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    package = name if parts[-1] == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(text)
    for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    found = [(node in for_types, target) for node in ast.walk(tree) for target in targets_of(node, package)]
    return Module(
        name,
        tree,
        text.count("\n"),
        tuple(target for types, target in found if not types),
        tuple(target for types, target in found if types),
    )


def targets_of(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
        base = ".".join([*parts, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name: str, *places: str) -> bool:
    """Whether a dotted name is one of the places or inside one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def is_inside_of_operations(target: str) -> bool:
    """A name that the operation API does not export itself."""
    return within(target, "gateway.operations") and target.removeprefix("gateway.operations.").count(".") > 0


Rule = Callable[[Module, str], bool]
"""Whether the import of a target by a module is against a rule."""

RULES: Mapping[str, Rule] = {
    "core never imports gateway, edge or aiohttp's server": lambda m, target: (
        within(m.name, "core") and within(target, "gateway", "edge", "aiohttp.web")
    ),
    "aiohttp's client is in core for the object stores only": lambda m, target: (
        within(m.name, "core") and within(target, "aiohttp") and not within(m.name, "core.storage")
    ),
    "edge never imports core or gateway": lambda m, target: (
        within(m.name, "edge") and within(target, "core", "gateway")
    ),
    "edge needs only the standard library, outside its adapters": lambda m, target: (
        within(m.name, "edge")
        and not within(m.name, *EDGE_ADAPTERS)
        and target.partition(".")[0] not in {"edge", *stdlib_module_names}
    ),
    "asyncpg is behind core.database": lambda m, target: (
        within(target, "asyncpg") and not within(m.name, "core.database")
    ),
    "redis is behind core.sessions, core.events and the rate limiter": lambda m, target: (
        within(target, "redis") and not within(m.name, *REDIS_ROOMS)
    ),
    "object stores are behind core.storage": lambda m, target: (
        within(target, *OBJECT_STORES) and not within(m.name, "core.storage")
    ),
    "the payment provider's library is behind its adapter": lambda m, target: (
        within(target, "stripe") and not within(m.name, "gateway.marketplace.providers")
    ),
    "aiohttp's server is in the gateway and edge's adapter": lambda m, target: (
        within(target, "aiohttp.web") and not within(m.name, "gateway", "edge.aio")
    ),
    "the marketplace stands on the operation API alone": lambda m, target: (
        within(m.name, "gateway.marketplace")
        and within(target, "gateway", "aiohttp")
        and (not within(target, *MARKETPLACE_MAY_USE) or is_inside_of_operations(target))
    ),
    "the engine does not know the marketplace, outside its wiring": lambda m, target: (
        within(target, "gateway.marketplace")
        and not within(m.name, "gateway.marketplace", "gateway.app", "gateway.migrations", "gateway.cli.account")
    ),
    "nothing imports the tests": lambda _, target: within(target, "tests"),
}


def broken(modules: Mapping[str, Module]) -> list[str]:
    """Every import that breaks a rule, and every reading of the environment outside the settings, in words."""
    imports = [
        f"{module.name} imports {target}: {rule}"
        for module in modules.values()
        for target in module.imports
        for rule, breaks in RULES.items()
        if breaks(module, target)
    ]
    return imports + [f"{name} reads the environment" for name, m in modules.items() if reads_environment(m)]


def reads_environment(module: Module) -> bool:
    if module.name == "gateway.settings":
        return False
    named = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    return any(within(name, *ENVIRONMENT) for name in (*named, *module.imports))


def circles(modules: Mapping[str, Module]) -> list[str]:
    """Import circles of modules, each once, as `a -> b -> a`. Imports for types alone make none."""
    graph = {name: sorted(edges_of(module, modules)) for name, module in modules.items()}
    found: set[frozenset[str]] = set()
    told = []
    for start in graph:
        path = path_back_to(start, graph)
        if path and frozenset(path) not in found:
            found.add(frozenset(path))
            told.append(" -> ".join((*path, start)))
    return told


def edges_of(module: Module, modules: Mapping[str, Module]) -> set[str]:
    """The modules that importing one runs: `from package import name` means package.name where that is a module."""
    found = {target if target in modules else target.rpartition(".")[0] for target in module.imports}
    return {name for name in found if name in modules and name != module.name}


def path_back_to(start: str, graph: Mapping[str, Sequence[str]]) -> list[str]:
    """The shortest path from a module round to itself, without its end; empty if there is none."""
    queue, seen = [[start]], {start}
    while queue:
        path = queue.pop(0)
        for following in graph[path[-1]]:
            if following == start:
                return path
            if following not in seen:
                seen.add(following)
                queue.append([*path, following])
    return []


def too_long(modules: Mapping[str, Module]) -> list[str]:
    """Functions and files over their bounds."""
    files = [f"{m.name}: {m.lines} lines" for m in modules.values() if m.lines > FILE_LINES_MAX]
    return files + [
        f"{module.name}.{node.name}: {lines} lines"
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return modules_of(ROOT)


def test_every_import_keeps_to_its_room(modules: dict[str, Module]) -> None:
    assert {"core.region", "gateway.app", "edge.aio"} <= set(modules), "the rooms were found"
    assert broken(modules) == []


def test_there_are_no_import_circles(modules: dict[str, Module]) -> None:
    assert circles(modules) == []


def test_no_function_and_no_file_outgrows_its_job(modules: dict[str, Module]) -> None:
    assert too_long(modules) == []


def test_the_marketplace_needs_the_runtime_for_types_only(modules: dict[str, Module]) -> None:
    seen = {target for m in modules.values() if within(m.name, "gateway.marketplace") for target in m.imports_for_types}
    ours = {target for target in seen if within(target, "gateway")}
    assert {target for target in ours if not within(target, *MARKETPLACE_MAY_USE)} <= {"gateway.runtime.Runtime"}


BAD_TREE = {
    "core/ids.py": "import gateway.app\nfrom aiohttp import web\n",
    "core/region.py": "import asyncpg\nimport redis.asyncio\nfrom azure.storage import blob\n",
    "edge/assets.py": "def handle() -> None:\n    from core import ids\n    import orjson\n",
    "edge/aio.py": "from aiohttp import web\n",
    "gateway/app.py": "import os\nHOME = os.environ['HOME']\nimport tests.system\n",
    "gateway/logs.py": "from os import getenv\n",
    "gateway/settings.py": "import os\nHOME = os.environ['HOME']\n",
    "gateway/health.py": "from gateway.marketplace import SERVICE\n",
    "gateway/marketplace/bids.py": """
        from gateway.operations import Api
        from gateway.operations.call import Call
        from gateway.credentials import User, Credentials
        from gateway.settings import Settings
        """,
}

EXPECTED_BREAKS = {
    ("core.ids", "gateway.app"),
    ("core.ids", "aiohttp.web"),
    ("core.region", "asyncpg"),
    ("core.region", "redis.asyncio"),
    ("core.region", "azure.storage.blob"),
    ("edge.assets", "core.ids"),
    ("edge.assets", "orjson"),
    ("gateway.app", "tests.system"),
    ("gateway.health", "gateway.marketplace.SERVICE"),
    ("gateway.marketplace.bids", "gateway.operations.call.Call"),
    ("gateway.marketplace.bids", "gateway.credentials.Credentials"),
    ("gateway.marketplace.bids", "gateway.settings.Settings"),
}


def planted(root: Path, files: Mapping[str, str]) -> dict[str, Module]:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return modules_of(root)


def test_a_bad_tree_is_found_out(tmp_path: Path) -> None:
    told = broken(planted(tmp_path, BAD_TREE))
    found = {tuple(line.partition(":")[0].split(" imports ")) for line in told if " imports " in line}
    assert found == EXPECTED_BREAKS
    assert {line for line in told if " reads " in line} == {
        "gateway.app reads the environment",
        "gateway.logs reads the environment",
    }


def test_a_circle_is_found_out_and_one_of_types_is_none(tmp_path: Path) -> None:
    modules = planted(
        tmp_path,
        {
            "core/a.py": "from core import b\n",
            "core/b.py": "from .c import thing\n",
            "core/c.py": "def late() -> None:\n    from core.a import other\n",
            "core/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from core import e\n",
            "core/e.py": "from core import d\n",
        },
    )
    assert circles(modules) == ["core.a -> core.b -> core.c -> core.a"]


def test_what_is_too_long_is_found_out(tmp_path: Path) -> None:
    body = "    pass\n"
    modules = planted(
        tmp_path,
        {
            "core/long.py": f"def fits():\n{body * 59}\n\ndef outgrown():\n{body * 60}",
            "core/longer.py": "pass\n" * 401,
        },
    )
    assert too_long(modules) == ["core.longer: 401 lines", "core.long.outgrown: 61 lines"]
