"""A write that was sent goes on to its end, even when its client has left: only so is it known what it did."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing

from edge.collapsing import Spawn, closed
from edge.messages import Request, Response, Stream

Sent = Callable[[Request], Coroutine[None, None, Response]]
"""Sends a request, and does what its answer asks for."""


async def seen_through(send: Sent, request: Request, spawn: Spawn) -> Response:
    """What sending the request comes to. While its body is still coming from the client, it ends with the client."""
    body = _Body(request)
    outcome: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    spawn(_settled(send(body.request), body, outcome))
    try:
        return await outcome
    except asyncio.CancelledError:
        if outcome.done() and not outcome.cancelled() and outcome.exception() is None:
            _let_go(outcome.result(), spawn)
        raise


async def _settled(work: Coroutine[None, None, Response], body: "_Body", outcome: asyncio.Future[Response]) -> None:
    task = asyncio.current_task()
    assert task is not None

    def stop_if_unsent(_: object) -> None:
        if outcome.cancelled() and not body.is_read:
            task.cancel()

    outcome.add_done_callback(stop_if_unsent)
    try:
        response = await work
    except asyncio.CancelledError:
        if not outcome.cancelled():
            outcome.cancel()
            raise
    except Exception as exc:  # noqa: BLE001  whoever waits has it
        if not outcome.done():
            outcome.set_exception(exc)
    else:
        if not outcome.done():
            outcome.set_result(response)
        elif response.stream is not None:
            await response.stream.aclose()


class _Body:
    """The body of a request, which knows when it was read to its end."""

    def __init__(self, request: Request) -> None:
        self.is_read = request.stream is None
        stream = self._pieces(request.stream) if request.stream is not None else None
        self.request = Request(request.method, request.path, request.headers, request.query, request.body, stream)

    async def _pieces(self, stream: Stream) -> Stream:
        async with aclosing(stream):
            async for piece in stream:
                yield piece
        self.is_read = True


def _let_go(response: Response, spawn: Spawn) -> None:
    if response.stream is not None:
        spawn(closed(response.stream))
