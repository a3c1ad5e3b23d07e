"""How old an answer is and how long it stays fresh (RFC 9111 4.2): pure, over its fields by lower-case name."""

from collections.abc import Mapping
from typing import Final

from edge.directives import Directives
from edge.fields import date, listed, seconds

HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
HEURISTIC_SHARE: Final = 0.1  # of the time since it last changed, as RFC 9111 4.2.2 proposes
HEURISTIC_MAX_S: Final = 24 * 3600.0


def initial_age_s(fields: Mapping[str, str], *, asked_at: float, received_at: float) -> float:
    """The age of an answer when it came in (RFC 9111 4.2.3), in seconds.

    Of several Age values the first counts, and one that is no number does not count (RFC 9111 5.1).
    """
    sent_at = date(fields.get("date"))
    # Dates are whole seconds: one of this very second is no second old.
    apparent = max(0, int(received_at) - sent_at) if sent_at is not None else 0
    values = listed(fields.get("age"))
    told = seconds(values[0]) if values else None
    return max(float(apparent), (told or 0) + max(0.0, received_at - asked_at))


def explicit_s(fields: Mapping[str, str], told: Directives, *, is_targeted: bool, received_at: float) -> float | None:
    """The freshness lifetime that the origin told a shared cache, in seconds; None when it told none.

    One that cannot be read is 0, as RFC 9111 4.2.1 has it.
    """
    for name in ("s-maxage", "max-age"):
        if name in told:
            return float(seconds(told[name]) or 0)
    if is_targeted or "expires" not in fields:
        return None
    expires_at = date(fields["expires"])
    sent_at = date(fields.get("date"))
    if expires_at is None:
        return 0.0
    return max(0.0, expires_at - (sent_at if sent_at is not None else received_at))


def heuristic_s(status: int, fields: Mapping[str, str], told: Directives, *, received_at: float) -> float:
    """The freshness lifetime of an answer that told none: a share of the time since it last changed."""
    changed_at = date(fields.get("last-modified"))
    if changed_at is None or (status not in HEURISTIC_STATUSES and "public" not in told):
        return 0.0
    sent_at = date(fields.get("date"))
    unchanged_s = (sent_at if sent_at is not None else received_at) - changed_at
    return min(max(0.0, unchanged_s * HEURISTIC_SHARE), HEURISTIC_MAX_S)
