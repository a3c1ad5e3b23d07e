"""What a client says it takes and what it already holds: Accept-Encoding and If-None-Match (RFC 9110)."""

import re
from typing import Final

_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_QVALUE: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def prefers_gzip(accept_encoding: str | None) -> bool:
    """Whether gzip is welcome, and no less so than the plain text where that has a weight of its own."""
    if accept_encoding is None:
        return False
    weights = _weights(accept_encoding)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def holds(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's If-None-Match names this strong ETag; compared weakly, as RFC 9110 13.1.2 has it."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag in _TAG.findall(if_none_match)


def _weights(field: str) -> dict[str, float]:
    found = {}
    for item in field.split(","):
        coding, *parameters = (part.strip() for part in item.lower().split(";"))
        if coding:
            found[coding] = _weight(parameters)
    return found


def _weight(parameters: list[str]) -> float:
    """The weight among an item's parameters, 1 without one; a weight that cannot be read counts as a refusal."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if _QVALUE.fullmatch(value) else 0.0
    return 1.0
