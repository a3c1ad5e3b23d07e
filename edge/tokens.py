"""Consistency tokens as far as a cache must know them: is an answer as new as what a client has seen?

A token is `base64url(entries) "." mac`; an entry is `shard:system id:timeline:lsn` in hexadecimal numbers, entries are
joined by commas. The mac is not checked: whoever forges a token only makes his own answers older or slower.
"""

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

CHARS_MAX: Final = 2048

_Position = tuple[int, int, int]


@lru_cache(maxsize=1024)
def covers(stored: str, asked: str) -> bool:
    """Whether an answer with the token `stored` shows all that the client with `asked` has seen.

    What is not understood, or of another cluster, counts as newer than the answer.
    """
    have, wanted = _positions(stored), _positions(asked)
    if have is None or wanted is None:
        return stored == asked
    return all(_reaches(have.get(shard), position) for shard, position in wanted.items())


def _reaches(have: _Position | None, wanted: _Position) -> bool:
    return have is not None and have[0] == wanted[0] and have[1:] >= wanted[1:]


def _positions(token: str) -> Mapping[str, _Position] | None:
    """Shard -> (system id, timeline, lsn); None for what is no token."""
    payload = token.partition(".")[0]
    if len(token) > CHARS_MAX:
        return None
    try:
        text = urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("ascii")
        parts = [part.split(":") for part in text.split(",")] if text else []
        return {shard: (int(system, 16), int(timeline, 16), int(lsn, 16)) for shard, system, timeline, lsn in parts}
    except (ValueError, Base64Error):
        return None
