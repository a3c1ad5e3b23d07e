"""Consistency tokens: a short signed list of the positions a caller has seen, one entry for each shard.

Opaque to clients. The text is `base64url(entries) "." base64url(mac)`; an entry is
`shard:system id:timeline:lsn` in hexadecimal numbers, entries are joined by `,`.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from core.errors import Malformed
from core.limits import TOKEN_CHARS_MAX, TOKEN_ENTRIES_MAX

_MAC_BYTES: Final = 16
LSN_UNKNOWN: Final = (1 << 63) - 1
"""A write that was acknowledged without its position known: only the primary can show it for sure."""


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """The caller has seen `shard` (the cluster with `system_id`, on `timeline`) up to `lsn`."""

    shard: str
    system_id: int
    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Token:
    """What a caller has seen, newest entry last, at most 16 shards."""

    entries: tuple[TokenEntry, ...] = ()

    def entry(self, shard: str) -> TokenEntry | None:
        """What the caller has seen of that shard."""
        return next((entry for entry in self.entries if entry.shard == shard), None)

    def seeing(self, entry: TokenEntry) -> "Token":
        """The token after the caller saw `entry` too: the newer position of a cluster stays, another cluster's goes."""
        before = self.entry(entry.shard)
        newest = entry
        if before is not None and before.system_id == entry.system_id and before.lsn != LSN_UNKNOWN:
            newest = max(before, entry, key=lambda e: (e.timeline, e.lsn))
        others = [e for e in self.entries if e.shard != entry.shard]
        return Token((*others, newest)[-TOKEN_ENTRIES_MAX:])


class TokenSigner:
    """Turns tokens into text and back. The first key signs; every key verifies, so keys can be rotated."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(sha256(b"consistency token" + key).digest() for key in keys)

    def text(self, token: Token) -> str:
        """The text of a token, for the Consistency-Token header."""
        body = ",".join(f"{e.shard}:{e.system_id:x}:{e.timeline:x}:{e.lsn:x}" for e in token.entries).encode()
        return f"{_encoded(body)}.{_encoded(_mac(self._keys[0], body))}"

    def parse(self, text: str) -> Token:
        """The token of a text. Raises Malformed for anything this system did not make."""
        if len(text) > TOKEN_CHARS_MAX:
            raise Malformed("Consistency-Token is too long; send it as it was received, or leave it out")
        try:
            body, mac = (_decoded(part) for part in text.split("."))
        except (ValueError, Base64Error) as exc:
            raise Malformed("Consistency-Token is not one of ours; send it as received, or leave it out") from exc
        if text != f"{_encoded(body)}.{_encoded(mac)}":
            # base64 decoders skip foreign characters and spare bits: one text for one token.
            raise Malformed("Consistency-Token was changed on its way; send it as received, or leave it out")
        if not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._keys):
            raise Malformed("Consistency-Token was not signed by this system; send it as received, or leave it out")
        return Token(tuple(_entries(body.decode())))


def _entries(body: str) -> Iterable[TokenEntry]:
    for part in body.split(",") if body else ():
        shard, system_id, timeline, lsn = part.split(":")
        yield TokenEntry(shard, int(system_id, 16), int(timeline, 16), int(lsn, 16))


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_MAC_BYTES]


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
