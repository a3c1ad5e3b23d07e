"""A write that was sent is seen through to its end, whether or not its client waits for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from edge.bounds import Bounds
from edge.cache import Purge
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Request, Response, Stream
from tests.edge.background import Background
from tests.edge.body import Body

URLS = ("/kept", "/all")


@dataclass
class Writes:
    """An origin that says how many writes it began, and answers them when it is let; their body is read before."""

    answer: Response = field(default_factory=lambda: Response(200))
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    version: int = 1

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            said = (("Cache-Control", "max-age=60"), ("Cache-Groups", '"g", "h"'))
            return Response(200, said, str(self.version).encode())
        self.version += 1
        self.begun.set()
        if request.stream is not None:
            async for _ in request.stream:
                pass
        await self.open.wait()
        return self.answer


class SlowPurges(MemoryCache):
    """A cache whose purges take a while, as one of several processes does."""

    async def purge(self, purge: Purge, now: float) -> int:
        await asyncio.sleep(0)
        return await super().purge(purge, now)


class World:
    """An edge that keeps what `URLS` answer, and a write under way."""

    def __init__(self, origin: Writes, stream: Stream | None = None) -> None:
        self.origin, self.background = origin, Background()
        self.edge = Edge(
            name="e", cache=SlowPurges(Bounds()), origin=origin, clock=lambda: 1e9, spawn=self.background.spawn
        )
        self._request = Request("POST", "/all", stream=stream)

    async def began(self) -> asyncio.Task[Response]:
        """The write, once the origin has begun it."""
        assert await self.read() == [b"1", b"1"]
        task = asyncio.create_task(self.edge.handle(self._request, "qa"))
        await self.origin.begun.wait()
        assert await self.read() == [b"1", b"1"]
        return task

    async def read(self) -> Sequence[bytes]:
        """What the urls answer."""
        return [(await self.edge.handle(Request("GET", url), "qa")).body for url in URLS]


async def left(task: asyncio.Task[Response]) -> None:
    """The client goes away."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("body", [None, Body(b"a", b"b")])
async def test_a_write_whose_client_left_makes_obsolete_what_it_names_all_the_same(body: Body | None) -> None:
    world = World(Writes(Response(200, (("Cache-Group-Invalidation", '"g"'),))), body)
    await left(await world.began())
    world.origin.open.set()
    await world.background.done()
    assert await world.read() == [b"2", b"2"]
    assert body is None or body.is_closed


async def test_a_write_whose_client_leaves_between_two_purges_does_both() -> None:
    world = World(Writes(Response(200, (("Cache-Group-Invalidation", '"x", "y", "g"'),))))
    task = await world.began()
    world.origin.open.set()
    for _ in range(3):
        await asyncio.sleep(0)
    await left(task)
    await world.background.done()
    assert await world.read() == [b"2", b"2"]


async def test_a_write_whose_client_left_in_the_middle_of_its_body_ends_and_may_have_been_done() -> None:
    body = Body(b"a", hangs=True)
    world = World(Writes(), body)
    await left(await world.began())
    await world.background.done()
    assert body.is_closed
    assert await world.read() == [b"1", b"2"]


async def test_a_write_whose_body_breaks_off_is_a_failure() -> None:
    body = Body(b"a", fails=True)
    world = World(Writes(), body)
    task = await world.began()
    assert (await task).status == 502
    assert body.is_closed
    assert await world.read() == [b"1", b"2"]


async def test_the_answer_to_a_write_is_let_go_when_its_client_left() -> None:
    body = Body(b"one")
    world = World(Writes(Response(200, stream=body)))
    await left(await world.began())
    world.origin.open.set()
    await world.background.done()
    assert body.is_closed
