"""What REDbot, which knows HTTP better than we do, has to say of everything that caches may share.

It looks at a gateway as in production, and at the same through an edge. It must have nothing bad to say and no warning.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from core.ids import Placement, make_id
from edge.aio import edge_handler
from edge.bounds import Bounds
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Request
from edge.reference import KINDS, PREFIX
from edge.upstream import upstream
from tests.system import ROOT, System
from tests.unit.gateway.test_keys import ED25519, pem

LOOPBACK: Final = "127.0.0.1"
GARAGE: Final = make_id(Placement(1, 7), now_ms=1, random_bits=1)
QATAR: Final = [("X-Region", "qa")]
ARABIC: Final = [("Accept-Language", "ar"), ("X-Region", "sa")]
PAGE: Final = f"<!doctype html><title>QScrap</title>{'<p>Parts of cars, in Doha and beyond.</p>' * 20}"
ANY: Final[list[tuple[str, str]]] = []
PATHS: Final = [
    (PREFIX, ANY),
    (PREFIX, QATAR),
    *((f"{PREFIX}/{kind.name}", headers) for kind in KINDS for headers in (ANY, QATAR, ARABIC)),
    (f"/api/v1/garages/{GARAGE}/reviews", ANY),
    ("/api/docs", ANY),
    ("/api/docs/init.js", ANY),
    ("/api/docs/swagger-ui.css", ANY),
    ("/api/openapi.json", ANY),
    ("/.well-known/jwks.json", ANY),
    ("/", ANY),
    ("/app.js", ANY),
    ("/none.js", ANY),
]


@pytest.fixture(scope="module")
async def servers(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    """A gateway, and an edge before it."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "app.js").write_text("console.log('Doha');\n" * 50)
    (folder / "index.html").write_text(PAGE)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            system.gateway(NODE_ENV="production", ASSETS_FOLDER=str(folder), JWT_PRIVATE_KEY=pem(ED25519))
        )
        assert client.runtime is not None
        gateway = f"http://{LOOPBACK}:{client.runtime.settings.port}"
        tasks: set[asyncio.Task[None]] = set()

        def spawn(work: Coroutine[None, None, None]) -> None:
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        origin = await stack.enter_async_context(upstream(gateway, name="meridian-qa"))
        cache = MemoryCache(Bounds())
        edge = Edge(
            name="meridian-qa", cache=cache, origin=origin, clock=time.time, spawn=spawn, languages=("en", "ar")
        )

        def admit(request: Request, _: str | None) -> tuple[Request, str]:
            return request, "qa"

        runner = web.ServerRunner(web.Server(edge_handler(edge.handle, admit=admit)))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield gateway, f"http://{LOOPBACK}:{runner.addresses[0][1]}"


async def noted(server: str) -> list[dict[str, str]]:
    """All that REDbot notes of a server's paths."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("droid.py"))),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        wanted = json.dumps([(server + path, headers) for path, headers in PATHS])
        said, failed = await asyncio.wait_for(process.communicate(wanted.encode()), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, failed.decode()
    notes: list[dict[str, str]] = json.loads(said)
    return notes


@pytest.mark.parametrize("which", [0, 1], ids=["gateway", "edge"])
async def test_redbot_has_nothing_bad_to_say_and_no_warning(servers: tuple[str, str], which: int) -> None:
    notes = await noted(servers[which])
    looked_at = {note["url"] for note in notes}
    assert looked_at == {servers[which] + path for path, _ in PATHS}
    assert {note["level"] for note in notes} <= {"good", "info", "warning", "bad"}, "all levels that there are"
    wrong = [note for note in notes if note["level"] in ("bad", "warning")]
    assert sorted({(note["url"].partition(LOOPBACK)[2], note["name"], note["subject"]) for note in wrong}) == []


async def test_redbot_finds_what_is_wrong(servers: tuple[str, str]) -> None:
    async def wrong(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x" * 500, headers={"Cache-Control": "public, max-age=x", "ETag": "none"})

    runner = web.ServerRunner(web.Server(wrong))
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        notes = await noted(f"http://{LOOPBACK}:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert {"bad", "warning"} & {note["level"] for note in notes}
