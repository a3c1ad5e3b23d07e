"""The composition root: the only place where the parts of a gateway are made and put together."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from aiohttp import ClientSession

from core.changes import OnChange, log_change
from core.database.token import TokenSigner
from core.fleet import Fleet
from core.ids import IdMaker
from core.limiter import Limiters
from core.limits import EDGE_FRESH_MAX_S
from core.sessions import SessionStore, open_sessions
from core.shard_map import Address, RegionSpec, ShardMap, load, single_server
from core.storage.opening import open_storage
from core.storage.storage import Storage
from edge.reference.reference import FRESHNESS
from gateway import jobs, migrations
from gateway.admission import Admission
from gateway.credentials import Credentials
from gateway.edges import Edges, Telling
from gateway.fixed import application_assets
from gateway.geography.resolve import Geography
from gateway.geography.trust import TrustedProxies
from gateway.jwks import Issuer
from gateway.map_watch import MapWatch
from gateway.marketplace import SERVICE
from gateway.metrics import Metrics
from gateway.passwords import Passwords
from gateway.reference import References
from gateway.runtime import MapInForce, Runtime
from gateway.settings import Settings, environment, secrets_of
from gateway.signing import Signer
from gateway.tasks import Tasks

_log = structlog.get_logger("gateway")


def shard_map_of(settings: Settings, values: Mapping[str, str]) -> ShardMap:
    """The map the settings name, or the guide's single server. Raises MapRefused, or Invalid for settings it needs."""
    if settings.shard_map is not None:
        shard_map = load(settings.shard_map, environment=values)
        require_stores(shard_map, settings)
        return shard_map
    replica = settings.db_read_replica_host
    return single_server(
        host=settings.db_host,
        port=settings.db_port,
        database=settings.db_name,
        user=settings.db_user,
        password=settings.db_password.get_secret_value(),
        replica=Address(replica, settings.db_read_replica_port) if replica else None,
        redis_url=None,
    )


@asynccontextmanager
async def running(
    settings: Settings,
    shard_map: ShardMap,
    *,
    variables: Callable[[], Mapping[str, str]] = environment,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Runtime]:
    """A whole gateway without its listeners, for the length of the block. Databases may be down: it starts and heals.

    `variables` fills in the `${...}` of a map file that changes while running.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        on_event = _teller(metrics)

        def open_store(region: RegionSpec) -> AbstractAsyncContextManager[SessionStore]:
            return open_sessions(
                redis_url=redis_url_of(region, settings),
                region=region.name,
                clock=lambda: datetime.now(UTC),
                on_change=on_event,
            )

        def open_files(region: RegionSpec) -> AbstractAsyncContextManager[Storage]:
            return open_storage(
                settings.storage.for_region(region.name, region.storage),
                region=region.name,
                spool_folder=settings.upload_folder / "spool" / region.name,
                clock=asyncio.get_running_loop().time,
                wall=lambda: datetime.fromtimestamp(now(), UTC),
                on_change=on_event,
            )

        fleet = Fleet(
            settings=settings.database,
            open_sessions=open_store,
            open_storage=open_files,
            clock=asyncio.get_running_loop().time,
            on_event=on_event,
        )
        stack.push_async_callback(fleet.close, settings.drain_s)
        limiters = Limiters(
            clock=asyncio.get_running_loop().time,
            wall=lambda: datetime.fromtimestamp(now(), UTC),
            on_event=on_event,
        )
        stack.push_async_callback(limiters.close)
        issuer = await stack.enter_async_context(_issuer(settings, now, on_event))
        edges = await stack.enter_async_context(_edges(settings, now, on_event, metrics))
        passwords = Passwords()
        stack.callback(passwords.close)
        parts = await stack.enter_async_context(SERVICE.open(variables()))
        runtime = _assemble(settings, shard_map, fleet, limiters, issuer, edges, passwords, metrics, parts, now)
        tasks = await stack.enter_async_context(Tasks())
        if _migrates(settings):
            await migrations.bring_up(runtime)
        await fleet.adopt(shard_map)
        await limiters.adopt(redis_urls(shard_map, settings))
        _start_tasks(tasks, runtime, variables)
        yield runtime


def _teller(metrics: Metrics) -> OnChange:
    """One log line and one metric for each change of state."""

    def tell(name: str, details: dict[str, object]) -> None:
        metrics.events.labels(name).inc()
        log_change(name, details)

    return tell


def _assemble(
    settings: Settings,
    shard_map: ShardMap,
    fleet: Fleet,
    limiters: Limiters,
    issuer: Issuer | None,
    edges: Edges,
    passwords: Passwords,
    metrics: Metrics,
    parts: Any,
    now: Callable[[], float],
) -> Runtime:
    made_up = secrets.token_hex(32)
    if settings.jwt_secret is None:
        _log.warning("JWT_SECRET is not set: tokens are signed with a secret that ends with this process")
    jwt_keys = secrets_of(settings.jwt_secret, settings.jwt_secret_previous, fallback=made_up)
    session_keys = jwt_keys
    if settings.session_secret:
        session_keys = secrets_of(settings.session_secret, settings.session_secret_previous, fallback=made_up)
    credentials = Credentials(
        jwt_keys,
        now=now,
        new_jti=lambda: uuid4().hex,
        signing=settings.signing_key,
        public=settings.public_keys,
        outside=issuer,
    )
    if issuer is not None:
        issuer.changed = credentials.forget_verified
    admission = Admission(
        settings.policies,
        limiters=limiters,
        digest=Signer(jwt_keys, purpose="limits").digest,
        map_in_force=lambda: runtime.map,
        refused=lambda policy: metrics.refused.labels(policy).inc(),
    )
    runtime = Runtime(
        settings=settings,
        fleet=fleet,
        map_in_force=MapInForce(shard_map, geography_of(shard_map, settings)),
        operations=tuple(SERVICE.api.operations),
        credentials=credentials,
        tokens=TokenSigner(jwt_keys),
        cursors=Signer(jwt_keys, purpose="cursor"),
        cookies=Signer(session_keys, purpose="session cookie"),
        receipts=Signer(jwt_keys, purpose="receipt"),
        passwords=passwords,
        metrics=metrics,
        admission=admission,
        issuer=issuer,
        edges=edges,
        assets=application_assets(settings.assets_folder) if settings.assets_folder else None,
        references=_references(settings, shard_map, edges),
        new_id=IdMaker(lambda: int(now() * 1000), secrets.randbits),
        load_session=SERVICE.load_session,
        parts=parts,
        now=now,
    )
    return runtime


@asynccontextmanager
async def _issuer(settings: Settings, now: Callable[[], float], on_event: OnChange) -> AsyncIterator[Issuer | None]:
    if settings.issuer is None:
        yield None
        return
    async with ClientSession() as session:
        yield Issuer(
            settings.issuer,
            session=session,
            clock=asyncio.get_running_loop().time,
            wall=lambda: datetime.fromtimestamp(now(), UTC),
            on_event=on_event,
        )


@asynccontextmanager
async def _edges(
    settings: Settings, now: Callable[[], float], on_event: OnChange, metrics: Metrics
) -> AsyncIterator[Edges]:
    """The edges to tell of changes; a change is seen by whoever is asked once the slowest replica read from has it."""
    token = settings.edge_purge_token
    async with ClientSession() as session:
        telling = Telling(
            token=token.get_secret_value() if token else "",
            session=session,
            clock=asyncio.get_running_loop().time,
            wall=lambda: datetime.fromtimestamp(now(), UTC),
            on_event=on_event,
            replicated_s=min(settings.db_replica_lag_max / 1000, EDGE_FRESH_MAX_S),
            count=lambda outcome: metrics.edges_told.labels(outcome).inc(),
        )
        yield Edges(settings.edges, telling)


def _references(settings: Settings, shard_map: ShardMap, edges: Edges) -> References:
    return References(
        shard_map,
        folder=settings.reference_folder,
        freshness=FRESHNESS if settings.is_production else "no-cache",
        is_told=edges.are_told,
        on_change=edges.changed,
    )


def redis_url_of(region: RegionSpec, settings: Settings) -> str | None:
    """The Redis of a region: its own, or the one of the settings; None where there is none."""
    own = region.sessions.redis_url
    if own is not None:
        return own.reveal()
    return settings.redis_url.get_secret_value() if settings.redis_url else None


def redis_urls(shard_map: ShardMap, settings: Settings) -> Mapping[str, str | None]:
    """The Redis of each region."""
    return {region.name: redis_url_of(region, settings) for region in shard_map.regions}


def require_stores(shard_map: ShardMap, settings: Settings) -> None:
    """Raise Invalid if a region of the map keeps its files in a store that the settings know nothing of."""
    for region in shard_map.regions:
        settings.storage.for_region(region.name, region.storage)


def geography_of(shard_map: ShardMap, settings: Settings) -> Geography:
    """The geography of a map under the settings' trust."""
    return Geography(shard_map, trusted=TrustedProxies.parse(settings.trusted_proxies))


def _migrates(settings: Settings) -> bool:
    """By default the single server migrates itself; with a map, operators run `meridian migrate`."""
    return settings.shard_map is None if settings.migrate_on_start is None else settings.migrate_on_start


def _start_tasks(tasks: Tasks, runtime: Runtime, variables: Callable[[], Mapping[str, str]]) -> None:
    if runtime.migration_faults:
        tasks.start("migrate", migrations.keep_trying(runtime))
    tasks.start("jobs", jobs.run(runtime, [*jobs.ENGINE_JOBS, *SERVICE.jobs]))
    if runtime.issuer is not None:
        tasks.start("issuer", runtime.issuer.run())
    if runtime.edges.are_told:
        tasks.start("edges", runtime.edges.run())
    if runtime.settings.reference_folder is not None:
        tasks.start("reference", runtime.references.run())
    if runtime.settings.shard_map is not None:
        tasks.start("map watch", _map_watch(runtime, runtime.settings.shard_map, variables).run())


def _map_watch(runtime: Runtime, path: Path, variables: Callable[[], Mapping[str, str]]) -> MapWatch:
    async def adopt(shard_map: ShardMap) -> None:
        require_stores(shard_map, runtime.settings)
        await runtime.references.adopt(shard_map)  # first: a region that is served has its reference data
        await runtime.fleet.adopt(shard_map)
        await runtime.admission.limiters.adopt(redis_urls(shard_map, runtime.settings))
        runtime.map = MapInForce(shard_map, geography_of(shard_map, runtime.settings))

    def refuse(reasons: str) -> None:
        runtime.map = MapInForce(runtime.map.shard_map, runtime.map.geography, reasons)

    return MapWatch(
        path,
        in_force=lambda: runtime.map.shard_map,
        environment=variables,
        adopt=adopt,
        refuse=refuse,
    )
