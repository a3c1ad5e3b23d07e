"""Which other origins' pages may call from a browser: CORS, as the Fetch standard has it. Pure: headers in and out.

No origin is allowed unless CORS_ORIGINS lists it, exactly. A listed one may send cookies and read every answer,
problems too; what a page may do with a session cookie is for `gateway.who` to say.
"""

import re
from collections.abc import Mapping
from typing import Final

EXPOSED: Final = (
    "Accept-Ranges",
    "Consistency-Token",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Meridian-Route",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS: Final = (
    "Authorization, Consistency, Consistency-Token, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, "
    "Range, X-Region, X-Request-Id, X-Request-Timeout, X-Requested-With"
)
_MAX_AGE_S: Final = 7200  # the longest that Chromium keeps a preflight
_PREFLIGHT_VARIES: Final = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
_ANY: Final = "*"
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_DEFAULT_PORTS: Final = (("http://", ":80"), ("https://", ":443"))


class Cors:
    """The rule for one list of origins. `any_origin`: every page may call, without cookies."""

    def __init__(self, origins: frozenset[str] = frozenset(), *, any_origin: bool = False) -> None:
        self.origins = origins
        self.any_origin = any_origin

    @classmethod
    def parse(cls, text: str) -> "Cors":
        """Read `https://app.example, http://localhost:5173`, or `*`. Raises ValueError naming the faulty entry."""
        entries = [entry for part in text.split(",") if (entry := part.strip())]
        if _ANY in entries:
            if len(entries) > 1:
                raise ValueError("lists `*` beside other origins: give either")
            return cls(any_origin=True)
        for entry in entries:
            if not _is_origin(entry):
                raise ValueError(
                    f"{entry!r} is no origin as browsers send it: scheme, host and any unusual port, in lower case, as"
                    " in https://app.example"
                )
        return cls(frozenset(entries))

    @property
    def enabled(self) -> bool:
        """Whether any other origin may call."""
        return self.any_origin or bool(self.origins)

    def lists(self, origin: str | None) -> bool:
        """Whether the operator has named this origin as their own."""
        return origin in self.origins

    def preflight(self, request: Mapping[str, str]) -> dict[str, str] | None:
        """The headers that let a preflight's request follow; None for what is no preflight, or of another origin."""
        origin = request.get("Origin")
        if origin is None or "Access-Control-Request-Method" not in request or not self._allows(origin):
            return None
        return {
            **self._allowing(origin),
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": str(_MAX_AGE_S),
            "Vary": _PREFLIGHT_VARIES,
        }

    def answer(self, origin: str | None) -> dict[str, str]:
        """The headers that let the page of `origin` read an answer. `Vary` is for all: caches must know."""
        if not self.enabled:
            return {}
        vary = {} if self.any_origin else {"Vary": "Origin"}
        if origin is None or not self._allows(origin):
            return vary
        return {**self._allowing(origin), "Access-Control-Expose-Headers": ", ".join(EXPOSED), **vary}

    def _allows(self, origin: str) -> bool:
        return self.any_origin or origin in self.origins

    def _allowing(self, origin: str) -> dict[str, str]:
        if self.any_origin:
            return {"Access-Control-Allow-Origin": _ANY}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}


def _is_origin(text: str) -> bool:
    return _ORIGIN.fullmatch(text) is not None and not any(
        text.startswith(scheme) and text.endswith(port) for scheme, port in _DEFAULT_PORTS
    )
