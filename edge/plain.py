"""Requests in which nothing but the url and what Vary names makes a difference: for them a hit is a look-up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge.conditions import CONDITIONS

CUT: Final = CONDITIONS | {"range"}
"""The fields of a request for less than the whole of a fresh answer."""
LOOKED_AT: Final = frozenset(
    {
        "cache-control",
        "consistency-token",
        "content-length",
        "if-match",
        "if-unmodified-since",
        "pragma",
        "transfer-encoding",
    }
)
"""The fields beside those, and those that Vary names, that make a difference to what may be answered."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A GET with none of them. `key` is its url; `fields` by lower-case name; `guesses`: the client named no region,
    and the answer may depend on it.
    """

    key: str
    fields: Mapping[str, str]
    guesses: bool
