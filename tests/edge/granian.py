"""A service behind granian in this process, and services that note what they were asked."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edge.http1.limits import Limits
from edge.messages import Request, Response
from gateway.edge.certificate import Certificate
from gateway.edge.http2 import Http2Listener
from tests.edge.serving import Answer, Plain, body_of
from tests.edge.wire import LOOPBACK


@asynccontextmanager
async def on_granian(
    answer: Answer, *, certificate: Certificate | None = None, limits: Limits | None = None
) -> AsyncIterator[int]:
    """The port of granian with this service, for the length of the block."""
    listener = Http2Listener(Plain(answer), certificate=certificate, limits=limits or Limits())
    sock = socket.socket()
    sock.bind((LOOPBACK, 0))
    port = sock.getsockname()[1]
    await listener.start(sock)
    try:
        yield port
    finally:
        await listener.stop()


@dataclass
class Heard:
    """A service that notes what it was asked, and answers what a test has it answer."""

    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    response: Response = field(default_factory=lambda: Response(200, (), b"heard"))

    async def answer(self, request: Request) -> Response:
        """Note the request, read its body, and give the answer."""
        self.requests.append(request)
        self.begun.set()
        try:
            self.bodies.append(await body_of(request))
        finally:
            self.ended.set()
        return self.response


@dataclass
class Line:
    """A listener for many tests, each with a service of its own."""

    heard: Heard = field(default_factory=Heard)
    port: int = 0

    async def answer(self, request: Request) -> Response:
        return await self.heard.answer(request)
