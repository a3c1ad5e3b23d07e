"""The table, the platform's own scenes and the cache's promises, played inside Pyodide. `host.mjs` calls it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic

import entry  # type: ignore[import-not-found]
import host  # type: ignore[import-not-found]
from pyodide.ffi import create_proxy  # type: ignore[import-not-found]

from edge.messages import Response
from edge.worker.javascript import bytes_of, fields_of
from tests.edge.cache_contract import CONTRACT
from tests.edge.checking import check, marked
from tests.edge.pyodide import scenes
from tests.edge.pyodide.stage import GATEWAYS, clear, fetch, new_cache, region_country
from tests.edge.stories import STORIES
from tests.edge.table import Case, Step

TABLE = entry.TABLE


async def play() -> str:
    """Every story and scene; a JSON object of name -> what was wrong, null for nothing, and how long they took."""
    host.serve(create_proxy(GATEWAYS.answer))
    began = monotonic()
    alone = {name: replace(facts, residency=()) for name, facts in TABLE.regions.items()}
    entry.TABLE = replace(TABLE, regions=alone)
    stories = {}
    for number, case in enumerate(STORIES):
        stories[case.says] = await _wrong(partial(_told, marked(case, f"case-{number}")))
    entry.TABLE = TABLE
    acted = {name: await _wrong(getattr(scenes, name)) for name in scenes.names()}
    kept = {promise.__name__: await _wrong(partial(promise, new_cache())) for promise in CONTRACT}
    return json.dumps({"stories": stories, "scenes": acted, "promises": kept, "seconds": monotonic() - began})


async def _wrong(act: Callable[[], Awaitable[None]]) -> str | None:
    """What is wrong with a story or a scene, None if nothing is."""
    await clear()
    try:
        await act()
    except Exception as wrong:  # noqa: BLE001  whatever it is, it is this one's
        return f"{type(wrong).__name__}: {wrong}"
    return None


async def _told(case: Case) -> None:
    for number, step in enumerate(case.steps, 1):
        GATEWAYS.expect(step)
        try:
            check(step, await _answered(step), GATEWAYS.asked)
        except AssertionError as wrong:
            raise AssertionError(f"step {number}: {wrong}") from None


async def _answered(step: Step) -> Response:
    """The Worker's answer to a step, after all it does behind it."""
    answer, context = await fetch(step.request, country=region_country(step.region))
    body = await bytes_of(answer)
    await context.settled()
    return Response(answer.status, fields_of(answer.headers), body)
