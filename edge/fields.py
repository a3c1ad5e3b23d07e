"""Header fields: lists, dates and seconds, and those that belong to one connection only (RFC 9110)."""

import re
from calendar import timegm
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from edge.messages import Fields

SECONDS_MAX: Final = 2**31
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_ITEM: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_DATES: Final = (
    re.compile(rf"[a-z]{{3}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT", re.IGNORECASE | re.ASCII),
    re.compile(rf"[a-z]{{6,9}}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT", re.IGNORECASE | re.ASCII),
    re.compile(rf"[a-z]{{3}} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.IGNORECASE | re.ASCII),
)


def indexed(fields: Fields) -> dict[str, str]:
    """Lower-case name -> value; the values of a name that stands more than once are joined by commas."""
    found: dict[str, str] = {}
    for name, value in fields:
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def listed(value: str | None) -> list[str]:
    """The members of a list, without the spaces around them; a comma in a quoted string divides nothing."""
    return [item for part in _ITEM.findall(value or "") if (item := part.strip())]


def names_listed(value: str | None) -> frozenset[str]:
    """The members of a list of names, in lower case."""
    return frozenset(item.lower() for item in listed(value))


def without(fields: Fields, names: frozenset[str]) -> Fields:
    """The fields but for these, named in lower case."""
    return tuple(field for field in fields if field[0].lower() not in names)


def end_to_end(fields: Fields) -> Fields:
    """The fields that go further than one connection: none of `HOP_BY_HOP` and none that Connection names."""
    named = [value for name, value in fields if name.lower() == "connection"]
    return without(fields, HOP_BY_HOP | names_listed(", ".join(named)) if named else HOP_BY_HOP)


def beyond_connection(fields: Fields) -> Fields:
    """The fields but for Connection and those it names, which were for this connection only.

    Transfer-Encoding stays to be seen, whatever Connection says: it tells where the body ends.
    """
    named = [value for name, value in fields if name.lower() == "connection"]
    return without(fields, (names_listed(", ".join(named)) - {"transfer-encoding"}) | {"connection"})


def seconds(text: str | None) -> int | None:
    """A number of seconds (RFC 9111 1.2.2), at most `SECONDS_MAX`; None when it is none."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return min(int(text), SECONDS_MAX) if len(text) < 20 else SECONDS_MAX


@lru_cache(maxsize=1024)
def date(text: str | None) -> int | None:
    """A date in any of HTTP's three forms (RFC 9110 5.6.7), in Unix seconds; None when it is none.

    Names have no case, as lenient recipients have it; a year of two digits is of 1970 to 2069.
    """
    found = next((match for form in _DATES if (match := form.fullmatch(text or ""))), None)
    if found is None:
        return None
    year = int(found["year"])
    if year < 100:
        year += 2000 if year < 70 else 1900
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    return timegm((year, _MONTHS.index(found["month"].title()) + 1, day, hour, minute, second))


def date_text(time: float) -> str:
    """A moment in Unix seconds as HTTP writes it."""
    return formatdate(time, usegmt=True)
