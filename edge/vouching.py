"""How an edge vouches for the client's country and address to a gateway that cannot see them: a signed header."""

import hmac
from typing import Final

HEADER: Final = "Meridian-Country"
VALID_S: Final = 60
"""A signature is good for this long, before and after its time."""


def vouch(secret: bytes, *, country: str, client: str, path: str, now: float) -> str:
    """The header's value: `QA; t=1780000000; for="203.0.113.9"; sig=<hex>`.

    `country` may be empty or `XX` where it is not known, `client` is the client's address or empty, `path` the path of
    the request as it is sent, percent-encoded and without the query.
    """
    at = int(now)
    return f'{country or "XX"}; t={at}; for="{client}"; sig={signature(secret, country or "XX", at, client, path)}'


def signature(secret: bytes, country: str, at: int, client: str, path: str) -> str:
    """HMAC-SHA256 (RFC 2104) over everything that is vouched for, in hexadecimal digits."""
    text = "\n".join((HEADER, country, str(at), client, path))
    return hmac.new(secret, text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()
