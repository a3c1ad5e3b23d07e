"""The limiters of all regions: each with its region's Redis, opened and closed as the map changes."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from core.changes import OnChange
from core.limiter.limiter import Limiter
from core.limiter.redis import RedisTats


@dataclass(frozen=True, slots=True)
class _Opened:
    redis_url: str | None
    limiter: Limiter
    stack: AsyncExitStack


class Limiters:
    """Limiters by region; one stays, with all it knows, for as long as its region's Redis URL does."""

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], datetime], on_event: OnChange) -> None:
        self._clock = clock
        self._wall = wall
        self._on_event = on_event
        self._opened: dict[str, _Opened] = {}

    def of(self, region: str) -> Limiter:
        """The limiter of a region; for one that is just leaving the map, another's: nobody goes uncounted."""
        opened = self._opened.get(region) or next(iter(self._opened.values()))
        return opened.limiter

    async def adopt(self, redis_urls: Mapping[str, str | None]) -> None:
        """Have a limiter for each of these regions and for no other. Waits for no Redis.

        Raises ValueError for a URL that cannot be used, without showing it; then nothing is changed.
        """
        async with AsyncExitStack() as unless_adopted:
            opened: dict[str, _Opened] = {}
            for region, url in redis_urls.items():
                before = self._opened.get(region)
                opened[region] = (
                    before if before and before.redis_url == url else await self._open(region, url, unless_adopted)
                )
            unless_adopted.pop_all()
        replaced = [before for region, before in self._opened.items() if opened.get(region) is not before]
        self._opened = opened
        for before in replaced:
            await before.stack.aclose()

    async def close(self) -> None:
        """Close every limiter, whatever fails."""
        await self.adopt({})

    async def _open(self, region: str, url: str | None, unless_adopted: AsyncExitStack) -> _Opened:
        stack = AsyncExitStack()
        shared = await stack.enter_async_context(RedisTats(url, region=region)) if url else None
        limiter = Limiter(shared, region=region, clock=self._clock, wall=self._wall, on_event=self._on_event)
        await stack.enter_async_context(limiter)
        unless_adopted.push_async_callback(stack.aclose)
        return _Opened(url, limiter, stack)
