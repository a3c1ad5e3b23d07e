"""Whom the servers run as, and which folders that user can reach.

PostgreSQL refuses to run as root. As root the servers therefore run as the owner of the data if there is any, else
as `postgres`, else as `nobody`; as anyone else they run as that user.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from gateway.local.errors import DataUnusable

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Identity:
    """A user of this machine. `switch` is true if we are root and servers must change to this user."""

    user: str
    uid: int
    gid: int
    switch: bool

    def reaches(self, path: Path) -> bool:
        """Whether this user may pass every folder above `path` and open `path` itself, by the mode bits."""
        path = path.resolve()
        if not self.switch:
            return os.access(path, os.X_OK)
        return all(self._may_enter(step.stat()) for step in (path, *path.parents))

    def own(self, path: Path) -> None:
        """Make `path` itself (nothing below it) belong to this user."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def _may_enter(self, entry: os.stat_result) -> bool:
        if entry.st_uid == self.uid:
            return bool(entry.st_mode & stat.S_IXUSR)
        if entry.st_gid == self.gid:
            return bool(entry.st_mode & stat.S_IXGRP)
        return bool(entry.st_mode & stat.S_IXOTH)


def server_identity(data: Path | None = None) -> Identity:
    """The user to run servers as; `data`, if it exists, is a folder whose owner is kept. Raises DataUnusable."""
    me = os.geteuid()
    owner = data.stat().st_uid if data is not None and data.exists() else None
    if me != 0:
        if owner is not None and owner != me:
            raise DataUnusable(f"{data} belongs to {_name(owner)}. Run as the user who made it, or remove it.")
        return Identity(user=_name(me), uid=me, gid=os.getegid(), switch=False)
    if owner:
        return _of(pwd.getpwuid(owner))
    for name in _CANDIDATES:
        try:
            return _of(pwd.getpwnam(name))
        except KeyError:
            continue
    raise DataUnusable(f"PostgreSQL does not run as root, and this machine has no user {' or '.join(_CANDIDATES)}.")


def _of(entry: pwd.struct_passwd) -> Identity:
    return Identity(user=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, switch=True)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
