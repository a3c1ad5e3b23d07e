"""Small signed texts (cursors, session cookies): a body and a truncated HMAC-SHA256, with keys that can be rotated."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

_MAC_BYTES = 16


class Signer:
    """Signs bytes for one `purpose`, so that a text made for one use is worth nothing in another."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes], *, purpose: str) -> None:
        self._keys = tuple(hmac.digest(key, purpose.encode(), sha256) for key in keys)

    def sign(self, body: bytes) -> str:
        """Text that `open` gives the body back from; signed with the current key."""
        return _encoded(body + self._mac(self._keys[0], body))

    def open(self, text: str) -> bytes | None:
        """The body of a text that one of the keys signed; None for anything else."""
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        if _encoded(raw) != text:
            return None  # base64 has many spellings of the same bytes; we wrote one
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        return body if any(hmac.compare_digest(mac, self._mac(key, body)) for key in self._keys) else None

    def digest(self, body: bytes) -> bytes:
        """A keyed digest of a body (32 bytes, current key): to compare requests without keeping them."""
        return hmac.digest(self._keys[0], body, sha256)

    @staticmethod
    def _mac(key: bytes, body: bytes) -> bytes:
        return hmac.digest(key, body, sha256)[:_MAC_BYTES]


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
