"""Answers that depend on a region which the client did not name: they are for that client, not for caches before us.

A cache that stands before the edge sees a request without X-Region, and would give one country's answer to another.
"""

from dataclasses import replace
from typing import Final

from edge.fields import listed, names_listed, without
from edge.messages import Response

_FOR_SHARED_CACHES: Final = frozenset({"cache-control", "cdn-cache-control"})
_REPLACED: Final = ("public", "private", "s-maxage")


def depends_on_region(response: Response) -> bool:
    """Whether the answer says that it varies by X-Region."""
    return "x-region" in names_listed(response.field("Vary"))


def for_one_client(response: Response) -> Response:
    """The answer as only its client may keep it."""
    told = [item for item in listed(response.field("Cache-Control")) if not item.lower().startswith(_REPLACED)]
    own = ("Cache-Control", ", ".join(told if "no-store" in told else ["private", *told]))
    return replace(response, headers=(*without(response.headers, _FOR_SHARED_CACHES), own))
