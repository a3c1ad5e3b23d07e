"""The Worker on a stage: its entry with the table's clock and data, and requests as the platform hands them over."""

import asyncio
from itertools import count
from typing import Any

import entry  # type: ignore[import-not-found]
import host  # type: ignore[import-not-found]
import js  # type: ignore[import-not-found]

from edge.marks import Marks
from edge.messages import Request
from edge.worker.cache import KeyValue, PlatformCache
from edge.worker.javascript import js_bytes, js_headers, options
from tests.edge.cache_contract import NOW
from tests.edge.pyodide.gateways import Gateways
from tests.edge.stories_static import shipped
from tests.edge.table import EDGE_NAME

EDGE_URL = "https://edge.example"
CLIENT = "203.0.113.9"
SECRET, TOKEN = "e" * 32, "p" * 32
GATEWAYS = Gateways()
_NUMBERS = count()


class UnderTest(entry.Default):  # type: ignore[misc]
    """The Worker with the table's clock, and with what the table has it ship."""

    shipped = staticmethod(shipped)
    clock = staticmethod(lambda: GATEWAYS.now)


async def clear() -> None:
    """As if nothing had ever been purged, and no gateway had been away."""
    entry.gateways.cache_clear()
    if await host.PURGES.clear():
        entry.MEMORY.clear()


def region_country(region: str) -> str:
    """A country of the region."""
    country: str = entry.TABLE.regions[region].countries[0]
    return country


def new_cache() -> PlatformCache:
    """The cache of a request that tells of its purges, in a data centre of its own."""
    marks = Marks(KeyValue(host.PURGES), memory={}, clock=lambda: NOW, new_id=lambda: f"purge-{next(_NUMBERS)}")
    base = f"https://data-centre-{next(_NUMBERS)}.example"
    return PlatformCache(
        js.caches.default, marks, base=base, clock=lambda: NOW, spawn=asyncio.ensure_future, is_told=True
    )


async def fetch(request: Request, *, country: str | None = "QA", body: Any = None, **settings: Any) -> tuple[Any, Any]:
    """The Worker's answer to a request from a country, and its context: what it still does is done when that settles.

    `body` is a JavaScript stream in the place of the request's own. `settings` take the place of the Worker's.
    """
    context = host.context()
    usual = {"EDGE_NAME": EDGE_NAME, "EDGE_URL": EDGE_URL, "EDGE_SECRET": SECRET, "EDGE_PURGE_TOKEN": TOKEN}
    env = options(**usual)
    env.PURGES = host.PURGES
    for name, value in settings.items():
        setattr(env, name, value)
    return await UnderTest(context, env).fetch(_as_javascript(request, country, body)), context


def _as_javascript(request: Request, country: str | None, body: Any) -> Any:
    init = options(method=request.method, cf={"country": country} if country else {"colo": "DOH"}, duplex="half")
    init.headers = js_headers((*request.headers, ("CF-Connecting-IP", CLIENT), ("CF-Ray", "8")))
    if body is not None:
        init.body = body
    elif request.body:
        init.body = js_bytes(request.body)
    return js.Request.new(EDGE_URL + request.url, init)
