"""Ending a background task for sure."""

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 0.5


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    Once may not be enough: a library that the task waits in can lose a cancellation that comes at the moment its own
    timeout does, and the task would go on for ever with its owner waiting for it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
