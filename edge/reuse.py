"""Whether a kept answer may be used for a request (RFC 9111 4): pure functions over one entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from edge.cache import Entry
from edge.directives import Directives
from edge.fields import seconds
from edge.messages import Fields, joined
from edge.tokens import covers


class Use(Enum):
    """What may be done with an entry."""

    FRESH = auto()
    STALE = auto()
    """As the client allowed by max-stale."""
    REFRESH = auto()
    """Use it, and refresh it meanwhile."""
    VALIDATE = auto()
    """Ask the origin first: it is stale, was purged, or must always be asked."""
    REQUESTED = auto()
    """Ask the origin first: the client wants it newer than it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept for a request, and what may be done with it. `selecting` tells its variant, as far as known."""

    entry: Entry | None
    use: Use | None
    selecting: Fields
    missing: str = "uri-miss"

    @property
    def why(self) -> str:
        """Why the request has to go on, in the words of RFC 9211."""
        if self.entry is None:
            return self.missing
        return "request" if self.use is Use.REQUESTED else "stale"


def use_of(entry: Entry, asked: Mapping[str, str], wanted: Directives, now: float) -> Use:
    """What may be done with an entry for a request with these fields (by lower-case name) and directives."""
    if not is_for_asker(entry, asked) or not is_new_enough(entry, asked) or "no-cache" in wanted:
        return Use.REQUESTED
    if entry.always_validate:
        return Use.VALIDATE
    max_age_s = seconds(wanted.get("max-age")) if "max-age" in wanted else None
    # Something younger than max-age=0 there is not.
    if "max-age" in wanted and (max_age_s is None or max_age_s == 0 or entry.age_s(now) > max_age_s):
        return Use.REQUESTED
    if entry.purged_at is not None:
        return Use.VALIDATE
    stale_s = entry.stale_s(now)
    if stale_s < 0:
        return Use.FRESH if -stale_s >= (seconds(wanted.get("min-fresh")) or 0) else Use.REQUESTED
    if "min-fresh" in wanted:
        return Use.VALIDATE
    if "max-stale" in wanted and entry.obeys_max_stale:
        limit = seconds(wanted["max-stale"])
        if wanted["max-stale"] == "" or (limit is not None and stale_s <= limit):
            return Use.STALE
    return Use.REFRESH if 0 < entry.while_revalidating_s >= stale_s else Use.VALIDATE


def is_for_asker(entry: Entry, asked: Mapping[str, str]) -> bool:
    """Whether an entry may be used for whoever asks: with Authorization only what its origin made for all (3.5)."""
    return entry.is_for_all or "authorization" not in asked


def is_new_enough(entry: Entry, asked: Mapping[str, str]) -> bool:
    """Whether an entry, be it fresh or stale, shows all that the client has seen. Without a token it is of no shard."""
    stored = joined(entry.headers, "Consistency-Token") if "consistency-token" in asked else None
    return stored is None or covers(stored, asked["consistency-token"])


def is_used_on_error(entry: Entry, now: float, *, is_disconnected: bool, default_s: float) -> bool:
    """Whether a stale entry may be used because its origin fails (RFC 5861 4).

    Where the origin did not say, only while it cannot be reached (RFC 9111 4.2.4), and for `default_s` seconds.
    """
    limit = entry.if_error_s
    if limit is None:
        limit = default_s if is_disconnected else 0.0
    return limit > 0 and entry.stale_s(now) <= limit
