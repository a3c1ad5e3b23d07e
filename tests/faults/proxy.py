"""A TCP proxy before one dependency, to take the network away: refuse, cut, blackhole, delay, trickle."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

from tests.system import free_port

_CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards `port` on the loopback to `upstream`. What a method does holds for connections that are open and for new
    ones, until `heal`.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._delay_s = 0.0
        self._bytes_per_s: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def heal(self) -> None:
        """Forward everything again; what was held back goes on."""
        self._delay_s, self._bytes_per_s = 0.0, None
        self._open.set()
        if self._server is None:
            await self._listen()

    async def refuse(self) -> None:
        """Nobody listens any more, and open connections are reset: the machine answers, the server does not."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Reset every open connection; new ones pass."""
        for writer in self._writers:
            _reset(writer)

    def blackhole(self) -> None:
        """Take connections and bytes, and deliver nothing in either direction: the network that says nothing."""
        self._open.clear()

    def delay(self, seconds: float) -> None:
        """Deliver every chunk so much later."""
        self._delay_s = seconds

    def trickle(self, bytes_per_s: int) -> None:
        """Deliver so slowly."""
        self._bytes_per_s = bytes_per_s

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._serving.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        self._writers.add(up_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer))
                group.create_task(self._pump(up_reader, writer))
        except* OSError:
            _reset(writer)
        finally:
            self._writers.discard(up_writer)
            up_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._open.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._deliver(chunk, writer)
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _deliver(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        while chunk:
            rate = self._bytes_per_s
            part = chunk if rate is None else chunk[: max(1, rate // 20)]
            writer.write(part)
            await writer.drain()
            chunk = chunk[len(part) :]
            if rate is not None:
                await asyncio.sleep(len(part) / rate)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a machine that knows nothing of the connection would."""
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
