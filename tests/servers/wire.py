"""A TCP proxy in front of a server of the tests: it cuts, holds, spoils or slows what passes through it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

_PIECE_BYTES = 16 * 1024
_BUFFER_BYTES = 64 * 1024
_SEGMENT_BYTES = 1460

Way = Literal["up", "down"]
"""From the client to the server, and back."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the byte with this number (from 0, over all connections) and those after it.

    cut: the connection breaks off. hold: nothing arrives any more. spoil: this one byte arrives changed.
    """

    kind: Literal["cut", "hold", "spoil"]
    way: Way
    at_byte: int


class Wire:
    """Passes bytes between `port` and a server's port. No more than `bytes_per_s` in each connection and way."""

    def __init__(self, target_port: int, *, bytes_per_s: float | None = None) -> None:
        self.port = 0
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s
        self._fault: Fault | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open_connections(self) -> int:
        """Those that neither end has closed."""
        return len(self._tasks)

    def fault(self, fault: Fault | None) -> None:
        """From now on; bytes are counted from here."""
        self.passed = {"up": 0, "down": 0}
        self._fault = fault

    def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection, and keep it until either end closes it."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cut what is still connected."""
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):  # the server is down, and so is the wire
                there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
                try:
                    await self._join(reader, writer, there, back)
                finally:
                    back.transport.abort()
        finally:
            writer.transport.abort()

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        ways = [self._pump(reader, back, "up"), self._pump(there, writer, "down")]
        pumps = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        while data := await reader.read(_PIECE_BYTES):
            if self._bytes_per_s:
                await asyncio.sleep(len(data) / self._bytes_per_s)
            writer.write(self._after_fault(data, way))
            await writer.drain()

    def _after_fault(self, data: bytes, way: Way) -> bytes:
        """What arrives of these bytes. Raises ConnectionResetError for a cut."""
        start, self.passed[way] = self.passed[way], self.passed[way] + len(data)
        fault = self._fault
        if fault is None or fault.way != way or self.passed[way] <= fault.at_byte:
            return data
        place = max(0, fault.at_byte - start)
        if fault.kind == "cut":
            raise ConnectionResetError
        if fault.kind == "hold":
            return data[:place]
        return data if start > fault.at_byte else data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@asynccontextmanager
async def wired(target_port: int, *, bytes_per_s: float | None = None) -> AsyncIterator[Wire]:
    """A wire to that port."""
    wire = Wire(target_port, bytes_per_s=bytes_per_s)
    # The loopback's segments of 64 KiB let the kernel take whole files at once, and nothing would be slow to send: with
    # an Ethernet's segments and a small buffer it takes as much as on a real network.
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    server = await asyncio.start_server(wire.connect, sock=listener, limit=_PIECE_BYTES)
    wire.port = int(listener.getsockname()[1])

    try:
        yield wire
    finally:
        server.close()
        await wire.close()
