"""Reading a folder of assets into memory, once and within bounds."""

import os
from pathlib import Path
from typing import Final

FILES_MAX: Final = 10_000
BYTES_MAX: Final = 64 * 1024 * 1024


class FolderTooLarge(Exception):
    """A folder has more files or bytes than may be held in memory; the text says which bound."""


def read_folder(folder: Path, *, files_max: int = FILES_MAX, bytes_max: int = BYTES_MAX) -> dict[str, bytes]:
    """Path within the folder (with `/`) -> content, of every regular file in it.

    Links are not followed and names that begin with a dot are left out: what is served is what was put there to be
    served. Raises FolderTooLarge; NotADirectoryError when there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    found: dict[str, bytes] = {}
    room = bytes_max
    for path in _files(folder):
        if len(found) == files_max:
            raise FolderTooLarge(f"{folder} has more than {files_max} files")
        # One byte more than there is room for, so that a file that grows meanwhile cannot get past the bound.
        with path.open("rb") as file:
            body = file.read(room + 1)
        room -= len(body)
        if room < 0:
            raise FolderTooLarge(f"{folder} has more than {bytes_max} bytes")
        found[path.relative_to(folder).as_posix()] = body
    return found


def _files(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found
