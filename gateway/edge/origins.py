"""What is known of the origin: whether it answered when it was last asked, told once for each change."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from edge.messages import Request, Response
from edge.origin import Origin, OriginFailed

SEEN_S: Final = 5.0
"""So long what was last seen of the origin counts as seen just now."""
LOOK_S: Final = 2.0
"""So long whoever asks for the health waits for the origin."""


@dataclass(frozen=True, slots=True)
class OriginHealth:
    """`since` is when it came to be so, ISO 8601; None: it was always so."""

    connected: bool
    since: str | None
    reason: str


NO_ORIGIN: Final = OriginHealth(False, None, "none is set")


class Watched:
    """An Origin that remembers how the last question ended. `wall` gives Unix seconds."""

    def __init__(
        self, origin: Origin, *, wall: Callable[[], float], on_change: Callable[[str, dict[str, object]], None]
    ) -> None:
        self._origin = origin
        self._wall = wall
        self._on_change = on_change
        self._connected: bool | None = None
        self._since = self._seen_at = 0.0
        self._reason = ""

    async def __call__(self, request: Request) -> Response:
        """What the origin says. Raises OriginFailed."""
        try:
            response = await self._origin(request)
        except OriginFailed as failure:
            if not failure.by_client:
                self._saw(connected=False, reason=str(failure))
            raise
        self._saw(connected=True, reason="")
        return response

    async def health(self) -> OriginHealth:
        """How it stands. It is asked if it was not seen in the last `SEEN_S` seconds."""
        if self._connected is None or self._wall() - self._seen_at > SEEN_S:
            await self._look()
        since = datetime.fromtimestamp(self._since, UTC).isoformat(timespec="seconds")
        return OriginHealth(bool(self._connected), since, self._reason)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                response = await self(Request("HEAD", "/"))
            if response.stream is not None:
                await response.stream.aclose()
        except TimeoutError:
            self._saw(connected=False, reason="it took too long to answer")
        except OriginFailed:
            pass  # it was seen to be so

    def _saw(self, *, connected: bool, reason: str) -> None:
        self._seen_at = self._wall()
        self._reason = reason
        if connected == self._connected:
            return
        was, self._connected, self._since = self._connected, connected, self._seen_at
        if not connected:
            self._on_change("origin_down", {"reason": reason, "level": "warning"})
        elif was is False:
            self._on_change("origin_up", {})
