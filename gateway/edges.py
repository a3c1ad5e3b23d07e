"""Tells the edges of what has changed, so that they may keep shared answers longer than anybody who is not told.

Each edge has its own task and its own list of what it was not told yet, so one that is down holds up nobody. A change
is told at once, and again when every replica that is read from shows it: an edge that asked anew in between may have
been answered by one that did not. What an edge could not be told for longer than it may keep anything is let go.

At the start each is told of a group that nobody has: one that cannot be reached or refuses the token is known then,
not on the night of the first change.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from core.breaker import Breaker, BreakerState
from core.changes import OnChange
from core.limits import (
    EDGE_FRESH_MAX_S,
    EDGE_GROUPS_WAITING_MAX,
    EDGE_LAST_WORDS_S,
    EDGE_TELL_PAUSE_MAX_S,
    EDGE_TELL_PAUSE_S,
    EDGE_TELL_TIMEOUT_S,
)

PURGE_PATH: Final = "/_edge/purge"
START_GROUP: Final = "meridian-start"
LOST, FOUND, REFUSED, LET_GO = "edge_unreachable", "edge_told_again", "edge_refuses_purges", "edge_purges_let_go"
_TOLD, _FAILED = "told", "failed"


@dataclass(frozen=True, slots=True)
class EdgeHealth:
    """Whether an edge took what it was last told (None: nothing was told yet), since when not, and what waits."""

    connected: bool | None
    since: datetime | None
    reason: str
    waiting: int


@dataclass(frozen=True, slots=True)
class _Change:
    """A group's change, at `at`, to be told at `due`; `again` says that it was told before."""

    at: float
    due: float
    again: bool = False


@dataclass(frozen=True, slots=True)
class Telling:
    """What telling needs. `clock` gives monotonic seconds, `wall` aware UTC.

    `replicated_s` is how long after a change it is certain to be seen, whoever is asked. `count` is told the outcome of
    each telling: `told` or `failed`.
    """

    token: str = field(repr=False)
    session: ClientSession
    clock: Callable[[], float]
    wall: Callable[[], datetime]
    on_event: OnChange
    replicated_s: float
    count: Callable[[str], None]


class Edges:
    """All the edges of the settings. `changed` says what changed; `run` tells them until it is cancelled."""

    def __init__(self, urls: Sequence[str], telling: Telling) -> None:
        self._edges = [_Edge(number, url, telling) for number, url in enumerate(urls, start=1)]

    @property
    def are_told(self) -> bool:
        """Whether there is any edge to tell."""
        return bool(self._edges)

    def changed(self, groups: Iterable[str]) -> None:
        """What is kept of these cache groups is wrong from now on. Returns at once, whatever the edges do."""
        for group in dict.fromkeys(groups):
            for edge in self._edges:
                edge.note(group)

    def health(self) -> list[EdgeHealth]:
        """How each edge stands, in the order of the settings."""
        return [edge.health() for edge in self._edges]

    async def run(self) -> None:
        """Tell the edges until cancelled; then what is left is tried once more, within EDGE_LAST_WORDS_S."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, edge in enumerate(self._edges, start=1):
                    group.create_task(edge.run(), name=f"edge {number}")
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(EDGE_LAST_WORDS_S):
                    await asyncio.gather(*(edge.say_all() for edge in self._edges), return_exceptions=True)


class _Edge:
    """One edge: what it is to be told, and whether it listens."""

    def __init__(self, number: int, url: str, telling: Telling) -> None:
        self._number = number
        self._url = url.rstrip("/") + PURGE_PATH
        self._telling = telling
        self._clock = telling.clock
        self._waiting: dict[str, _Change] = {}
        self._noted = asyncio.Event()
        self._breaker = Breaker(
            failures_max=1,
            pause_s=EDGE_TELL_PAUSE_S,
            pause_max_s=EDGE_TELL_PAUSE_MAX_S,
            trial_s=2 * EDGE_TELL_TIMEOUT_S,
        )
        self._connected: bool | None = None
        self._since: datetime | None = None
        self._trouble = ""
        self._reason = ""

    def note(self, group: str) -> None:
        now = self._clock()
        self._waiting.pop(START_GROUP, None)  # a change asks as well
        self._waiting.pop(group, None)
        if len(self._waiting) >= EDGE_GROUPS_WAITING_MAX:
            self._let_go([next(iter(self._waiting))])
        self._waiting[group] = _Change(at=now, due=now)
        self._noted.set()

    def health(self) -> EdgeHealth:
        return EdgeHealth(self._connected, self._since, self._reason, len(self._waiting))

    async def run(self) -> None:
        if not self._waiting:
            now = self._clock()
            self._waiting[START_GROUP] = _Change(at=now, due=now, again=True)
        while True:
            self._noted.clear()
            await self._tell_due()
            rest_s = self._rest_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._noted.wait()

    async def say_all(self) -> None:
        """Tell all that waits, due or not, unless the edge does not listen."""
        if self._connected is False:
            return
        for group in list(self._waiting):
            if not await self._tell(group):
                return
            self._waiting.pop(group, None)

    def _rest_s(self) -> float | None:
        """How long there is nothing to do; None: until something changes."""
        if not self._waiting:
            return None
        at = min(change.due for change in self._waiting.values())
        if self._breaker.state is not BreakerState.CLOSED:
            at = max(at, self._breaker.next_at)
        return max(0.0, at - self._clock())

    async def _tell_due(self) -> None:
        at = self._clock() - EDGE_FRESH_MAX_S
        self._let_go([g for g, change in self._waiting.items() if change.at < at and g != START_GROUP])
        for group, change in list(self._waiting.items()):
            if change.due > self._clock():
                continue
            if not self._breaker.admits(self._clock()) or not await self._tell(group):
                return
            self._told(group, change)

    def _told(self, group: str, change: _Change) -> None:
        if self._waiting.get(group) is not change:
            return  # it changed once more while this was being told
        del self._waiting[group]
        if not change.again:
            self._waiting[group] = _Change(change.at, change.at + self._telling.replicated_s, again=True)

    async def _tell(self, group: str) -> bool:
        """Whether the edge has taken it; a group that it does not understand is let go like one that it took."""
        self._breaker = self._breaker.asked(self._clock())
        try:
            status = await self._post(orjson.dumps({"group": group}))
        except (ClientError, OSError, TimeoutError) as exc:
            return self._failed(LOST, type(exc).__name__)
        if status in (401, 403, 404):
            return self._failed(REFUSED, f"it answered {status}")
        if status != 200 and status != 422:
            return self._failed(LOST, f"it answered {status}")
        self._succeeded()
        return True

    async def _post(self, body: bytes) -> int:
        headers = {"Authorization": f"Bearer {self._telling.token}", "Content-Type": "application/json"}
        timeout = ClientTimeout(total=EDGE_TELL_TIMEOUT_S)
        async with self._telling.session.post(
            self._url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            return response.status

    def _succeeded(self) -> None:
        self._breaker = self._breaker.succeeded(self._clock())
        self._telling.count(_TOLD)
        if self._trouble:
            self._telling.on_event(FOUND, {"edge": self._number, "waiting": len(self._waiting)})
        self._connected, self._since, self._trouble, self._reason = True, None, "", ""

    def _failed(self, trouble: str, reason: str) -> bool:
        self._breaker = self._breaker.failed(self._clock())
        self._telling.count(_FAILED)
        if trouble != self._trouble:
            level = "error" if trouble == REFUSED else "warning"
            self._telling.on_event(trouble, {"edge": self._number, "reason": reason, "level": level})
        self._since = self._since or self._telling.wall()
        self._connected, self._trouble, self._reason = False, trouble, reason
        return False

    def _let_go(self, groups: Sequence[str]) -> None:
        for group in groups:
            del self._waiting[group]
        if groups:
            self._telling.on_event(LET_GO, {"edge": self._number, "groups": len(groups), "level": "warning"})
