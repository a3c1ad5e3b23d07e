"""Which of several answers of a url a request is to have: Vary, and which values count as the same (RFC 9111 4.1)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from edge.cache import Entry
from edge.fields import names_listed
from edge.messages import Fields
from edge.negotiation import preferred_language, welcome_codings

ABSENT: Final = "\n"
"""The value of a header that was not sent; no header can have it."""

_PART: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+|,')


@lru_cache(maxsize=1024)
def vary_names(vary: str | None) -> tuple[str, ...] | None:
    """The lower-case names in a Vary, in order; None when it holds `*`, which no request matches."""
    names = names_listed(vary)
    return None if "*" in names else tuple(sorted(names))


class Variants:
    """Compares requests by the headers that Vary names.

    Accept-Encoding counts as what `welcome_codings` makes of it, and Accept-Language as one of `languages` where these
    are given: what the origin could tell apart beyond that, it has no answer for.
    """

    def __init__(self, languages: tuple[str, ...] = ()) -> None:
        self._languages = languages

    def normalised(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The fields of those two names as the origin is to see them."""
        found = {"accept-encoding": self._value("accept-encoding", fields)}
        if self._languages:
            found["accept-language"] = self._value("accept-language", fields)
        return found

    def selecting(self, names: tuple[str, ...], fields: Mapping[str, str]) -> Fields:
        """What `Entry.selecting` is for a request. `fields` by lower-case name."""
        return tuple((name, self._value(name, fields)) for name in names)

    def matches(self, entry: Entry, fields: Mapping[str, str]) -> bool:
        """Whether the entry was made for such a request."""
        return all(self._value(name, fields) == value for name, value in entry.selecting)

    def _value(self, name: str, fields: Mapping[str, str]) -> str:
        value = fields.get(name)
        if name == "accept-encoding":
            return welcome_codings(value)
        if name == "accept-language" and self._languages:
            return preferred_language(value, self._languages)
        if value is None:
            return ABSENT
        return _spaced(value.lower() if name == "accept-language" else value)


@lru_cache(maxsize=1024)
def _spaced(value: str) -> str:
    """A value with one space after each comma that is not quoted, and otherwise as it was sent.

    Its empty members stay: to an origin that looks for one value, they are another.
    """
    return "".join(", " if part == "," else part.strip(" \t") for part in _PART.findall(value))
