"""Where in a JSON text something stands: the standard library's parser does not say."""

import re
from collections.abc import Sequence
from json import JSONDecoder
from typing import Final

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_decode = JSONDecoder().raw_decode


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line, counted from 1, of the value at a path (keys and indices) of a well-formed JSON text."""
    at = _skip(text, 0)
    for step in path:
        at = _member(text, at, step) if isinstance(step, str) else _item(text, at, step)
    return text.count("\n", 0, at) + 1


def _member(text: str, at: int, wanted: str) -> int:
    """Where the last value of a key begins, which is the one that counts; the object itself if it has none."""
    found, at = at, _skip(text, at + 1)
    while text[at] != "}":
        key, end = _decode(text, at)
        value = _skip(text, _skip(text, end) + 1)
        if key == wanted:
            found = value
        at = _after(text, value)
    return found


def _item(text: str, at: int, index: int) -> int:
    at = _skip(text, at + 1)
    for _ in range(index):
        at = _after(text, at)
    return at


def _after(text: str, at: int) -> int:
    """What follows a value: the next one, or the bracket that ends them."""
    _, end = _decode(text, at)
    end = _skip(text, end)
    return _skip(text, end + 1) if text[end] == "," else end


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
