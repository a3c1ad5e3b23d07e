"""Headers that tell a browser what an answer is not: a page, a frame, a script, something to be sniffed or to refer to.

What an answer already says of itself stands: the docs page and a file have policies of their own.
"""

from typing import Final

from multidict import MutableMultiMapping

_API: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "Meridian",
}
_YEAR_S: Final = 365 * 24 * 3600


def security_headers(*, production: bool) -> dict[str, str]:
    """The headers of every answer that does not say otherwise; in production, that this host is for HTTPS only."""
    return {**_API, "Strict-Transport-Security": f"max-age={_YEAR_S}"} if production else dict(_API)


def add_missing(headers: MutableMultiMapping[str], found: dict[str, str]) -> None:
    """Add the headers that are not there yet."""
    for name, value in found.items():
        if name not in headers:
            headers[name] = value
