"""The one table of stories, over HTTP: the edge behind its own listener, its origin asked through its own client."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from edge.bounds import Bounds
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.origin import Origin, OriginFailed
from edge.upstream import upstream
from tests.edge.checking import ScriptedOrigin, check, marked, now_at
from tests.edge.serving import listening
from tests.edge.stories import STORIES
from tests.edge.table import EDGE_NAME, START, Case, Step
from tests.edge.under_test import edge_under_test
from tests.edge.wire import asked, origin_on_http


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


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        stage = Stage(ScriptedOrigin())
        port = await stack.enter_async_context(origin_on_http(stage.say))
        stage.upstream = await stack.enter_async_context(upstream(f"http://127.0.0.1:{port}", name=EDGE_NAME))
        stage.port, _ = await stack.enter_async_context(listening(stage.answer))
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_answers_over_http(case: Case, stage: Stage) -> None:
    stage.begin()
    for number, step in enumerate(marked(case, "http1").steps, 1):
        stage.expect(step)
        response = await asked(stage.port, step.request)
        await stage.rest()
        try:
            check(step, response, stage.script.asked)
        except AssertionError as wrong:
            raise AssertionError(f"{case.says}, step {number}: {wrong}") from None
