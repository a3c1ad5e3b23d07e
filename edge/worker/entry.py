"""The edge as a Cloudflare Python Worker: where a request is from, and an edge for it.

Every request has an edge of its own: the platform lets no request wait for what another one does, so requests do not
collapse here. They share values only: the table, what is shipped, what was read of purge marks, what failed just now.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import js  # type: ignore[import-not-found]
from workers import WorkerEntrypoint

from edge import purging
from edge.bounds import Bounds
from edge.failover import Failover
from edge.fields import beyond_connection
from edge.geography import Located, gateways_of, region_of, table_from_json
from edge.handler import Edge, Shipped
from edge.marks import Marks, Memory
from edge.messages import Fields, Request, Response
from edge.prepared import problem
from edge.reference import PREFIX, Reference
from edge.resting import Resting
from edge.vouching import HEADER, vouch
from edge.worker.cache import KeyValue, PlatformCache
from edge.worker.messages import CLIENT_HEADER, received, sent
from edge.worker.origin import Gateway

TABLE: Final = table_from_json(json.loads(Path(purging.__file__).with_name("table.json").read_text("utf-8")))
REFERENCE: Final = Reference(tuple(TABLE.regions.values()))
MEMORY: Final[Memory] = {}
FAILED: Final = Resting(Bounds().rest_s, Bounds().apart_urls)


@cache
def gateways(region: str) -> Failover | None:
    """The gateways that may answer for a region; None where the map names none."""
    found = [Gateway(base) for base in gateways_of(TABLE, region)]
    return Failover(found, clock=time.time) if found else None


class Default(WorkerEntrypoint):
    """Answers every request of the Worker.

    Bindings: `PURGES` (KV), `EDGE_URL`, `EDGE_NAME`, and the secrets `EDGE_SECRET` and `EDGE_PURGE_TOKEN`.
    """

    shipped: Shipped = staticmethod(REFERENCE.shipped)
    clock: Callable[[], float] = staticmethod(time.time)

    async def fetch(self, request: Any) -> Any:
        """The answer to a JavaScript Request, as a JavaScript Response."""
        raw = getattr(request, "js_object", request)
        asked = await received(raw)
        country = getattr(raw.cf, "country", None) if raw.cf else None
        located = region_of(TABLE, asked.field("X-Region"), str(country or ""))
        edge = self._edge(located, is_told=asked.path == purging.PATH)
        if asked.path == purging.PATH:
            response = await self._purged(asked, edge)
        elif located.is_refused and f"{asked.path}/".startswith(f"{PREFIX}/"):
            response = _refused(asked)
        else:
            response = await edge.handle(self._vouched(asked, located, raw), located.region)
        return sent(response, self._spawn)

    async def _purged(self, asked: Request, edge: Edge) -> Response:
        try:
            return await purging.answer(asked, edge, self._setting("EDGE_PURGE_TOKEN"))
        except OSError:
            said: Fields = (("Cache-Control", "no-store"), ("Retry-After", "2"))
            detail = "the purge could not be noted for the other data centres; send it again"
            return problem(asked, 503, "edge_unavailable", "The purge was not done everywhere", detail, said)

    def _edge(self, located: Located, *, is_told: bool) -> Edge:
        marks = Marks(KeyValue(self.env.PURGES), memory=MEMORY, clock=self.clock, new_id=lambda: secrets.token_hex(4))
        store = PlatformCache(
            js.caches.default,
            marks,
            base=self._setting("EDGE_URL"),
            clock=self.clock,
            spawn=self._spawn,
            is_told=is_told,
        )
        return Edge(
            name=self._setting("EDGE_NAME") or "meridian-edge",
            cache=store,
            origin=gateways(located.region),
            clock=self.clock,
            spawn=self._spawn,
            languages=("en", "ar"),
            shipped=self.shipped,
            failed=FAILED,
        )

    def _vouched(self, asked: Request, located: Located, raw: Any) -> Request:
        """The request as it goes on: with what the platform knows of the client, signed where there is a secret."""
        client = str(raw.headers.get(CLIENT_HEADER) or "")
        said: Fields = (("X-Forwarded-Proto", "https"), *((("X-Forwarded-For", client),) if client else ()))
        secret = self._setting("EDGE_SECRET")
        if secret:
            country, now = located.country or "", self.clock()
            value = vouch(secret.encode(), country=country, client=client, path=asked.path, now=now)
            said = (*said, (HEADER, value))
        return replace(asked, headers=(*beyond_connection(asked.headers), *said))

    def _setting(self, name: str) -> str:
        """A variable or secret of the Worker; empty if it is not set."""
        return str(getattr(self.env, name, None) or "")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self.ctx.waitUntil(asyncio.ensure_future(work))


def _refused(request: Request) -> Response:
    detail = "no region serves the country that the request comes from; name one in X-Region"
    said: Fields = (("Cache-Control", "no-store"),)
    return problem(request, 421, "region_unavailable", "No region serves this country", detail, said)
