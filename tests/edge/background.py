"""What an edge does after it has answered, for tests that wait for it."""

import asyncio
from collections.abc import Coroutine


class Background:
    """Holds the tasks that an edge spawns."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run it; `done` waits for it."""
        self._tasks.append(asyncio.create_task(work))

    async def done(self) -> None:
        """All of it is done; raises what went wrong in it."""
        while self._tasks:
            await self._tasks.pop()
