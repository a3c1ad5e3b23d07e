"""Cache directives: Cache-Control (RFC 9111 5.2) and the fields meant for CDNs, which go before it (RFC 9213)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from edge.fields import listed, seconds

OWN_NAME: Final = "Meridian-CDN-Cache-Control"
OWN_FIELD: Final = OWN_NAME.lower()
TARGETED: Final = (OWN_FIELD, "cdn-cache-control")
"""The fields for us, the more particular first, in lower case."""

Directives = Mapping[str, str]
"""Lower-case name -> argument without its quotes, "" when there is none."""

NONE: Final[Directives] = MappingProxyType({})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WITH_FIELDS: Final = frozenset({"no-cache", "private"})

# RFC 8941, of which a dictionary of directives needs keys with bare items and parameters.
_WORD: Final = r"[A-Za-z*][!#$%&'*+.^_`|~:/0-9A-Za-z-]*"
_STRING: Final = r'"(?:[^"\\]|\\["\\])*"'
_BARE: Final = rf"(?:-?\d{{1,12}}\.\d{{1,3}}|-?\d{{1,15}}|{_STRING}|{_WORD}|:[A-Za-z0-9+/=]*:|\?[01])"
_KEY: Final = r"[a-z*][a-z0-9_.*-]*"
_MEMBER: Final = re.compile(rf"(?P<key>{_KEY})(?:=(?P<value>{_BARE}))?(?:; *{_KEY}(?:={_BARE})?)*")
_NUMBERS: Final = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})


@lru_cache(maxsize=1024)
def directives(value: str | None) -> Directives:
    """The directives of a Cache-Control, of a request or an answer.

    Of several of a name the first counts, but no-cache and private without fields go before those with some: to be read
    wrongly must never make an answer more public. What has no name is left out.
    """
    found: dict[str, str] = {}
    for item in listed(value):
        name, _, argument = item.partition("=")
        name = name.lower()
        if not _TOKEN.fullmatch(name):
            continue
        argument = _names_in(argument) if name in _WITH_FIELDS else _unquoted(argument)
        if name not in found:
            found[name] = argument
        elif name in _WITH_FIELDS:
            found[name] = f"{found[name]}, {argument}" if found[name] and argument else ""
    return MappingProxyType(found)


def effective(fields: Mapping[str, str]) -> tuple[Directives, bool]:
    """The directives of an answer that hold for us, and whether they came in a field for CDNs.

    If so, Cache-Control and Expires do not count (RFC 9213 2.1). A field for CDNs that is empty or no dictionary is as
    if it were not there.
    """
    for name in TARGETED:
        if name in fields and (found := dictionary(fields[name])):
            return found, True
    return directives(fields.get("cache-control")), False


@lru_cache(maxsize=1024)
def dictionary(value: str) -> Directives:
    """The directives in a structured dictionary; none at all when any of it is malformed or of the wrong type."""
    found: dict[str, str] = {}
    for item in listed(value):
        member = _MEMBER.fullmatch(item)
        if member is None:
            return NONE
        name, argument = member["key"], member["value"] or ""
        if name in _NUMBERS and seconds(argument) is None:
            return NONE
        # The last of a name counts (RFC 8941 3.2); `?0` says that it does not hold.
        found.pop(name, None)
        if argument != "?0":
            found[name] = _names_in(argument) if name in _WITH_FIELDS else _value(argument)
    return MappingProxyType(found) if not _has_empty_member(value) else NONE


def _has_empty_member(value: str) -> bool:
    return any(not part.strip() for part in re.sub(r'"(?:[^"\\]|\\.)*"', "x", value).split(","))


def _names_in(argument: str) -> str:
    """The fields that no-cache or private is limited to; "" for an argument that names none so that it can be read."""
    return ", ".join(listed(_unquoted(argument))) if argument[:1] == '"' else ""


def _value(argument: str) -> str:
    return "" if argument == "?1" else _unquoted(argument)


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
