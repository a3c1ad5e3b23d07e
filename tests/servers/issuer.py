"""An outside issuer of tokens for tests: a real server with a JWK set, which can hang, lie and go away."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from gateway.jwks import JWKS_TYPE, jwk_set
from gateway.keys import Key
from tests.system import free_port


@dataclass
class IssuerServer:
    """An issuer whose answer a test sets, on a port that stays the same when it goes and comes back."""

    keys: list[Key]
    answer: web.Response | None = None
    holds: asyncio.Event | None = None
    port: int = field(default_factory=free_port)
    asked: int = 0
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where its JWK set is."""
        return f"http://127.0.0.1:{self.port}/jwks"

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_get("/jwks", self._jwks)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Close every connection and listen no more."""
        if self.runner is not None:
            await self.runner.cleanup()

    async def _jwks(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.holds is not None:
            await self.holds.wait()
        return self.answer or web.Response(body=jwk_set(self.keys), content_type=JWKS_TYPE)
