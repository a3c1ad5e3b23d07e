"""What a file store is: the values that pass through it and the Protocol that S3, Azure and local files keep.

A store holds whole files under keys. Which files there are, whose and of what type, is said by rows in the user's shard
(`core.storage.rows`); a store is never listed to find out.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

StoreKind = Literal["S3", "Azure", "Local"]


class StoreUnreachable(Exception):
    """The store did not answer in time, refused us, or broke off. The text names the kind of failure only: addresses
    and credentials of a store are secrets."""


class FileMissing(Exception):
    """The store answered that it has no file under this key."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: its size in bytes, its SHA-256 (32 bytes), and its media type."""

    size: int
    sha256: bytes
    media_type: str


class FileStore(Protocol):
    """Whole files under keys. Calls are bounded in time and memory (STORE_*, FILE_CHUNK_BYTES in core.limits).

    Every method may raise StoreUnreachable; none leaves part of a file to be seen under its key.
    """

    @property
    def kind(self) -> StoreKind:
        """The word that health uses."""
        ...

    async def put(self, key: str, source: Path, contents: Contents) -> None:
        """Store the file at `source`, whole or not at all; the store verifies its checksum. Repeating is no error."""
        ...

    def open(
        self, key: str, *, first: int = 0, last: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes `first..last` (both counted, from 0; None: to the end) in chunks. Entering raises FileMissing."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the file; that there is none is no error."""
        ...

    async def probe(self, *, writing: bool) -> None:
        """Return if the store can be used now. `writing` proves it by storing a few bytes under a key of its own."""
        ...

    async def link(self, key: str, contents: Contents, *, disposition: str, lifetime_s: int) -> str | None:
        """A URL that lets its holder read this one file for `lifetime_s` seconds, if clients can reach the store; else
        None. Makes no network call. The answer at the URL has the file's media type and the given Content-Disposition.
        """
        ...
