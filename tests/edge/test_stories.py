"""The one table of stories, played on the pure edge in this process."""

import pytest

from edge.bounds import Bounds
from edge.memory import MemoryCache
from tests.edge.background import Background
from tests.edge.checking import ScriptedOrigin, check, now_at
from tests.edge.stories import STORIES
from tests.edge.table import START, Case
from tests.edge.under_test import edge_under_test


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_pure_edge_answers(case: Case) -> None:
    origin, background, now = ScriptedOrigin(), Background(), START
    edge = edge_under_test(cache=MemoryCache(Bounds()), origin=origin, clock=lambda: now, spawn=background.spawn)
    for number, step in enumerate(case.steps, 1):
        now = now_at(step)
        origin.expect(step)
        response = await edge.handle(step.request, step.region)
        await background.done()
        try:
            check(step, response, origin.asked)
        except AssertionError as wrong:
            raise AssertionError(f"{case.says}, step {number}: {wrong}") from None


def test_every_story_has_a_sentence_of_its_own() -> None:
    assert len({case.says for case in STORIES}) == len(STORIES) >= 120
