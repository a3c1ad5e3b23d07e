"""The edge as an ASGI application, for servers that speak what its own listener does not: HTTP/2 and TLS.

ASGI, not RSGI: there the path arrives decoded, fields beyond ASCII are dropped, a body that breaks off looks whole in
either direction, and a client that reads slowly is waited for with the whole answer in memory (granian 2.8, measured).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing, suppress
from typing import Any, Final, Generic, TypeVar

from edge.bounds import Bounds
from edge.http1 import head as heads
from edge.http1.head import Head, Refused
from edge.http1.limits import Limits
from edge.http1.service import Service
from edge.http1.written import is_bodiless, length_of
from edge.messages import Fields, Request, Response, Stream

T = TypeVar("T")
R = TypeVar("R")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Encoded = list[tuple[bytes, bytes]]

_PIECE_BYTES: Final = 64 * 1024
_UNSAYABLE: Final = "the origin's answer cannot be passed on"
_NO_HOST: Final = ("host", "")  # what granian makes of a request without one
_PRINTED: Final = re.compile(rb"[\x21-\x7e]*")
_CONTROL: Final = re.compile(rb"[\r\n\0]")


class Broken(Exception):
    """An answer that cannot be brought to its end: whoever hears it cuts the connection off."""


class _Gone(Exception):
    """The client went away."""


class Application(Generic[T]):
    """An ASGI application that answers as `service` does.

    An answer that breaks off raises Broken, so that nobody takes a part for the whole; a client that goes away ends
    the work done for it. A client that neither sends nor reads is waited for `limits.stall_s` seconds.
    """

    def __init__(
        self,
        service: Service[T],
        *,
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self._service = service
        self._bounds = bounds
        self._limits = limits
        self.under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Broken."""
        if scope["type"] != "http":
            raise Broken("only HTTP is spoken here")
        self.under_way += 1
        try:
            await self._serve(scope, _Client(scope["method"], receive, send, self._limits))
        except _Gone:
            pass
        finally:
            self.under_way -= 1

    async def _serve(self, scope: Message, client: "_Client") -> None:
        try:
            head = _head_of(scope, self._bounds)
            await client.expect_body(head, is_framed=scope["http_version"] in ("1.0", "1", "1.1"))
        except Refused as refused:
            await self._refuse(refused, client)
            return
        request = Request(head.method, head.path, head.headers, head.query)
        arrival = self._service.arrived(request, scope["client"][0] if scope.get("client") else "")
        response = await client.unless_gone(self._answer(arrival, client))
        try:
            fields = _encoded(response)
        except Refused as refused:
            if response.stream is not None:
                await response.stream.aclose()
            await self._refuse(refused, client)
            return
        await client.unless_gone(client.respond(response, fields))

    async def _refuse(self, refused: Refused, client: "_Client") -> None:
        response = self._service.refuse(refused)
        await client.unless_gone(client.respond(response, _encoded(response)))

    async def _answer(self, arrival: T, client: "_Client") -> Response:
        """The service's answer; a refusal where the body broke off under its hands."""
        try:
            response = await self._service.answer(arrival, client.pieces() if client.has_body else None)
        except Refused as refused:
            return self._service.refuse(refused)
        if client.fault is None:
            return response
        if response.stream is not None:
            await response.stream.aclose()
        return self._service.refuse(client.fault)


class _Client:
    """The other side of one request: its body, whether it is still there, and the way back to it."""

    def __init__(self, method: str, receive: Receive, send: Send, limits: Limits) -> None:
        self._method = method
        self._receive = receive
        self._send = send
        self._limits = limits
        self._first: Message | None = None
        self._is_read = True
        self.fault: Refused | None = None

    @property
    def has_body(self) -> bool:
        """Whether some of a body is to be read."""
        return not self._is_read

    async def expect_body(self, head: Head, *, is_framed: bool) -> None:
        """Find out whether a body follows: HTTP/1.1 says so beforehand, HTTP/2 when it comes. Raises Refused."""
        self._is_read = head.length == 0
        if self._is_read and not is_framed:
            self._first = await self._next()
            self._is_read = not self._first.get("body") and not self._first.get("more_body")

    async def pieces(self) -> Stream:
        """The content. Raises Refused where it breaks off."""
        while not self._is_read:
            message, self._first = self._first or await self._next(), None
            self._is_read = not message.get("more_body")
            if piece := message.get("body"):
                yield piece

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._limits.stall_s):
                message = await self._receive()
        except TimeoutError as exc:
            self.fault = Refused(408, "the request did not come to its end")
            raise self.fault from exc
        if message["type"] == "http.disconnect":
            self.fault = Refused(400, "the request broke off")
            raise self.fault
        return message

    async def unless_gone(self, work: Coroutine[Any, Any, R]) -> R:
        """What the work comes to; it is ended when the client goes away. Raises _Gone then.

        Who reads the body hears of that itself, so it is not listened for until the body is read.
        """
        task = asyncio.ensure_future(work)
        gone: asyncio.Future[None] | None = None
        try:
            await asyncio.wait((task,), timeout=self._limits.look_s)
            while not task.done() and not self._is_read:
                await asyncio.wait((task,), timeout=self._limits.look_s)
            if not task.done():
                gone = asyncio.ensure_future(self._until_gone())
                await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _Gone
            return await task
        finally:
            for one in (task, gone):
                if one is not None and not one.done():
                    one.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await one

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(self, response: Response, fields: Encoded) -> None:
        """Send an answer with these fields. Raises Broken if it could not be sent to its end."""
        stream = response.stream
        if stream is None:
            stream = _cut(b"" if is_bodiless(self._method, response.status) else response.body)
        start = {"type": "http.response.start", "status": response.status, "headers": fields}
        try:
            async with aclosing(stream):
                await self._send(start)
                if not is_bodiless(self._method, response.status):
                    await self._send_all(stream, length_of(response.headers))
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception as exc:
            raise Broken from exc

    async def _send_all(self, stream: Stream, left: int | None) -> None:
        async for piece in stream:
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise Broken("an answer longer than it said")
            async with asyncio.timeout(self._limits.stall_s):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        if left:
            raise Broken("an answer shorter than it said")


def _head_of(scope: Message, bounds: Bounds) -> Head:
    """The request line and the fields of a request. Raises Refused."""
    target: bytes = scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    if _PRINTED.fullmatch(target) is None:
        raise Refused(400, "the request line cannot be read")
    is_old = scope["http_version"] in ("1.0", "1")
    headers = _whole_cookie(
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    )
    headers = tuple(field for field in headers if field != _NO_HOST)
    return heads.understood(scope["method"], target.decode("ascii"), headers, bounds, is_old=is_old)


def _whole_cookie(headers: Fields) -> Fields:
    """The fields with one Cookie, which HTTP/2 lets a client split (RFC 9113 8.2.3)."""
    crumbs = [value for name, value in headers if name.lower() == "cookie"]
    if len(crumbs) < 2:
        return headers
    return (*(field for field in headers if field[0].lower() != "cookie"), ("cookie", "; ".join(crumbs)))


def _encoded(response: Response) -> Encoded:
    """The fields of an answer as they go out, the length of a whole body with them. Raises Refused."""
    fields = response.headers
    if response.body and length_of(fields) is None:
        fields = (*fields, ("Content-Length", str(len(response.body))))
    try:
        encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in fields]
    except UnicodeEncodeError as exc:
        raise Refused(502, _UNSAYABLE) from exc
    if not 200 <= response.status <= 999 or any(_CONTROL.search(value) for _, value in encoded):
        raise Refused(502, _UNSAYABLE)
    return encoded


async def _cut(body: bytes) -> Stream:
    """A whole body in pieces, so that a client that takes none of them can be told."""
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]
