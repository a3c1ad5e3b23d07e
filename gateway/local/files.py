"""Writes small files whole, so that nobody ever reads half of one and no link is ever followed."""

import os
import shutil
from pathlib import Path

from gateway.local.identity import Identity


def make_folder(folder: Path, identity: Identity) -> None:
    """Make a folder that is ours to write and `identity`'s to pass, with its parents up to an existing one."""
    for step in reversed([folder, *folder.parents]):
        if not step.exists():
            step.mkdir(mode=0o755)
            if identity.switch:
                step.chmod(0o755)


def empty(folder: Path) -> None:
    """Delete everything in a folder."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def write(file: Path, text: str, *, mode: int = 0o644, owner: Identity | None = None) -> None:
    """Put `text` in place of whatever `file` was, in one step."""
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        os.fchmod(descriptor, mode)
        if owner is not None and owner.switch:
            os.fchown(descriptor, owner.uid, owner.gid)
    partial.replace(file)


def tail(file: Path, *, lines: int, bytes_max: int) -> str:
    """The last lines of a text file, or "" if there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - bytes_max))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
