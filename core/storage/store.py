"""What a file store is: the values that pass through it and the Protocol that S3, Azure and local files keep.

A store holds whole files under keys. Which files there are, whose and of what type, is said by rows in the user's shard
(`core.storage.rows`); a store is never listed to find out.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from core.limits import STORE_BLOCK_BYTES, STORE_BYTES_PER_S_MIN, STORE_STALL_S

StoreKind = Literal["S3", "Azure", "Local"]
PROBE_KEY: Final = "meridian-probe"
"""The key of the few bytes that a writing probe stores."""


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


class FileDamaged(Exception):
    """The file that should be stored is not what its contents say: the local disk lost or changed bytes of it."""


def put_limit_s(size: int) -> float:
    """Seconds that storing `size` bytes may take before the store is taken for dead."""
    return STORE_STALL_S + size / STORE_BYTES_PER_S_MIN


async def verified_md5(source: Path, contents: Contents) -> bytes:
    """The MD5 (16 bytes) of a file, which stores check what arrives against. Raises FileDamaged if the file is not
    what `contents` says.
    """
    return await asyncio.to_thread(_verified_md5, source, contents)


def _verified_md5(source: Path, contents: Contents) -> bytes:
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with source.open("rb") as file:
        while chunk := file.read(STORE_BLOCK_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    if (size, sha256.digest()) != (contents.size, contents.sha256):
        raise FileDamaged(f"{source.name} has changed on the local disk since it was received")
    return md5.digest()


class FileStore(Protocol):
    """Whole files under keys. Calls are bounded in time and memory (STORE_*, FILE_CHUNK_BYTES in core.limits).

    Every method may raise StoreUnreachable; none leaves part of a file to be seen under its key.
    """

    @property
    def kind(self) -> StoreKind:
        """The word that health uses."""
        ...

    async def put(self, key: str, source: Path, contents: Contents) -> None:
        """Store the file at `source`, whole or not at all; the store verifies its checksum. Repeating is no error.

        Raises FileDamaged, and then nothing was sent.
        """
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
