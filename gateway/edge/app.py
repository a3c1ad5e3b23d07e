"""The composition root of one worker of an edge: the only place where its parts are made and joined."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from core.changes import log_change
from edge import purging, status
from edge.bounds import Bounds
from edge.cache import Purge
from edge.failover import Failover
from edge.handler import Edge
from edge.http1.head import Refused
from edge.http1.limits import Limits
from edge.http1.listener import Listener
from edge.memory import MemoryCache
from edge.messages import Request, Response, Stream
from edge.origin import Origin
from edge.peers import Header, Peers, Replicated
from edge.prepared import problem
from edge.upstream import upstream
from gateway.edge import telling
from gateway.edge.arrivals import Arrival, Arrivals
from gateway.edge.origins import NO_ORIGIN, OriginHealth, Watched
from gateway.edge.plan import LANGUAGES, Plan
from gateway.edge.refused_purges import RefusedPurges
from gateway.edge.workers import Worker

if TYPE_CHECKING:
    from gateway.edge.http2 import Http2Listener

OWN_PATHS: Final = "/_edge/"
_BACKGROUND_S: Final = 2.0
_log = structlog.get_logger("edge")


class EdgeService:
    """Answers what arrives at one worker: the edge's own paths, and everything else from the edge."""

    def __init__(
        self, plan: Plan, *, worker: int, edge: Edge, memory: MemoryCache, peers: Peers, origin: Watched | None
    ) -> None:
        self._plan = plan
        self._worker = worker
        self._edge = edge
        self._memory = memory
        self._peers = peers
        self._origin = origin
        self._arrivals = Arrivals(
            table=plan.table,
            own_region=plan.region,
            trusted=plan.settings.trusted,
            country_header=plan.settings.country_header,
            scheme="https" if plan.certificate is not None else "http",
        )
        self._refused_purges = RefusedPurges(clock=time.monotonic, on_change=log_change)
        self.connections: Callable[[], int] = lambda: 0
        self.is_draining = False

    def arrived(self, request: Request, peer: str) -> Arrival:
        """See edge.http1's Service."""
        arrival = self._arrivals.arrived(request, peer)
        if request.path.startswith(OWN_PATHS):
            return arrival
        return replace(arrival, plain=self._edge.plain(arrival.request, arrival.region))

    def at_once(self, arrival: Arrival) -> Response | None:
        """See edge.http1's Service."""
        return None if arrival.plain is None else self._edge.hit(arrival.plain)

    def answer(self, arrival: Arrival, stream: Stream | None) -> Awaitable[Response]:
        """See edge.http1's Service."""
        request = arrival.request if stream is None else replace(arrival.request, stream=stream)
        if request.path.startswith(OWN_PATHS):
            return self._own(request, arrival)
        return self._edge.handle(request, arrival.region)

    def refuse(self, refused: Refused) -> Response:
        """See edge.http1's Service."""
        said = (("Cache-Control", "no-store"),)
        response = problem(_NOBODY, refused.status, "malformed", "The request is refused", refused.reason, said)
        return status.told(response, status.alone(self._plan.name, "refused"))

    def drain(self) -> None:
        """Say from now on that this worker ends, and that the others do is no news."""
        self.is_draining = True
        self._peers.expect_end()

    def stats(self) -> dict[str, Any]:
        """What this worker counts."""
        return {
            "worker": self._worker,
            "entries": len(self._memory),
            "bytes": self._memory.size_bytes,
            "connections": self.connections(),
            "evicted": self._memory.evicted,
            "purges_refused": self._refused_purges.count,
            "counts": dict(self._edge.counts),
        }

    async def _own(self, request: Request, arrival: Arrival) -> Response:
        return status.told(await self._answer_own(request, arrival), status.alone(self._plan.name, "own"))

    async def _answer_own(self, request: Request, arrival: Arrival) -> Response:
        if request.path == purging.PATH:
            token = self._plan.purge_token
            return await purging.answer(request, self._edge, token, told=_log_purge, refused=self._refused_purges.note)
        if request.path == telling.HEALTH and request.method in ("GET", "HEAD"):
            return await self._health(request)
        if request.path == telling.METRICS and request.method in ("GET", "HEAD") and arrival.is_inside:
            up = (await self._origin_health()).connected
            return telling.metrics(request, await self._all_stats(), is_origin_up=up)
        said = (("Cache-Control", "no-store"),)
        return problem(request, 404, "not_found", "Not found", "the edge has nothing of its own here", said)

    async def _health(self, request: Request) -> Response:
        return telling.health(
            request,
            name=self._plan.name,
            region=self._plan.region,
            origin=await self._origin_health(),
            is_shipped=self._plan.table is not None,
            is_draining=self.is_draining,
            configured=self._plan.workers,
            workers=await self._all_stats(),
        )

    async def _origin_health(self) -> OriginHealth:
        return await self._origin.health() if self._origin is not None else NO_ORIGIN

    async def _all_stats(self) -> list[dict[str, Any]]:
        others = await self._peers.tell("stats", {})
        return sorted([self.stats(), *others], key=lambda stats: stats["worker"])


_NOBODY: Final = Request("GET", "/")


def _log_purge(purge: Purge, purged: int) -> None:
    kind = next(kind for kind in ("url", "group", "region") if getattr(purge, kind) is not None)
    # A url may hold what is private in its query.
    name = getattr(purge, kind).partition("?")[0]
    _log.info("purged", kind=kind, name=name, hard=purge.hard, purged=purged)


class Background:
    """What goes on after an answer was given: held until it ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Let it end, for `_BACKGROUND_S` seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_BACKGROUND_S)
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def running(plan: Plan, *, worker: int, folder: Path, wall: Callable[[], float]) -> AsyncIterator[EdgeService]:
    """One worker without its listener, for the length of the block. `folder` is where workers find each other."""
    async with AsyncExitStack() as stack:
        memory = MemoryCache(Bounds())
        peers = Peers(folder, index=worker, count=plan.workers, on_change=log_change)
        cache = Replicated(memory, peers, forget=memory.clear, clock=wall)
        background = Background()
        stack.push_async_callback(background.stop)
        origin = await _origin_of(plan, stack, wall)
        edge = Edge(
            name=plan.name,
            cache=cache if plan.workers > 1 else memory,
            origin=origin,
            clock=wall,
            spawn=background.spawn,
            look=memory.look,
            languages=LANGUAGES if plan.table is not None else (),
            shipped=_shipped_of(plan),
        )
        service = EdgeService(plan, worker=worker, edge=edge, memory=memory, peers=peers, origin=origin)

        async def hear(kind: str, header: Header, body: bytes) -> Header:
            if kind == "stats":
                return service.stats()
            return await cache.hear(kind, header, body, purged=edge.purged)

        if plan.references is not None:
            following = asyncio.create_task(plan.references.run(), name="reference data")
            stack.callback(following.cancel)
        if plan.workers > 1:
            await peers.start(hear)
            stack.push_async_callback(peers.stop)
        yield service


async def _origin_of(plan: Plan, stack: AsyncExitStack, wall: Callable[[], float]) -> Watched | None:
    if not plan.origins:
        return None
    asked: list[Origin] = [await stack.enter_async_context(upstream(base, name=plan.name)) for base in plan.origins]
    origin = asked[0] if len(asked) == 1 else Failover(asked, clock=wall)
    return Watched(origin, wall=wall, on_change=log_change)


def _shipped_of(plan: Plan) -> Callable[[Request, str], Response | None] | None:
    references = plan.references
    if references is not None:
        return lambda request, region: references.reference.shipped(request, region)
    return plan.reference.shipped if plan.reference is not None else None


async def serve(plan: Plan, *, worker: Worker, folder: Path, sock: socket.socket) -> None:
    """Serve on a bound socket until SIGTERM, SIGINT or the end of the parent; requests under way finish."""
    async with running(plan, worker=worker.index, folder=folder, wall=time.time) as service:
        drain_s = plan.settings.drain_s
        limits = Limits(drain_s=drain_s, stall_s=min(drain_s, Limits().stall_s))
        listener = _listener(plan, service, limits)
        service.connections = lambda: listener.connections
        await listener.start(sock)
        if plan.workers > 1:
            _log.info("worker_serving")
        worker.serves()
        try:
            await _until_told(worker.lifeline)
            service.drain()
        finally:
            await listener.stop()
    _log.info("stopped")


def _listener(plan: Plan, service: EdgeService, limits: Limits) -> "Listener[Arrival] | Http2Listener[Arrival]":
    if plan.server == "granian":
        from gateway.edge.http2 import Http2Listener  # slow to import, and seldom needed

        return Http2Listener(service, certificate=plan.certificate, limits=limits)
    return Listener(service, wall=time.time, limits=limits)


async def _until_told(lifeline: int | None) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if lifeline is not None:
        loop.add_reader(lifeline, told.set)
    try:
        await told.wait()
    finally:
        if lifeline is not None:
            loop.remove_reader(lifeline)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
