"""The edge on granian, where HTTP/2 or TLS is wanted: the same service as behind its own listener."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from edge.asgi import Application
from edge.bounds import Bounds
from edge.http1.limits import Limits
from edge.http1.service import Service
from gateway.edge.certificate import Certificate

T = TypeVar("T")
_BACKLOG: Final = 4096
_STREAMS: Final = 100
_OPENS_S: Final = 10.0
_POLL_S: Final = 0.02
_KILL_S: Final = 0.5
_THREADS: Final = Path("/proc/self/task")
# granian would set up logging anew when a server is made, and tells of every connection that breaks off.
_LOGGING: Final[Mapping[str, Any]] = {"incremental": True, "formatters": {}, "handlers": {}, "loggers": {}}


class Http2Listener(Generic[T]):
    """Serves where a socket is bound. HTTP/1.1 and HTTP/2, over TLS (1.2 or later) if there is a certificate.

    What granian cannot read it refuses itself, with an empty answer and no Cache-Status. One patience is for a head and
    for the time between two requests of a connection: the shorter one, `limits.head_s`.
    """

    def __init__(
        self,
        service: Service[T],
        *,
        certificate: Certificate | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self._application = Application(service, bounds=bounds, limits=limits)
        self._certificate = certificate
        self._bounds = bounds
        self._limits = limits

    @property
    def connections(self) -> int:
        """How many requests are under way: connections are not told of."""
        return self._application.under_way

    async def start(self, sock: socket.socket) -> None:
        """Begin to take connections at the address of a bound socket, which is closed. Raises OSError, RuntimeError."""
        self._others = _foreign_threads()
        host, port = sock.getsockname()[:2]
        sock.close()
        self._server = self._granian(host, port)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve())
        async with asyncio.timeout(_OPENS_S):
            while not await _is_open(host, port):
                if self._serving.done():
                    await self._serving
                await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Take no more and let requests under way finish, for `drain_s` seconds at most."""
        self._server.stop()  # type: ignore[no-untyped-call]  # granian's own
        await asyncio.wait((self._serving,), timeout=self._limits.drain_s)
        self._serving.cancel()
        with suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(_KILL_S):
                await self._serving
        await self._until_its_threads_end()

    async def _until_its_threads_end(self) -> None:
        """One that still wants the interpreter when that ends aborts the process."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _KILL_S
        while _foreign_threads() - self._others and loop.time() < deadline:  # noqa: ASYNC110  nothing tells of them
            await asyncio.sleep(_POLL_S)

    def _granian(self, host: str, port: int) -> Server:
        head_bytes = self._bounds.url_bytes + self._bounds.header_bytes
        return Server(
            self._application,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            websockets=False,
            backlog=_BACKLOG,
            backpressure=self._limits.connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(self._limits.head_s * 1000), max_buffer_size=max(head_bytes, 64 * 1024)
            ),
            http2_settings=HTTP2Settings(
                initial_connection_window_size=self._limits.received_bytes,
                initial_stream_window_size=self._limits.received_bytes,
                keep_alive_interval=int(self._limits.stall_s * 1000),
                max_concurrent_streams=_STREAMS,
                max_headers_size=head_bytes,
            ),
            log_enabled=False,
            log_dictconfig=dict(_LOGGING),
            ssl_protocol_min=SSLProtocols.tls12,
            ssl_cert=self._certificate.chain if self._certificate is not None else None,
            ssl_key=self._certificate.key if self._certificate is not None else None,
        )


def _foreign_threads() -> set[str]:
    """The threads that are not Python's own, where the system tells."""
    own = {str(thread.native_id) for thread in threading.enumerate()}
    return {task.name for task in _THREADS.iterdir()} - own if _THREADS.is_dir() else set()


async def _is_open(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
