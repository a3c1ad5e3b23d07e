"""The one table of stories, over HTTP: the edge behind granian, its origin asked through its own client."""

from collections.abc import AsyncIterator

import pytest

from tests.edge.granian import on_granian
from tests.edge.stage import Stage, staged
from tests.edge.stories import STORIES
from tests.edge.table import Case


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged(on_granian) as stage:
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_answers_behind_granian(case: Case, stage: Stage) -> None:
    await stage.play(case, "http2")
