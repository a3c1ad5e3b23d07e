"""What a client takes and what it already holds: Accept-Encoding, Accept-Language and If-None-Match (RFC 9110)."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

IDENTITY: Final = "identity"
CODINGS: Final = ("br", "gzip")
"""The content codings that are ever offered, the preferred one first."""

_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_QVALUE: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_KEPT: Final = 512  # different header values whose outcome is remembered


@lru_cache(_KEPT)
def preferred_coding(accept_encoding: str | None, offered: tuple[str, ...] = CODINGS) -> str:
    """The content coding to answer with: the most welcome of `offered` (of equals the first), or `identity`.

    A coding must be no less welcome than the plain text where that has a weight of its own. A client that refuses all,
    and the plain text too, gets the plain text, as RFC 9110 12.5.3 allows.
    """
    if accept_encoding is None:
        return IDENTITY
    weights = {coding.removeprefix("x-"): weight for coding, weight in _weighted(accept_encoding)}
    anything = weights.get("*", 0.0)
    best, found = weights.get(IDENTITY, 0.0), IDENTITY
    for coding in offered:
        weight = weights.get(coding, anything)
        if weight > 0 and (weight > best or (weight == best and found == IDENTITY)):
            best, found = weight, coding
    return found


@lru_cache(_KEPT)
def welcome_codings(accept_encoding: str | None) -> str:
    """What is to be told to an origin of which codings it has is not known: `br, gzip`, one of them, or `identity`.

    gzip stands beside br where both are welcome, so that a client of an origin without br is not left with neither.
    """
    preferred = preferred_coding(accept_encoding)
    if preferred == "br" and preferred_coding(accept_encoding, ("gzip",)) == "gzip":
        return "br, gzip"
    return preferred


@lru_cache(_KEPT)
def preferred_language(accept_language: str | None, offered: tuple[str, ...]) -> str:
    """The language to answer in: the most welcome of `offered` (of equals the one named first), or the first of them.

    A range means the language it begins with, so `ar-QA` asks for `ar` (RFC 4647 3.4); `q=0` refuses a language.
    """
    if not accept_language:
        return offered[0]
    ranges = list(_weighted(accept_language))
    best, found = 0.0, offered[0]
    for language in sorted(offered, key=lambda tag: _first_named(tag, ranges)):
        weight = _language_weight(language, ranges)
        if weight > best:
            best, found = weight, language
    return found


def holds(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's If-None-Match names this strong ETag; compared weakly, as RFC 9110 13.1.2 has it."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag in _TAG.findall(if_none_match)


def _language_weight(language: str, ranges: Sequence[tuple[str, float]]) -> float:
    own = [(wanted, weight) for wanted, weight in ranges if _means(wanted, language)]
    if (language, 0.0) in own:
        return 0.0
    if own:
        return max(weight for _, weight in own)
    return max((weight for wanted, weight in ranges if wanted == "*"), default=0.0)


def _first_named(language: str, ranges: Sequence[tuple[str, float]]) -> int:
    return next((at for at, (wanted, _) in enumerate(ranges) if _means(wanted, language)), len(ranges))


def _means(wanted: str, language: str) -> bool:
    return wanted == language or wanted.startswith(language + "-")


def _weighted(field: str) -> Iterator[tuple[str, float]]:
    """The items of a list header, in lower case, each with its weight."""
    for item in field.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name:
            yield name, _weight(parameters)


def _weight(parameters: Sequence[str]) -> float:
    """The weight among an item's parameters, 1 without one; a weight that cannot be read counts as a refusal."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if _QVALUE.fullmatch(value) else 0.0
    return 1.0
