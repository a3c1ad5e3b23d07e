"""Where things stand in a map's text, and the list of everything found wrong there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, TypeVar

from core.errors import MapFault, MapRefused

T = TypeVar("T")

WHOLE_FILE = "(file)"
_SHOWN_CHARS_MAX = 60
_PLAIN_KEY = re.compile(r"[\w-]{1,60}")


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the text: line and column (from 1) and the path of the key there; the empty path is the top."""

    line: int
    column: int
    path: str

    def key(self, name: str) -> "Place":
        """The same position, one key deeper: where a missing key should have been."""
        return Place(self.line, self.column, deeper(self.path, name))


@dataclass(frozen=True, slots=True)
class At(Generic[T]):
    """A value that remembers where it was written."""

    value: T
    place: Place


class Wrong(Exception):
    """One value that cannot be used: what is wrong and what to do. Its place is added by whoever asked for it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Faults:
    """Collects every fault of one file, so that an operator sees them all at once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[MapFault] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, place: Place, message: str, remedy: str) -> None:
        """Record a fault. `message` and `remedy` must carry no secret: they reach logs and health pages."""
        path = place.path or WHOLE_FILE
        self._found.append(MapFault(self._file, place.line, place.column, path, message, remedy))

    def refused(self) -> MapRefused:
        """All faults as one error, in the order in which they stand in the file."""
        return MapRefused(sorted(self._found, key=lambda fault: (fault.line, fault.column, fault.path)))


def deeper(path: str, name: str) -> str:
    """`name` appended to a dotted path; a key that is not a plain word is shown quoted."""
    shown = name if _PLAIN_KEY.fullmatch(name) else show(name)
    return f"{path}.{shown}" if path else shown


def show(value: str) -> str:
    """A value as it may stand in a one-line message: quoted, escaped, shortened. Not for secrets."""
    short = value if len(value) <= _SHOWN_CHARS_MAX else value[: _SHOWN_CHARS_MAX - 1] + "…"
    return repr(short)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy: the known word that looks like `word`, or else `otherwise`."""
    by_small_letters = {each.lower(): each for each in known}
    close = get_close_matches(word[:_SHOWN_CHARS_MAX].lower(), by_small_letters, n=1)
    return f"Did you mean {by_small_letters[close[0]]}?" if close else otherwise
