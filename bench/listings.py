"""Every listing of the service, how to call it, and what it sends to the database: for the plans and for the tests."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

import asyncpg
from aiohttp import ClientSession

from bench.seed import Known
from core.database.pool import Pool
from core.database.statement import Lock, Row
from core.shard_map import RegionName, ShardMap
from gateway import jobs
from gateway.app import running
from gateway.credentials import User
from gateway.marketplace.days import today
from gateway.operations import Items
from gateway.operations.operation import Operation
from gateway.runtime import Runtime
from gateway.server import listening
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Listing:
    """One way to call a listing: as whom, where (`{garage}` and the like are filled in), and what to ask for."""

    role: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    paged: bool = True


_DAYS: Final = {"from": "{first}", "to": "{last}"}
LISTINGS: Final[Mapping[str, Sequence[Listing]]] = {
    "vehicles_own": [Listing("customer", "/vehicles", paged=False)],
    "addresses_own": [Listing("customer", "/addresses", paged=False)],
    "requests_own": [Listing("customer", "/requests")],
    "feed_open_requests": [
        Listing("garage", "/requests/open"),
        Listing("garage", "/requests/open", {"sort": "fewest_bids"}),
        Listing("garage", "/requests/open", {"make": "toyota", "condition": "used"}),
        Listing("garage", "/requests/open", {"category": "Lights"}),
    ],
    "bids_of_request": [
        Listing("customer", "/requests/{request}/bids"),
        Listing("staff", "/requests/{request}/bids"),
    ],
    "bids_own": [Listing("garage", "/bids")],
    "orders_own": [
        Listing("customer", "/orders"),
        Listing("garage", "/orders"),
        Listing("garage", "/orders", {"status": "completed"}),
        Listing("driver", "/orders"),
        Listing("staff", "/orders"),
        Listing("staff", "/orders", {"status": "completed"}),
    ],
    "payments_of_order": [Listing("customer", "/orders/{order}/payments", paged=False)],
    "orders_history": [Listing("customer", "/orders/{order}/history", paged=False)],
    "deliveries_own": [Listing("driver", "/deliveries"), Listing("driver", "/deliveries", {"status": "done"})],
    "deliveries_drivers": [Listing("staff", "/drivers")],
    "disputes_listed": [
        Listing("customer", "/disputes"),
        Listing("garage", "/disputes"),
        Listing("staff", "/disputes"),
    ],
    "reviews_of_garage": [Listing("customer", "/garages/{garage}/reviews")],
    "reviews_pending": [Listing("staff", "/reviews/pending")],
    "notifications_own": [
        Listing("customer", "/notifications"),
        Listing("customer", "/notifications", {"unread": "true"}),
    ],
    "notifications_unread_count": [Listing("customer", "/notifications/unread-count", paged=False)],
    "dashboard_dashboard": [
        Listing("customer", "/dashboard", paged=False),
        Listing("garage", "/dashboard", paged=False),
        Listing("staff", "/dashboard", paged=False),
    ],
    "reports_orders": [Listing("staff", "/reports/orders", _DAYS)],
    "reports_revenue": [Listing("staff", "/reports/revenue", _DAYS)],
    "reports_disputes": [Listing("staff", "/reports/disputes", _DAYS)],
    "reports_deliveries": [Listing("staff", "/reports/deliveries", _DAYS)],
    "reports_garages": [Listing("staff", "/reports/garages", _DAYS)],
    "search_search": [
        Listing("customer", "/search", {"q": "mirror"}),
        Listing("garage", "/search", {"q": "mirror"}),
        Listing("driver", "/search", {"q": "mirror"}),
        Listing("staff", "/search", {"q": "toyota"}),
        Listing("staff", "/search", {"q": "sonata gearbox"}),
        Listing("staff", "/search", {"q": "salwa rod", "kind": "garage"}, paged=False),
        Listing("staff", "/search", {"q": "{number}"}),
    ],
}
"""By the operation's name. A listing that is not here fails `tests/integration/test_listings.py`."""


def listings_of(operations: Sequence[Operation]) -> set[str]:
    """The names of the operations that list or count what may be many."""
    return {o.name for o in operations if _is_list(o.result)} | {"dashboard_dashboard", "notifications_unread_count"}


def _is_list(result: Any) -> bool:
    return isinstance(result, type) and issubclass(result, Items)


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement that a call has sent: to which port of the loopback, and with what."""

    port: int
    sql: str
    args: Sequence[object]


_SERVING: Final[ContextVar[bool]] = ContextVar("serving", default=False)


@contextmanager
def recorded(database: str) -> Iterator[list[Sent]]:
    """The statements that calls of this process's gateways send to a database meanwhile; not their background work."""
    sent: list[Sent] = []
    fetch = Pool.fetch

    async def recording(
        pool: Pool, sql: str, args: Sequence[object], *, deadline: float, writes: bool, lock: Lock | None = None
    ) -> list[Row]:
        named: Any = pool._pool  # asyncpg keeps to itself what a pool connects to
        if _SERVING.get() and named._connect_kwargs["database"] == database:
            sent.append(Sent(pool._at.port, sql, args))
        return await fetch(pool, sql, args, deadline=deadline, writes=writes, lock=lock)

    with patch.object(Pool, "fetch", recording):
        yield sent


@dataclass(frozen=True, slots=True)
class Asker:
    """Calls listings of a gateway of its own as known people, with no login."""

    runtime: Runtime
    session: ClientSession
    region: str
    known: Known
    places: Mapping[str, str]

    @property
    def database(self) -> str:
        """The database of the region's shards."""
        return self.runtime.fleet.regions[RegionName(self.region)].spec.shards[0].database

    def credentials(self, role: str) -> dict[str, str]:
        """The header that says who asks."""
        user = User(getattr(self.known, "staff" if role == "admin" else role), role, self.region, uuid4())
        return {"Authorization": f"Bearer {self.runtime.credentials.issue(user, generation=0).access_token}"}

    async def ask(self, listing: Listing, **more: int) -> Any:
        """What the listing answers. Raises AssertionError for anything but 200."""
        query = {name: value.format(**self.places) for name, value in listing.query.items()}
        path = "/api/v1" + listing.path.format(**self.places)
        headers = self.credentials(listing.role)
        async with self.session.get(path, params={**query, **more}, headers=headers) as answer:
            body = await answer.json()
            assert answer.status == 200, f"{path}: {body}"
            return body


@asynccontextmanager
async def gateway(
    settings: Settings, shard_map: ShardMap, variables: Mapping[str, str]
) -> AsyncIterator[tuple[Runtime, ClientSession]]:
    """A gateway in this process, really listening, whose data nothing changes by itself: it does no jobs.

    Only what its requests do counts as sent by calls.
    """
    async with AsyncExitStack() as stack:
        with patch.object(jobs, "run", _nothing):
            runtime = await stack.enter_async_context(running(settings, shard_map, variables=lambda: variables))
        _SERVING.set(True)  # what is started from here on belongs to connections
        try:
            async with listening(runtime), ClientSession(f"http://127.0.0.1:{settings.port}") as session:
                yield runtime, session
        finally:
            _SERVING.set(False)


async def _nothing(*_: object) -> None:
    """Instead of the jobs."""


async def places_of(
    connection: "asyncpg.Connection[asyncpg.Record]", runtime: Runtime, region: RegionName, known: Known, days: int
) -> dict[str, str]:
    """What stands for the names in paths and queries, on a seeded shard: the newest of the known customer's."""
    last = today(runtime.fleet.regions[region].spec, runtime.now())
    newest = "SELECT id FROM marketplace.{} WHERE customer = $1 {} ORDER BY id DESC LIMIT 1"
    number = await connection.fetchval("SELECT number FROM marketplace.orders LIMIT 1")
    return {
        "number": number[:4],
        "garage": str(known.garage),
        "request": str(await connection.fetchval(newest.format("request", "AND bids > 0"), known.customer)),
        "order": str(await connection.fetchval(newest.format("orders", ""), known.customer)),
        "first": str(last - timedelta(days=min(days, 365))),
        "last": str(last),
    }
