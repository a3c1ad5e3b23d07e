"""The one table of stories, over HTTP: the edge behind its own listener, its origin asked through its own client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.edge.serving import Answer, listening
from tests.edge.stage import Stage, staged
from tests.edge.stories import STORIES
from tests.edge.table import Case


@asynccontextmanager
async def _on_own_listener(answer: Answer) -> AsyncIterator[int]:
    async with listening(answer) as (port, _):
        yield port


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged(_on_own_listener) as stage:
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_answers_over_http(case: Case, stage: Stage) -> None:
    await stage.play(case, "http1")
