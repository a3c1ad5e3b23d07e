"""What a shared cache may keep, and what of it (RFC 9111 3, RFC 5861, RFC 9213, RFC 9875): pure functions.

The names of reasons are what `Cache-Status` says of an answer that was not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from edge.cache import Entry
from edge.directives import OWN_FIELD, Directives, effective
from edge.fields import date_text, end_to_end, indexed, listed, names_listed, seconds, without
from edge.freshness import HEURISTIC_STATUSES, explicit_s, heuristic_s, initial_age_s
from edge.messages import Fields, Response
from edge.variants import Variants, vary_names

_PARTIAL: Final = frozenset({206, 304, 416})
"""The answers to a range or a condition of one client."""
UNDERSTOOD: Final = frozenset(status.value for status in HTTPStatus if status.value >= 200) - _PARTIAL
ERRORS: Final = frozenset({500, 502, 503, 504})
"""The answers that stale-if-error is about (RFC 5861 4)."""

_FOR_ALL: Final = ("public", "s-maxage", "must-revalidate")
_REVALIDATED: Final = ("must-revalidate", "proxy-revalidate")
_NEVER_STALE: Final = (*_REVALIDATED, "no-cache")
# Of a 304, these tell nothing about the body that is kept (RFC 9111 3.2).
_NOT_UPDATED: Final = frozenset({"content-encoding", "content-length", "content-md5", "content-range", "etag"})


@dataclass(frozen=True, slots=True)
class Heard:
    """The head of an answer to a GET, and when. `asked` are the fields of its request by lower-case name."""

    status: int
    headers: Fields
    asked: Mapping[str, str]
    asked_at: float
    received_at: float

    @property
    def passed_on(self) -> Fields:
        """The headers as they go on to the client: end to end, with a Date."""
        headers = without(end_to_end(self.headers), frozenset({OWN_FIELD}))
        if any(name.lower() == "date" for name, _ in headers):
            return headers
        return (*headers, ("Date", date_text(self.received_at)))


def why_not(heard: Heard, request_directives: Directives) -> str | None:
    """Why an answer to a GET may not be kept; None when it may."""
    fields = indexed(heard.headers)
    told, _ = effective(fields)
    if heard.status in _PARTIAL:
        return "partial"
    if heard.status not in UNDERSTOOD and "must-understand" in told:
        return "not-understood"
    if "no-store" in request_directives or ("no-store" in told and "must-understand" not in told):
        return "no-store"
    if told.get("private") == "":
        return "private"
    if "authorization" in heard.asked and not any(name in told for name in _FOR_ALL):
        return "authorization"
    if vary_names(fields.get("vary")) is None:
        return "vary-all"
    if "set-cookie" in fields and "set-cookie" not in _kept_back(told):
        return "set-cookie"
    return None if _is_of_use(heard, fields) else "no-freshness"


def entry_of(heard: Heard, body: bytes, *, region: str, variants: Variants) -> Entry:
    """What is kept of a whole answer that may be kept. Without the fields that belong to one client."""
    fields = indexed(heard.headers)
    told, _ = effective(fields)
    headers = without(heard.passed_on, _kept_back(told) | {"age", "set-cookie"})
    if heard.status not in (204, 304) and "content-length" not in fields:
        headers = (*headers, ("Content-Length", str(len(body))))
    while_revalidating_s, if_error_s = _stale_limits(told)
    return Entry(
        status=heard.status,
        headers=headers,
        body=body,
        selecting=variants.selecting(vary_names(fields.get("vary")) or (), heard.asked),
        region=region,
        groups=frozenset(item.strip('"') for item in listed(fields.get("cache-groups")) if item.startswith('"')),
        received_at=heard.received_at,
        initial_age_s=initial_age_s(fields, asked_at=heard.asked_at, received_at=heard.received_at),
        fresh_s=_fresh_s(heard, fields),
        while_revalidating_s=while_revalidating_s,
        if_error_s=if_error_s,
        always_validate=told.get("no-cache") == "",
        obeys_max_stale=not any(name in told for name in (*_NEVER_STALE, "s-maxage")),
        is_for_all=any(name in told for name in _FOR_ALL),
        asked_at=heard.asked_at,
    )


def updated(entry: Entry, heard: Heard) -> Heard:
    """A kept answer after the origin said that it is still good: by a 304, or by the head of the same (RFC 9111 3.2).

    A field that is there again takes the place of all that bore its name; the others stay.
    """
    told = without(heard.passed_on, _NOT_UPDATED)
    names = frozenset(name.lower() for name, _ in told)
    return Heard(entry.status, (*without(entry.headers, names), *told), heard.asked, heard.asked_at, heard.received_at)


def is_same(entry: Entry, heard: Heard) -> bool:
    """Whether the head of an answer to a HEAD is that of the kept one (RFC 9111 4.3.5)."""
    before, after = indexed(entry.headers), indexed(heard.headers)
    return heard.status == entry.status and all(
        after.get(name, before.get(name)) == before.get(name) for name in ("etag", "last-modified", "content-length")
    )


def _fresh_s(heard: Heard, fields: Mapping[str, str]) -> float:
    told, is_targeted = effective(fields)
    explicit = explicit_s(fields, told, is_targeted=is_targeted, received_at=heard.received_at)
    return explicit if explicit is not None else heuristic_s(heard.status, fields, told, received_at=heard.received_at)


def _is_of_use(heard: Heard, fields: Mapping[str, str]) -> bool:
    """Whether it may be kept by its freshness or its status (RFC 9111 3), and could ever be used again."""
    told, is_targeted = effective(fields)
    explicit = explicit_s(fields, told, is_targeted=is_targeted, received_at=heard.received_at)
    if explicit is None and "public" not in told and heard.status not in HEURISTIC_STATUSES:
        return False
    has_validator = "etag" in fields or "last-modified" in fields
    is_used_stale = any(limit for limit in _stale_limits(told))
    return has_validator or is_used_stale or (_fresh_s(heard, fields) > 0 and told.get("no-cache") != "")


def _stale_limits(told: Directives) -> tuple[float, float | None]:
    """For how long it may be used stale, in seconds: while it is refreshed, and while the origin fails.

    must-revalidate, proxy-revalidate and no-cache forbid both. s-maxage forbids it too (RFC 9111 5.2.2.10), but not
    against what the origin says outright (RFC 5861).
    """
    if any(name in told for name in _REVALIDATED) or told.get("no-cache") == "":
        return 0.0, 0.0
    while_revalidating_s = float(seconds(told.get("stale-while-revalidate")) or 0)
    if "stale-if-error" in told:
        return while_revalidating_s, float(seconds(told["stale-if-error"]) or 0)
    return while_revalidating_s, 0.0 if "s-maxage" in told else None


def _kept_back(told: Directives) -> frozenset[str]:
    """The fields that no other client may be given: those that private or no-cache name (RFC 9111 5.2.2.4, 5.2.2.7)."""
    return names_listed(told.get("private")) | names_listed(told.get("no-cache"))


def whole_length_fits(response: Response) -> bool:
    """Whether the body is as long as its Content-Length says: one that broke off is not kept (RFC 9111 3.3)."""
    told = seconds(response.field("Content-Length"))
    return told is None or told == len(response.body)
