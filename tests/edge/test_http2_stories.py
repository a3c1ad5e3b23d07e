"""The one table of stories, over HTTP: the edge behind granian, its origin asked through its own client."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from edge.upstream import upstream
from tests.edge.checking import ScriptedOrigin, check, marked
from tests.edge.granian import on_granian
from tests.edge.stories import STORIES
from tests.edge.table import EDGE_NAME, Case
from tests.edge.test_http1_stories import Stage
from tests.edge.wire import LOOPBACK, asked, origin_on_http


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        stage = Stage(ScriptedOrigin())
        port = await stack.enter_async_context(origin_on_http(stage.say))
        stage.upstream = await stack.enter_async_context(upstream(f"http://{LOOPBACK}:{port}", name=EDGE_NAME))
        stage.port = await stack.enter_async_context(on_granian(stage.answer))
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_answers_behind_granian(case: Case, stage: Stage) -> None:
    stage.begin()
    for number, step in enumerate(marked(case, "http2").steps, 1):
        stage.expect(step)
        response = await asked(stage.port, step.request)
        await stage.rest()
        try:
            check(step, response, stage.script.asked)
        except AssertionError as wrong:
            raise AssertionError(f"{case.says}, step {number}: {wrong}") from None
