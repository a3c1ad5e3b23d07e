"""A body in pieces, of a request or of an answer, for tests of who reads it and who lets it go."""

import asyncio
from collections.abc import AsyncGenerator

from edge.origin import OriginFailed


class Body(AsyncGenerator[bytes, None]):
    """A body in pieces; knows whether it was read to its end or let go. It may fail or hang after them."""

    def __init__(self, *pieces: bytes, fails: bool = False, hangs: bool = False) -> None:
        self.is_closed = False
        self.read = 0
        self._pieces, self._fails, self._hangs = pieces, fails, hangs

    async def asend(self, value: None) -> bytes:
        if self.read < len(self._pieces):
            self.read += 1
            return self._pieces[self.read - 1]
        if self._hangs:
            await asyncio.Event().wait()
        if self._fails:
            raise OriginFailed("it broke off")
        self.is_closed = True
        raise StopAsyncIteration

    async def athrow(self, *_: object) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True
