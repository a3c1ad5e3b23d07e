"""What caches may keep of each kind of answer: one table, and the header fields that say it.

No answer of the API is kept by anybody unless this table or an operation's own `Shared` says so. What a shared cache
may keep is handed to people other than the one who asked, so it carries nothing of that one (`fit_for_caches`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from multidict import MutableMultiMapping

from core.limits import EDGE_FRESH_MAX_S

CACHE_CONTROL: Final = "Cache-Control"
EDGE_CONTROL: Final = "Meridian-CDN-Cache-Control"
GROUPS: Final = "Cache-Groups"
INVALIDATION: Final = "Cache-Group-Invalidation"
_DAY_S: Final = 24 * 3600
_OF_ONE_CALLER: Final = (
    "X-Request-Id",
    "RateLimit",
    "RateLimit-Policy",
    "Meridian-Route",
    "Idempotent-Replayed",
)
_PUBLIC: Final = "public, "
_UNSHARED: Final = frozenset({"private", "no-store"})


class Kind(StrEnum):
    """Every kind of answer that does not say more of itself."""

    PROBLEM = "problem"
    STATE = "state"
    """Health, metrics, the map in force: what is so now."""
    PERSONAL = "personal"
    """An operation's, JSON or a table: for the one who asked."""
    FILE = "file"
    """A file that was sent to us; its link is a STATE."""
    DOCUMENT = "document"
    """The API document."""
    KEYS = "keys"
    """Our public keys."""


CONTROL: Final[Mapping[Kind, str]] = {
    Kind.PROBLEM: "no-store",
    Kind.STATE: "no-store",
    Kind.PERSONAL: "private, no-store",
    Kind.FILE: "private, no-cache",
    Kind.DOCUMENT: f"public, max-age=60, stale-while-revalidate=60, stale-if-error={_DAY_S}",
    Kind.KEYS: "public, max-age=300, stale-while-revalidate=60, stale-if-error=3600",
}
"""Kind -> Cache-Control. The static files of the docs page and of an assets folder say it themselves (edge.assets)."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What caches may do with an operation's answer that is the same for everybody.

    `groups` are its cache groups (RFC 9875), with the operation's path parameters in braces. It is fresh for `fresh_s`
    everywhere, and for `told_fresh_s` in edges that are told when one of its groups changes; after that it may be used
    for `while_revalidating_s` while it is being refreshed, and for `if_error_s` while we do not answer (RFC 5861).
    There is no s-maxage among them: it would forbid both (RFC 9111, 5.2.2.10).
    """

    groups: tuple[str, ...]
    fresh_s: int = 30
    told_fresh_s: int = 300
    while_revalidating_s: int = 30
    if_error_s: int = _DAY_S

    def __post_init__(self) -> None:
        if not 0 < self.fresh_s <= self.told_fresh_s <= EDGE_FRESH_MAX_S:
            raise ValueError(f"freshness must be 0 < fresh_s <= told_fresh_s <= {EDGE_FRESH_MAX_S}")

    def fields(self, values: Mapping[str, object], *, production: bool, told: bool) -> dict[str, str]:
        """The header fields of an answer; `values` of the path parameters, `told` whether edges hear of changes.

        Outside production it is asked for again each time, but by edges that are told: developers see what they change.
        """
        common = {GROUPS: listed(group.format_map(values) for group in self.groups), "Vary": "Consistency"}
        stale = f"stale-while-revalidate={self.while_revalidating_s}, stale-if-error={self.if_error_s}"
        edges = {EDGE_CONTROL: f"public, max-age={self.told_fresh_s}, {stale}"} if told else {}
        control = f"public, max-age={self.fresh_s}, {stale}" if production else "no-cache"
        return {CACHE_CONTROL: control, **edges, **common}


def listed(groups: Iterable[str]) -> str:
    """Cache groups as a header's value: a list of strings (RFC 9651)."""
    return ", ".join(f'"{group}"' for group in groups)


def is_shared(control: str) -> bool:
    """Whether a shared cache may store an answer with this Cache-Control."""
    return _UNSHARED.isdisjoint(part.strip().lower() for part in control.split(","))


def fit_for_caches(headers: MutableMultiMapping[str], *, authorized: bool, secure: bool) -> None:
    """Make an answer fit for the caches it says it is for; `authorized`: asked with Authorization, `secure`: by HTTPS.

    What may be shared loses what belongs to the one who asked, and says `public` where that means something, which is
    to somebody with Authorization (RFC 9111, 3.5). What may be kept at all promises HTTPS only where it came by it (RFC
    6797, 7.2). An answer that says nothing of caches is kept by none, and one that sets a cookie is for its receiver
    only, whatever it says.
    """
    control = headers.setdefault(CACHE_CONTROL, CONTROL[Kind.STATE])
    if "Set-Cookie" in headers and is_shared(control):
        headers[CACHE_CONTROL] = control = CONTROL[Kind.PERSONAL]
    if not secure and "no-store" not in control:
        headers.popall("Strict-Transport-Security", None)
    if not is_shared(control):
        return
    for name in _OF_ONE_CALLER:
        headers.popall(name, None)
    if not authorized:
        headers[CACHE_CONTROL] = control.removeprefix(_PUBLIC)
