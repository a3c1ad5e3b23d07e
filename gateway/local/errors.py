"""What can go wrong with the local servers, as sentences for the person at the terminal.

    LocalError
    ├── ProgramsMissing   no usable PostgreSQL or Redis-compatible server was found (`looked`)
    ├── PortsTaken        ports that other programs listen on (`ports`)
    ├── AlreadyRunning    another process runs this cluster (`pid`)
    ├── DataUnusable      data that these programs or this user cannot open
    └── ServerFailed      a server or tool that ended, or did not answer in time, with the tail of its log

They stand apart from `core.errors`: nothing here ever answers a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class LocalError(Exception):
    """Base of all errors of the local cluster; its text says what to do."""


class ProgramsMissing(LocalError):
    """No usable program; `looked` has one line for each place that was tried and why it did not do."""

    def __init__(self, what: str, looked: Sequence[str], remedy: str) -> None:
        places = "\n".join(f"  - {line}" for line in looked)
        super().__init__(f"{what} was not found. Looked in:\n{places}\n{remedy}")
        self.looked = tuple(looked)


@dataclass(frozen=True, slots=True)
class PortUse:
    """A TCP port on loopback, what it is for, and the setting that changes it."""

    port: int
    purpose: str
    setting: str

    def __str__(self) -> str:
        return f"port {self.port} for {self.purpose} (change it with {self.setting})"


class PortsTaken(LocalError):
    """Ports that cannot be had, all of them at once."""

    def __init__(self, ports: Sequence[PortUse]) -> None:
        lines = "\n".join(f"  - {use}" for use in ports)
        super().__init__(f"Already in use by another program:\n{lines}")
        self.ports = tuple(ports)


class AlreadyRunning(LocalError):
    """The cluster of this folder has an owner already; `pid` is None if it could not be read."""

    def __init__(self, root: str, pid: int | None) -> None:
        owner = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"The local cluster in {root} is already running, started by {owner}. Stop that one first.")
        self.pid = pid


class DataUnusable(LocalError):
    """Data that exists but that cannot be used with these programs, this user or this password."""


class ServerFailed(LocalError):
    """A server or tool that failed; `log_tail` are its last words."""

    def __init__(self, detail: str, log_tail: str = "") -> None:
        words = f"\nLast lines of its log:\n{log_tail}" if log_tail else ""
        super().__init__(detail + words)
        self.log_tail = log_tail
