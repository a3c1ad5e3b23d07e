"""One connection of a client: its requests one after another, each read strictly and answered whole or cut off."""

import asyncio
import logging
from contextlib import suppress
from math import inf
from typing import Generic, TypeVar, cast

from edge.http1 import head as heads
from edge.http1.body import Chunked, Counted, Frame
from edge.http1.head import END, Head, Refused
from edge.http1.service import Shared
from edge.http1.written import Unwritable, head_of, is_bodiless, length_of
from edge.messages import Request, Response, Stream

_log = logging.getLogger(__name__)
T = TypeVar("T")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOINED_BYTES_MAX = 64 * 1024
_UNWRITABLE = Refused(502, "the origin's answer cannot be passed on")


class _Gone(Exception):
    """The client went away, or took too long."""


class Connection(asyncio.Protocol, Generic[T]):
    """Speaks HTTP/1.1 over one transport. `until` is the time of the shared clock when patience ends."""

    def __init__(self, shared: Shared[T], open_connections: "set[Connection[T]]") -> None:
        self._shared = shared
        self._open = open_connections
        self._received = bytearray()
        self._more: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._last_data = b""
        self._last: tuple[Head, T] | None = None
        self._is_late = False
        self._awaits_body = False
        self.until = inf
        self.idle = True

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._open.add(self)
        self.until = self._shared.clock() + self._shared.limits.head_s
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        # Most requests of a connection are like the one before; to answer such a one from what is kept takes no task.
        if data == self._last_data and self._is_answered():
            return
        self._received += data
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
        elif len(self._received) > self._shared.limits.received_bytes and not self._paused:
            self._transport.pause_reading()
            self._paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the listener asks for.

    def expire(self) -> None:
        """Patience has ended: cut it off; half a head, and half a body, are told why first."""
        is_half = bool(self._received) if self.idle else self._awaits_body
        if is_half and self._more is not None and not self._more.done():
            self._is_late, self.until = True, inf
            self._more.set_result(None)
        elif self.idle:
            self._transport.close()
        else:
            self.cut()

    def cut(self) -> None:
        """Cut it off; its request ends unanswered."""
        self._transport.abort()

    def close_if_idle(self) -> None:
        """Close it between two requests; one under way is its last."""
        if self.idle and not self._received:
            self._transport.close()

    # One request after another.

    async def _serve(self) -> None:
        try:
            while await self._answer_next():
                self.until = self._shared.clock() + self._shared.limits.idle_s
        except _Gone:
            self._transport.abort()
        except Exception:  # noqa: BLE001  a fault of ours ends one connection, and is told
            _log.exception("a connection failed")
            self._transport.abort()
        finally:
            self._transport.close()

    async def _answer_next(self) -> bool:
        try:
            head, arrival = await self._next()
        except Refused as refused:
            self._tell(self._shared.service.refuse(refused))
            await self._linger()
            return False
        self.idle, self.until = False, inf
        body = _Body(head, self) if head.length != 0 else None
        try:
            response = await self._shared.service.answer(arrival, None if body is None else body.pieces())
        except Refused as refused:
            response = self._shared.service.refuse(refused)
        if body is not None and body.fault is not None:
            self._tell(self._shared.service.refuse(body.fault))
            await self._linger()
            return False
        keep_alive = head.keep_alive and not self._shared.closing and (body is None or body.done)
        if head.is_old and response.stream is not None and length_of(response.headers) is None:
            keep_alive = False  # the end of the connection is the end of the answer
        if keep_alive and response.stream is None and head.method == "GET" and not head.is_old:
            is_whole = self._send_known(response)
            if self._writable is not None:
                await self._drained()
        else:
            is_whole = await self._send(head, response, keep_alive=keep_alive)
        self.idle = True
        if body is not None and not body.done:
            await self._linger()
        return keep_alive and is_whole

    async def _next(self) -> tuple[Head, T]:
        while self._last is None or self._received != self._last_data:
            end = self._received.find(END)
            if end >= 0:
                return self._understood(end + len(END))
            if self._received.startswith(b"\r\n"):  # RFC 9112 2.2: an empty line before a request is passed over
                del self._received[:2]
                continue
            self._require_whole_soon()
            is_first = not self._received
            await self.more()
            if is_first and self._received != self._last_data:
                self.until = self._shared.clock() + self._shared.limits.head_s
        self._received.clear()
        return self._last

    def _understood(self, size: int) -> tuple[Head, T]:
        data = bytes(self._received[:size])
        del self._received[:size]
        if self._last is not None and self._last_data == data:
            return self._last
        if size > self._shared.bounds.header_bytes:
            raise Refused(431, "header fields that are too long")
        head = heads.parse(data.lstrip(b"\r\n"), self._shared.bounds)
        request = Request(head.method, head.path, head.headers, head.query)
        self._last_data, self._last = data, (head, self._shared.service.arrived(request, self._peer))
        return self._last

    def _require_whole_soon(self) -> None:
        """Of half a head, whatever can be refused already."""
        if self._is_late:
            raise Refused(408, "the request did not come to its end")
        received, bounds = self._received, self._shared.bounds
        if received.count(b"\n") != received.count(b"\r\n"):
            raise Refused(400, "a line that ends in a bare LF")
        if len(received) > bounds.url_bytes and b"\n" not in received[: bounds.url_bytes + 64]:
            raise Refused(414, f"an address longer than {bounds.url_bytes} bytes")
        if len(received) > bounds.header_bytes:
            raise Refused(431, "header fields that are too long")

    async def more(self) -> None:
        """Wait until more was received."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._more = asyncio.get_running_loop().create_future()
        try:
            await self._more
        finally:
            self._more = None

    # Answers.

    def _is_answered(self) -> bool:
        """Answer a request that is like the one before, if it came by itself and there is nothing to wait for."""
        if self._last is None or self._more is None or self._more.done() or self._received or not self.idle:
            return False
        if self._writable is not None or self._shared.closing:
            return False
        head, arrival = self._last
        if head.method != "GET" or head.length != 0 or head.is_old or not head.keep_alive:
            return False
        response = self._shared.service.at_once(arrival)
        if response is None or len(response.body) > _JOINED_BYTES_MAX:
            return False
        self.until = self._shared.until_idle
        if not self._send_known(response):
            self._transport.close()
        return True

    def _send_known(self, response: Response) -> bool:
        """Send a whole answer that others may be getting too; whether that could be done.

        What is answered from a cache is one object for all who ask within the same second, and so are its bytes.
        """
        known = self._shared.known.get(id(response))
        if known is None:
            try:
                top = head_of(response, method="GET", date=self._shared.date, keep_alive=True, is_old=False)
            except Unwritable:
                self._tell(self._shared.service.refuse(_UNWRITABLE))
                return False
            body = b"" if is_bodiless("GET", response.status) else response.body
            if len(body) > _JOINED_BYTES_MAX:
                self._write(top, body)
                return True
            known = (response, top + body)
            self._shared.remember(known)
        self._transport.write(known[1])
        return True

    async def _send(self, head: Head, response: Response, *, keep_alive: bool) -> bool:
        """Send an answer; whether it was whole."""
        try:
            top = head_of(
                response, method=head.method, date=self._shared.date, keep_alive=keep_alive, is_old=head.is_old
            )
        except Unwritable:
            self._tell(self._shared.service.refuse(_UNWRITABLE))
            return False
        if response.stream is None:
            self._write(top, b"" if is_bodiless(head.method, response.status) else response.body)
            if self._writable is not None:
                await self._drained()
            return True
        return await self._send_stream(head, response, top, response.stream)

    async def _send_stream(self, head: Head, response: Response, top: bytes, stream: Stream) -> bool:
        try:
            self._transport.write(top)
            if is_bodiless(head.method, response.status):
                return True
            left = length_of(response.headers)
            chunked = left is None and not head.is_old
            async for piece in stream:
                if left is not None:
                    left -= len(piece)
                if left is not None and left < 0:
                    raise _Gone
                if piece:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await self._drained()
            if left:
                raise _Gone
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            return True
        except _Gone:
            raise
        except Exception as exc:
            raise _Gone from exc
        finally:
            await stream.aclose()

    def _write(self, top: bytes, body: bytes) -> None:
        if len(body) <= _JOINED_BYTES_MAX:
            self._transport.write(top + body)
        else:
            self._transport.write(top)
            self._transport.write(body)

    async def _drained(self) -> None:
        if self._writable is not None:
            self.until = self._shared.clock() + self._shared.limits.stall_s
            await self._writable
            self.until = inf
        if self._transport.is_closing():
            raise _Gone

    def _tell(self, response: Response) -> None:
        """Send a whole answer that is the connection's last."""
        with suppress(Unwritable):
            top = head_of(response, method="GET", date=self._shared.date, keep_alive=False, is_old=False)
            self._write(top, response.body)

    async def _linger(self) -> None:
        """Throw away what still comes: to close at once would reset the connection before the answer is read."""
        self.idle, self.until = False, self._shared.clock() + self._shared.limits.linger_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        while not self._transport.is_closing():
            self._received.clear()
            await self.more()

    # What the body of a request needs.

    def ask_for_body(self) -> None:
        """Tell a client that waits for it to send its body."""
        self._transport.write(CONTINUE)

    async def more_body(self, waited_s: float) -> float:
        """Wait until more of a body was received; for how long so far, after `waited_s`. Raises Refused if too long."""
        since = self._shared.clock()
        self.until = since + self._shared.limits.stall_s - waited_s
        self._awaits_body = True
        try:
            await self.more()
        finally:
            self._awaits_body = False
        if self._is_late:
            raise Refused(408, "the body came too slowly")
        self.until = inf
        return waited_s + self._shared.clock() - since

    @property
    def body_bytes_min(self) -> int:
        """What of a body lets patience begin anew."""
        return self._shared.limits.body_bytes_min

    @property
    def received(self) -> bytearray:
        """What came and was not taken."""
        return self._received


class _Body(Generic[T]):
    """The body of one request, taken from its connection piece by piece."""

    def __init__(self, head: Head, connection: Connection[T]) -> None:
        self._frame: Frame = Chunked() if head.length is None else Counted(head.length)
        self._expected = head.expects
        self._connection = connection
        self.fault: Refused | None = None

    @property
    def done(self) -> bool:
        """Whether all of it was taken."""
        return self._frame.done

    async def pieces(self) -> Stream:
        """The content. Raises Refused where it cannot be read."""
        if self._expected and not self._connection.received:
            self._connection.ask_for_body()
        waited_s, size = 0.0, 0
        while not self._frame.done:
            try:
                piece = self._frame.take(self._connection.received)
                if not piece and not self._frame.done:
                    waited_s = await self._connection.more_body(waited_s)
            except Refused as fault:
                self.fault = fault
                raise
            if piece:
                yield piece
                size += len(piece)
                if size >= self._connection.body_bytes_min:
                    waited_s, size = 0.0, 0
