"""Request collapsing (single flight): requests for the same answer wait for one of them to fetch it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Final

from edge.cache import Entry
from edge.messages import Fields, Response, Stream
from edge.origin import OriginFailed

FlightKey = tuple[str, Fields]
"""A url, and the selecting values of its variant as far as they are known."""

Spawn = Callable[[Coroutine[None, None, None]], None]


@dataclass(frozen=True, slots=True)
class Landed:
    """What came of asking the origin: an entry that others may have, an answer for the asker alone, or a failure.

    With an entry, `response` is the asker's own view of it. `status` is the origin's; `reason` says why it is not kept.
    """

    entry: Entry | None = None
    response: Response | None = None
    failure: OriginFailed | None = None
    status: int | None = None
    is_stored: bool = False
    reason: str | None = None

    def for_others(self) -> "Landed":
        """Without what is the asker's alone."""
        return replace(self, response=None)


@dataclass(slots=True)
class Flight:
    """One question to the origin, and who waits for its answer. The leader is who asked it; a refresh has none."""

    leader: asyncio.Future[Landed] | None = None
    followers: list[asyncio.Future[Landed]] = field(default_factory=list)
    is_late: bool = False
    """Somebody lost patience with it."""


_STOPPED: Final = "the edge stopped waiting for it"


class Flights:
    """The questions to the origin that are under way, by url and variant: the single flights.

    Each is a task of its own: no client that leaves takes it from the others.
    """

    def __init__(self, spawn: Spawn, *, wait_s: float) -> None:
        self._spawn = spawn
        self._wait_s = wait_s
        self._open: dict[FlightKey, Flight] = {}

    def get(self, key: FlightKey) -> Flight | None:
        """The flight that a request may still join."""
        return self._open.get(key)

    def start(self, key: FlightKey, fetching: Coroutine[None, None, Landed], *, has_leader: bool) -> Flight:
        """Ask the origin; whoever joins gets the answer."""
        flight = Flight(asyncio.get_running_loop().create_future() if has_leader else None)
        self._open[key] = flight
        self._spawn(self._fly(key, flight, fetching))
        return flight

    def detach(self, url: str | None) -> None:
        """Nobody joins the flights of a url (None: any flight) any more: their answers tell of a time before now."""
        for key in [key for key in self._open if url is None or key[0] == url]:
            del self._open[key]

    async def lead(self, flight: Flight, *, within_s: float | None) -> Landed:
        """The whole outcome of a flight that was just started; a failure after `within_s`, while the flight goes on."""
        assert flight.leader is not None
        try:
            return await _awaited(flight, flight.leader, within_s)
        except asyncio.CancelledError:
            if not flight.leader.cancelled() and flight.leader.done():
                self._close(flight.leader.result())
            raise

    async def follow(self, flight: Flight, *, within_s: float | None) -> Landed:
        """What of a flight's outcome may be shared; a failure after `within_s`."""
        waiter: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()
        flight.followers.append(waiter)
        return await _awaited(flight, waiter, within_s)

    async def _fly(self, key: FlightKey, flight: Flight, fetching: Coroutine[None, None, Landed]) -> None:
        landed = Landed(failure=OriginFailed(_STOPPED))
        try:
            async with asyncio.timeout(self._wait_s):
                landed = await fetching
        except TimeoutError:
            landed = Landed(failure=OriginFailed("no whole answer in time", timed_out=True))
        finally:
            if self._open.get(key) is flight:
                del self._open[key]
            self._deliver(flight, landed)

    def _deliver(self, flight: Flight, landed: Landed) -> None:
        if flight.leader is not None and not flight.leader.done():
            flight.leader.set_result(landed)
        else:
            self._close(landed)
        shared = landed.for_others()
        for waiter in flight.followers:
            if not waiter.done():
                waiter.set_result(shared)

    def _close(self, landed: Landed) -> None:
        if landed.response is not None and landed.response.stream is not None:
            self._spawn(closed(landed.response.stream))


async def _awaited(flight: Flight, waiter: asyncio.Future[Landed], within_s: float | None) -> Landed:
    try:
        async with asyncio.timeout(within_s):
            return await waiter
    except TimeoutError:
        flight.is_late = True
        return Landed(failure=OriginFailed("no answer in time", timed_out=True))


async def closed(stream: Stream) -> None:
    """Let go of a body that nobody reads."""
    await stream.aclose()
