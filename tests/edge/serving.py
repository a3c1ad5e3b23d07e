"""An edge behind its own HTTP/1.1 listener in this process, in front of an origin on HTTP."""

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from edge.bounds import Bounds
from edge.http1.head import Refused
from edge.http1.limits import Limits
from edge.http1.listener import Listener
from edge.http1.service import Service
from edge.messages import Request, Response, Stream
from edge.prepared import problem
from tests.edge.wire import LOOPBACK

T = TypeVar("T")
Answer = Callable[[Request], Awaitable[Response]]


class Plain:
    """A service that answers with a function of the request."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def arrived(self, request: Request, peer: str) -> Request:
        return request

    def at_once(self, arrival: Request) -> Response | None:
        return None

    async def answer(self, arrival: Request, stream: Stream | None) -> Response:
        return await self._answer(Request(arrival.method, arrival.path, arrival.headers, arrival.query, stream=stream))

    def refuse(self, refused: Refused) -> Response:
        return problem(Request("GET", "/"), refused.status, "malformed", "Refused", refused.reason, ())


@asynccontextmanager
async def listening(
    answer: Answer, *, limits: Limits | None = None, bounds: Bounds | None = None
) -> AsyncIterator[tuple[int, Listener[Request]]]:
    """A listener on a free port for the length of the block: the port, and the listener."""
    async with served(Plain(answer), limits=limits, bounds=bounds) as (port, listener):
        yield port, listener


@asynccontextmanager
async def served(
    service: Service[T], *, limits: Limits | None = None, bounds: Bounds | None = None
) -> AsyncIterator[tuple[int, Listener[T]]]:
    """The same for any service."""
    listener = Listener(service, wall=time.time, limits=limits or Limits(late_s=0.02), bounds=bounds or Bounds())
    sock = socket.create_server((LOOPBACK, 0))
    await listener.start(sock)
    try:
        yield sock.getsockname()[1], listener
    finally:
        await listener.stop()


async def body_of(request: Request) -> bytes:
    """The whole body of a request."""
    if request.stream is None:
        return request.body
    return b"".join([piece async for piece in request.stream])
