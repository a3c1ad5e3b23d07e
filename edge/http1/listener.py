"""One process's listener: takes connections, ends those that take too long, and stops without dropping a request."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Generic, TypeVar, cast

from edge.bounds import Bounds
from edge.http1.connection import Connection
from edge.http1.head import Refused
from edge.http1.limits import Limits
from edge.http1.service import Service, Shared
from edge.http1.written import head_of

T = TypeVar("T")
_BACKLOG = 4096
_POLL_S = 0.02


class Listener(Generic[T]):
    """Serves one listening socket. `wall` gives Unix seconds."""

    def __init__(
        self,
        service: Service[T],
        *,
        wall: Callable[[], float],
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self._wall = wall
        self._limits = limits
        self._shared = Shared(service, bounds, limits, asyncio.get_running_loop().time)
        self._connections: set[Connection[T]] = set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def received_bytes_max(self) -> int:
        """The most that is held of what one client sent and nobody has taken."""
        return max((len(connection.received) for connection in self._connections), default=0)

    async def start(self, sock: socket.socket) -> None:
        """Begin to take connections from a socket that is bound."""
        self._socket = sock
        self._look()
        self._looking = asyncio.get_running_loop().create_task(self._keep_looking())
        self._server = await asyncio.get_running_loop().create_server(self._connection, sock=sock, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Take no more, let requests under way finish (`drain_s` at most), then cut off what is left."""
        if self._shared.closing:
            return
        self._shared.closing = True
        await self._stop_listening()
        await asyncio.sleep(self._limits.late_s)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.drain_s
        while self._connections and loop.time() < deadline:
            for connection in list(self._connections):
                connection.close_if_idle()
            await asyncio.sleep(_POLL_S)
        for connection in list(self._connections):
            connection.cut()
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking

    def _connection(self) -> asyncio.Protocol:
        if len(self._connections) >= self._limits.connections:
            return _Full(self._shared)
        return Connection(self._shared, self._connections)

    async def _stop_listening(self) -> None:
        """Who stands in the queue is let in: the loop closes its socket at once, which would reset them."""
        loop = asyncio.get_running_loop()
        with self._socket.dup() as last:
            last.setblocking(False)
            self._server.close()
            with suppress(BlockingIOError):
                for _ in range(_BACKLOG):
                    connection, _ = last.accept()
                    connection.setblocking(False)
                    await loop.connect_accepted_socket(self._connection, connection)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._limits.look_s)
            self._look()

    def _look(self) -> None:
        self._shared.date = formatdate(self._wall(), usegmt=True)
        self._shared.known.clear()
        now = self._shared.clock()
        self._shared.until_idle = now + self._limits.idle_s
        for connection in [c for c in self._connections if c.until < now]:
            connection.expire()


class _Full(asyncio.Protocol, Generic[T]):
    """One connection too many: told so, and closed."""

    def __init__(self, shared: Shared[T]) -> None:
        self._shared = shared

    def connection_made(self, base: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, base)
        response = self._shared.service.refuse(Refused(503, "too many connections"))
        transport.write(head_of(response, method="GET", date=self._shared.date, keep_alive=False, is_old=False))
        transport.write(response.body)
        transport.close()
