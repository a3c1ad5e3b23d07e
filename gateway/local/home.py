"""Decides where a cluster's data lies: below its root, or where the servers' user can reach it.

A checkout of root's below a private folder (`/root/x`, `mktemp -d`) is closed to the user that PostgreSQL must run
as. The data then lie in `SHELTER/<hash of the root>/`, and `ROOT/cluster` is a link to them.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gateway.local.errors import DataUnusable
from gateway.local.identity import Identity, server_identity

SHELTER = Path("/var/lib/meridian")

_LINK = "cluster"
_ORIGIN = "origin"
# What root's scratch folders promise: whatever stood there and is gone was not meant to be kept.
_SCRATCH = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108


@dataclass(frozen=True, slots=True)
class Home:
    """Where the data are (`folder`, resolved) and whom the servers run as."""

    folder: Path
    identity: Identity


def open_home(root: Path, *, shelter: Path = SHELTER) -> Home:
    """Find the data of `root`, or make an empty place for them. The caller holds the root's lock.

    Raises DataUnusable if data are there but out of the servers' reach.
    """
    root = root.resolve()
    link = root / _LINK
    if link.is_symlink() and not _claim(root, link, shelter):
        link.unlink()
    exists = link.exists()
    identity = server_identity(_oldest_data(link) if exists else None)
    if not exists:
        if identity.reaches(root):
            link.mkdir()
        else:
            # The link first: whoever sweeps abandoned data keeps what a link leads to.
            link.symlink_to(_place(root, shelter) / _LINK)
            _make_sheltered(root, shelter)
    elif not identity.reaches(link):
        raise DataUnusable(
            f"User {identity.user}, whom PostgreSQL runs as, cannot reach the data in {link}. "
            "Give back the access to the folders above it, or start over with --fresh."
        )
    return Home(folder=link.resolve(), identity=identity)


def locate(root: Path, *, shelter: Path = SHELTER) -> Path | None:
    """Where the data of `root` are now, or None if there are none of its own."""
    root = root.resolve()
    link = root / _LINK
    if not link.exists() or (link.is_symlink() and not _claim(root, link, shelter)):
        return None
    return link.resolve()


def remove(root: Path, *, shelter: Path = SHELTER) -> None:
    """Delete the data of `root`, wherever they are. The caller holds the root's lock and has stopped the servers."""
    root = root.resolve()
    folder = locate(root, shelter=shelter)
    link = root / _LINK
    if link.is_symlink():
        link.unlink()
        if folder is not None:
            shutil.rmtree(folder.parent)
    elif folder is not None:
        shutil.rmtree(folder)


def abandoned(*, shelter: Path = SHELTER) -> list[Path]:
    """Sheltered data whose root stood in a scratch folder and is gone: nobody can ever use them again."""
    found: list[Path] = []
    if os.geteuid() != 0:
        return found
    for file in shelter.glob(f"*/{_ORIGIN}"):
        origin = Path(file.read_text().strip())
        if any(scratch in origin.parents for scratch in _SCRATCH) and not (origin / _LINK).is_symlink():
            found.append(file.parent)
    return found


def unlinked(root: Path, *, shelter: Path = SHELTER) -> Path | None:
    """Sheltered data of `root` that its link no longer points to: the link was deleted to be rid of them."""
    place = _place(root.resolve(), shelter)
    return place if os.geteuid() == 0 and place.exists() and not (root / _LINK).is_symlink() else None


def _claim(root: Path, link: Path, shelter: Path) -> bool:
    """Whether the link leads to data of this root, and not of one that it was copied from.

    A root that was moved takes its data over: they get the name that goes with the new place.
    """
    folder = link.resolve()
    origin = folder.parent / _ORIGIN
    if folder.parent.parent != shelter.resolve() or not origin.exists():
        return False
    former = Path(origin.read_text().strip())
    if former == root:
        return True
    if (former / _LINK).is_symlink() and (former / _LINK).resolve() == folder:
        return False
    origin.write_text(f"{root}\n")
    place = _place(root, shelter)
    if not place.exists():
        folder.parent.rename(place)
        link.unlink()
        link.symlink_to(place / _LINK)
    return True


def _make_sheltered(root: Path, shelter: Path) -> None:
    place = _place(root, shelter)
    folder = place / _LINK
    folder.mkdir(parents=True, exist_ok=True)
    for step in (shelter, place, folder):
        step.chmod(0o755)
    (place / _ORIGIN).write_text(f"{root}\n")


def _place(root: Path, shelter: Path) -> Path:
    return shelter / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def _oldest_data(folder: Path) -> Path | None:
    return next((data for data in sorted(folder.glob("*/*/data")) if data.stat().st_uid != 0), None)
