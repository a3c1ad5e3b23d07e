"""A request as the edge considers it, and what goes on to the origin."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge.cache import Entry
from edge.conditions import CONDITIONS
from edge.directives import NONE, Directives
from edge.fields import end_to_end, without
from edge.messages import Fields, Request, joined

RANGES: Final = frozenset({"range", "if-range"})
_OF_ONE_CLIENT: Final = frozenset({"authorization", "cookie", "cache-control", "pragma"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its fields by lower-case name, X-Region among them where the edge adds it."""

    request: Request
    key: str
    fields: Mapping[str, str]
    directives: Directives
    region: str

    @property
    def is_head(self) -> bool:
        return self.request.method == "HEAD"


def of_nobody(asked: Asked, entry: Entry) -> Asked:
    """The same question in nobody's name, for an entry that is of others too: without a login or a wish of its client.

    What the entry was chosen by stays.
    """
    names = _OF_ONE_CLIENT - {name for name, _ in entry.selecting}
    if names.isdisjoint(asked.fields):
        return asked
    fields = {name: value for name, value in asked.fields.items() if name not in names}
    request = replace(asked.request, headers=without(asked.request.headers, names))
    return replace(asked, request=request, fields=fields, directives=NONE)


def passed_on(asked: Asked) -> Request:
    """The request as it is, for the origin: end to end, and with the region."""
    return replace(asked.request, headers=_with_region(end_to_end(asked.request.headers), asked))


def in_one_form(asked: Asked, normalised: Mapping[str, str]) -> Request:
    """The request for one of the forms that are told apart, with the conditions and ranges of its client."""
    request = passed_on(asked)
    chosen = tuple((_titled(name), value) for name, value in normalised.items())
    return replace(request, headers=(*without(request.headers, frozenset(normalised)), *chosen))


def for_all(asked: Asked, normalised: Mapping[str, str], entry: Entry | None) -> Request:
    """The request whose answer is to be kept: for the whole in one form, whatever its client holds.

    With an entry, the origin is asked whether that is still good (RFC 9111 4.3.1).
    """
    request = in_one_form(asked, normalised)
    headers = without(request.headers, CONDITIONS | RANGES)
    return replace(request, method="GET", headers=(*headers, *_validators(entry)))


def _validators(entry: Entry | None) -> Fields:
    if entry is None:
        return ()
    etag, changed = joined(entry.headers, "ETag"), joined(entry.headers, "Last-Modified")
    tags: Fields = (("If-None-Match", etag),) if etag else ()
    return (*tags, ("If-Modified-Since", changed)) if changed else tags


def _with_region(headers: Fields, asked: Asked) -> Fields:
    region = asked.fields.get("x-region")
    if region is None or any(name.lower() == "x-region" for name, _ in headers):
        return headers
    return (*headers, ("X-Region", region))


def _titled(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
