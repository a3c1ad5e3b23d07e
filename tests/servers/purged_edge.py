"""The purge endpoint of an edge, for tests: it keeps what it was told, and can be down, slow or hostile.

While `holds` is not set it answers nobody.
"""

import asyncio
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from gateway.edges import PURGE_PATH, START_GROUP
from tests.system import free_port

TOKEN = "a-token-of-tests-for-purges-only"


@dataclass
class PurgedEdge:
    """One edge on a port of its own. `told` are the groups it was told, in order, without that of the start."""

    port: int = field(default_factory=free_port)
    token: str = TOKEN
    status: int = 200
    holds: asyncio.Event | None = None
    told: list[str] = field(default_factory=list)
    asked: int = 0
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post(PURGE_PATH, self._purge)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Close every connection and listen no more."""
        if self.runner is not None:
            await self.runner.cleanup()

    async def _purge(self, request: web.Request) -> web.Response:
        group = orjson.loads(await request.read())["group"]
        is_start = group == START_GROUP
        self.asked += not is_start
        if self.holds is not None and not is_start:
            await self.holds.wait()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        if self.status == 200 and not is_start:
            self.told.append(group)
        return web.Response(status=self.status)
