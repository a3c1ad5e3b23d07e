"""Make the folder that wrangler deploys: the Worker's entry, every module of the edge it imports, and its data.

    python deploy/cloudflare/build.py [--to FOLDER] [--table FILE]

The same sources give the same files. Needs the standard library only.
"""

import argparse
import ast
import json
import shutil
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTRY = "edge.worker.entry"
PROVIDED = frozenset({"js", "pyodide", "workers"})
"""What the platform has beside the standard library."""


def main() -> None:
    """Build, and say what was made."""
    parser = argparse.ArgumentParser(description="Make the folder that wrangler deploys.")
    parser.add_argument("--to", type=Path, default=Path(__file__).resolve().parent / "build")
    parser.add_argument("--table", type=Path, default=ROOT / "edge" / "table.json", help="as meridian map edge-table")
    given = parser.parse_args()
    if not given.table.is_file():
        raise SystemExit(f"--table: there is no file {given.table}; meridian map edge-table writes one")
    files = build(given.to, given.table)
    for region in regions_alone(given.table):
        sys.stderr.write(f"region {region} names no gateway: it will answer reference data alone\n")
    size = sum(file.stat().st_size for file in files)
    sys.stdout.write(f"{given.to}: {len(files)} files, {size:,} bytes, sha256 {digest_of(given.to, files)}\n")


def build(to: Path, table: Path) -> list[Path]:
    """The folder, made anew; the files in it.

    Raises SystemExit naming an import that the platform does not have, or a folder that may hold something else.
    """
    clear(to)
    for module, source in sorted(modules_from(ENTRY).items()):
        target = to / "entry.py" if module == ENTRY else to / source.relative_to(ROOT)
        copy(source, target)
    for source in sorted((ROOT / "edge" / "reference" / "data").glob("*.json")):
        copy(source, to / source.relative_to(ROOT))
    copy(table, to / "edge" / "table.json")
    return sorted(file for file in to.rglob("*") if file.is_file())


def clear(folder: Path) -> None:
    """Remove what was built there before. Raises SystemExit for anything that was not."""
    if not folder.exists():
        return
    is_ours = (folder / "entry.py").is_file() and (folder / "edge" / "table.json").is_file()
    if not folder.is_dir() or (any(folder.iterdir()) and not is_ours):
        raise SystemExit(f"--to: {folder} is not empty and was not built by this: choose another, or empty it")
    shutil.rmtree(folder)


def regions_alone(table: Path) -> list[str]:
    """The regions that neither name a gateway nor have one to stand in for theirs."""
    regions = json.loads(table.read_text("utf-8"))["regions"]
    gateways = {region["name"]: region["gateway"] for region in regions}
    return [
        region["name"]
        for region in regions
        if not any(gateways.get(name) for name in (region["name"], *region["residency"]))
    ]


def copy(source: Path, target: Path) -> None:
    """The content of a file, and nothing of its times and rights."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def digest_of(folder: Path, files: list[Path]) -> str:
    """One digest of all names and contents."""
    digest = sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def modules_from(entry: str) -> dict[str, Path]:
    """Every module of the project that the entry needs, and the packages they are in: name -> file."""
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        source = source_of(name)
        if source is None or name in found:
            continue
        found[name] = source
        waiting += [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
        for target in imports_of(source):
            check(target, source)
            waiting += [target, target.rpartition(".")[0]]
    return found


def imports_of(source: Path) -> Iterator[str]:
    """What a file imports, by full names; of `from a import b` it is `a.b`, be that a module or not."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def source_of(name: str) -> Path | None:
    """The file of a module of the project; None for everything else."""
    path = ROOT.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if name.startswith("edge") and file.is_file()), None)


def check(target: str, source: Path) -> None:
    """Raise SystemExit for an import of what the platform does not have."""
    top = target.partition(".")[0]
    if top != "edge" and top not in PROVIDED and top not in sys.stdlib_module_names:
        raise SystemExit(f"{source.relative_to(ROOT)} imports {target}, which a Worker does not have")


if __name__ == "__main__":
    main()
