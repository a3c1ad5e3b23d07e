"""Passwords: argon2id in a small pool of threads, with a bounded queue, so that logins never stall other requests."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from core.errors import RateLimited
from core.limits import PASSWORD_HASHES_AT_ONCE, PASSWORD_HASHES_WAITING_MAX

T = TypeVar("T")
# OWASP Password Storage Cheat Sheet, argon2id: 19 MiB of memory, 2 iterations, 1 degree of parallelism.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keSBubw$zHGYvQZlXm4X1mXwV0pBCCZ1cE1zX2bMUfZb5n0sPXM"


class Passwords:
    """Hashes and verifies. Raises RateLimited when too many wait already."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(PASSWORD_HASHES_AT_ONCE, thread_name_prefix="password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password, in the PHC string format."""
        return await self._run(lambda: _HASHER.hash(password))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password fits. With no hash the same time is spent, so that nobody learns who exists."""
        return await self._run(lambda: _verify(hashed or _NOBODY, password)) and hashed is not None

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= PASSWORD_HASHES_WAITING_MAX:
            raise RateLimited("too many logins at once; try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
