"""This machine and its settings: secrets, RAM and pools, open files, the folder of uploads."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from core.database.sizing import suggested
from core.limits import SPOOL_BYTES_FREE_MIN
from gateway.doctor.finding import Finding, Level
from gateway.settings import SECRET_CHARS_MIN, Settings

_FILES_FOR_CLIENTS = 2048


def ram_gb() -> float:
    """The memory of this machine, or the limit of our control group where that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(fields["MemTotal"].split()[0]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return min(total, int(text) if text.isdigit() else total) / 2**30


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Secrets, and what the environment is called."""
    production = settings.is_production
    yield Finding(Level.OK if production else Level.INFO, "environment", f"NODE_ENV is {settings.environment}")
    if settings.signing_key is None or settings.jwt_secret is not None:
        yield _of_secret("JWT_SECRET", settings.jwt_secret)
    else:
        yield Finding(Level.OK, "JWT_PRIVATE_KEY", "signs the tokens")
    yield _of_secret("SESSION_SECRET", settings.session_secret)


def _of_secret(name: str, secret: SecretStr | None) -> Finding:
    size = len(secret.get_secret_value()) if secret is not None else 0
    if size >= SECRET_CHARS_MIN:
        return Finding(Level.OK, name, f"set, {size} characters")
    seen, why = ("too short", "it can be guessed") if size else ("not set", "what it signs ends with each process")
    return Finding(Level.WARN, name, seen, why, f"set {name} to {SECRET_CHARS_MIN} random characters or more")


def of_pools(settings: Settings, ram: float) -> Iterator[Finding]:
    """Pool sizes against the guide's table by RAM."""
    row, sizes = suggested(ram), settings.database
    seen = f"DB_POOL_MAX={sizes.pool_max} DB_POOL_MIN={sizes.pool_min}; {ram:.1f} GB of RAM"
    if (sizes.pool_max, sizes.pool_min) == (row.pool_max, row.pool_min):
        yield Finding(Level.OK, "pool size", seen)
    else:
        remedy = f"the guide's sizes for {row.ram_gb} GB: DB_POOL_MAX={row.pool_max} DB_POOL_MIN={row.pool_min}"
        level = Level.WARN if sizes.pool_max > 2 * row.pool_max else Level.INFO
        why = "a server of that size serves fewer at once faster" if sizes.pool_max > row.pool_max else ""
        yield Finding(level, "pool size", seen, why, remedy)


def of_files(settings: Settings, nodes: int) -> Iterator[Finding]:
    """Open files against the pools, and the folder that every upload passes through."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = nodes * max(settings.db_pool_max, settings.db_read_pool_max) + _FILES_FOR_CLIENTS
    if allowed < wanted:
        seen = f"{allowed} allowed, {wanted} may be needed"
        yield Finding(Level.WARN, "open files", seen, "beyond it no connection can be opened", f"ulimit -n {wanted}")
    else:
        yield Finding(Level.OK, "open files", f"{allowed} allowed")
    yield _of_upload_folder(settings)


def _of_upload_folder(settings: Settings) -> Finding:
    subject, why = "UPLOAD_FOLDER", "every upload passes through it, and waits there when its store is away"
    folder = settings.upload_folder.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(Level.FAIL, subject, "cannot be written to", why, "name a folder of the gateway's own user")
    free = shutil.disk_usage(nearest).free
    if free < 2 * SPOOL_BYTES_FREE_MIN:
        return Finding(Level.FAIL, subject, f"{free // 2**20} MiB free", why, "make room on its disk")
    return Finding(Level.OK, subject, f"{free / 2**30:.1f} GiB free")
