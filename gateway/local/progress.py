"""How the cluster tells its caller what it is doing."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """Something that begins or has come about: the server or shard it is about, and what."""

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Tell nobody."""
