"""What a signed country header is worth: whether an edge that knows EDGE_SECRET said it, just now, of this path."""

import hmac
import re
from collections.abc import Sequence
from typing import Final

from edge.vouching import VALID_S, signature
from gateway.geography.address import parse_address
from gateway.geography.decision import Vouched

_SHAPE: Final = re.compile(r'([A-Za-z0-9]{2}); t=([0-9]{1,12}); for="([0-9A-Fa-f:.]{0,45})"; sig=([0-9a-f]{64})')


def read_vouched(value: str, *, path: str, secrets: Sequence[bytes], now: float) -> Vouched:
    """The country and the client's address, or why they are not believed.

    `path` is the request's as it was sent, without the query. Every secret is tried, so that it can be rotated.
    """
    match = _SHAPE.fullmatch(value)
    if match is None:
        return Vouched("?", refused="it is malformed")
    country, at, client, given = match[1], int(match[2]), match[3], match[4]
    if not secrets:
        return Vouched(country, refused="EDGE_SECRET is not set")
    if not any(hmac.compare_digest(signature(secret, country, at, client, path), given) for secret in secrets):
        return Vouched(country, refused="its signature is not of EDGE_SECRET for this path")
    if abs(now - at) > VALID_S:
        return Vouched(country, refused=f"its signature is not of the last {VALID_S} s")
    return Vouched(country, client=parse_address(client))
