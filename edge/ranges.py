"""The part of a whole answer that a Range header asks for (RFC 9110 14)."""

import re
from dataclasses import dataclass
from typing import Final

_BYTES: Final = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `first` to `last`, both counted from 0 and both included."""

    first: int
    last: int


class Unsatisfiable(Exception):
    """A range that begins after the end of what there is: 416."""


def part_asked(field: str | None, size: int) -> Part | None:
    """The part of `size` bytes that a Range header asks for; None where the whole is the answer.

    That is without the header, for a unit other than bytes, for a range that cannot be read, and for several ranges at
    once, which RFC 9110 14.2 lets a server answer so. Raises Unsatisfiable.
    """
    found = _BYTES.fullmatch(field) if field else None
    if found is None or max(len(found[1]), len(found[2])) > _DIGITS_MAX or not (found[1] or found[2]):
        return None
    if not found[1]:
        return _last_bytes(int(found[2]), size)
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and first > last:
        return None
    if first >= size:
        raise Unsatisfiable
    return Part(first, min(last, size - 1))


def _last_bytes(count: int, size: int) -> Part:
    if count == 0 or size == 0:
        raise Unsatisfiable
    return Part(max(0, size - count), size - 1)
