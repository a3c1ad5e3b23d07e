"""What every runner of the table over HTTP shares: the origin, the edge of the story at hand, and how one is played."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from edge.bounds import Bounds
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.origin import Origin, OriginFailed
from edge.upstream import upstream
from tests.edge.checking import ScriptedOrigin, check, marked, now_at
from tests.edge.table import EDGE_NAME, START, Case, Step
from tests.edge.under_test import edge_under_test
from tests.edge.wire import LOOPBACK, asked, origin_on_http

Serve = Callable[[Callable[[Request], Awaitable[Response]]], AbstractAsyncContextManager[int]]
"""Serves what answers, for the length of a block: the port."""


@dataclass
class Stage:
    """What all stories share: the origin, the listener's port, and the edge of the story at hand."""

    script: ScriptedOrigin
    upstream: Origin | None = None
    port: int = 0
    now: float = START
    region: str = ""
    is_away: bool = False
    work: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self) -> None:
        """An edge with an empty cache."""
        self.edge = edge_under_test(
            cache=MemoryCache(Bounds()), origin=self.upstream, clock=lambda: self.now, spawn=self._spawn
        )

    def expect(self, step: Step) -> None:
        """The step that follows."""
        self.now, self.region, self.is_away = now_at(step), step.region, False
        self.script.expect(step)

    async def say(self, request: Request) -> Response:
        """The origin. One that is away stays so: a client may find a kept connection closed, and try again."""
        if self.is_away:
            raise OriginFailed("still away")
        try:
            return await self.script(request)
        except OriginFailed:
            self.is_away = True
            raise

    async def answer(self, request: Request) -> Response:
        return await self.edge.handle(request, self.region)

    async def rest(self) -> None:
        """What goes on after the answer is done; raises what went wrong in it."""
        while self.work:
            await self.work.pop()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self.work.append(asyncio.create_task(work))

    async def play(self, case: Case, runner: str) -> None:
        """Tell a story through the server; raises AssertionError with the step that is wrong."""
        self.begin()
        for number, step in enumerate(marked(case, runner).steps, 1):
            self.expect(step)
            response = await asked(self.port, step.request)
            await self.rest()
            try:
                check(step, response, self.script.asked)
            except AssertionError as wrong:
                raise AssertionError(f"{case.says}, step {number}: {wrong}") from None


@asynccontextmanager
async def staged(serve: Serve) -> AsyncIterator[Stage]:
    """A stage whose edge stands behind a server, in front of an origin on HTTP."""
    stage = Stage(ScriptedOrigin())
    async with (
        origin_on_http(stage.say) as origin_port,
        upstream(f"http://{LOOPBACK}:{origin_port}", name=EDGE_NAME) as stage.upstream,
        serve(stage.answer) as stage.port,
    ):
        yield stage
