"""The HTTP surface that is not an operation: health, the API document and its page, and the admin port."""

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from core.breaker import BreakerState
from core.errors import Draining
from edge.aio import handler
from gateway import health
from gateway.boundary import CONTEXT
from gateway.caching import CACHE_CONTROL, CONTROL, Kind
from gateway.docs_page import add_docs
from gateway.fixed import ASSETS, fixed
from gateway.jwks import JWKS_PATH, JWKS_TYPE, jwk_set
from gateway.operations.dispatch import handler_of
from gateway.operations.openapi import document
from gateway.reference_routes import add_reference
from gateway.runtime import Runtime

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API_DOCUMENT = "/api/openapi.json"


def add_public(app: web.Application, runtime: Runtime) -> None:
    """Operations, health and the API document."""
    for operation in runtime.operations:
        answer = handler_of(operation, runtime)
        if operation.method == "GET":
            app.router.add_get(operation.path, answer)  # and HEAD with it
        else:
            app.router.add_route(operation.method, operation.path, answer)
    add_reference(app, runtime)
    add_health(app, runtime)
    text = orjson.dumps(document(runtime.operations))
    app.router.add_get(API_DOCUMENT, _named("openapi", fixed(text, "application/json", Kind.DOCUMENT)))
    add_docs(app)
    keys = jwk_set(runtime.credentials.keys)
    app.router.add_get(JWKS_PATH, _named("jwks", fixed(keys, JWKS_TYPE, Kind.KEYS)))
    if runtime.assets is not None:
        app.router.add_get(ASSETS, _named("assets", handler(runtime.assets.handle)))


def add_admin(app: web.Application, runtime: Runtime) -> None:
    """The admin port: health again, metrics, and the map in force. For operators on the machine, not for clients."""
    add_health(app, runtime)

    async def metrics(_: web.Request) -> web.Response:
        _refresh_gauges(runtime)
        return web.Response(
            body=runtime.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def map_in_force(_: web.Request) -> web.Response:
        return _json(_map_view(runtime))

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/map", map_in_force)


def add_health(app: web.Application, runtime: Runtime) -> None:
    """`/health`, `/health/live`, `/health/ready`, `/health/regions/{region}`."""

    async def whole(_: web.Request) -> web.Response:
        return _health(health.overall(runtime))

    async def live(_: web.Request) -> web.Response:
        return _json({"status": "OK"})

    async def ready(_: web.Request) -> web.Response:
        if runtime.draining:
            raise Draining("this server is stopping")
        return _json({"status": "OK"})

    async def region(request: web.Request) -> web.Response:
        return _health(health.of_region(runtime, request.match_info["region"]))

    for path, answer in (("", whole), ("/live", live), ("/ready", ready), ("/regions/{region}", region)):
        app.router.add_get(
            f"/health{path}", _named(f"health{path.partition('{')[0].rstrip('s/').replace('/', '_')}", answer)
        )


def _named(operation: str, answer: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[CONTEXT].operation = operation
        return await answer(request)

    return handle


def _health(found: health.Json) -> web.Response:
    return _json(found, status=503 if found["status"] == "DOWN" else 200)


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(value),
        content_type="application/json",
        headers={CACHE_CONTROL: CONTROL[Kind.STATE]},
    )


def _map_view(runtime: Runtime) -> health.Json:
    shard_map = runtime.map.shard_map
    return {
        "version": shard_map.version,
        "file": shard_map.file,
        "digest": shard_map.digest,
        "refused": runtime.map.refused or None,
        "regions": {
            name: {
                "code": region.spec.code,
                "countries": region.spec.countries,
                "epoch": region.ownership.epoch,
                "buckets": {str(shard): count for shard, count in region.ownership.counts().items()},
                "faults": region.faults,
            }
            for name, region in runtime.fleet.regions.items()
        },
    }


def _refresh_gauges(runtime: Runtime) -> None:
    metrics = runtime.metrics
    for number, edge in enumerate(runtime.edges.health(), start=1):
        metrics.edges_waiting.labels(str(number)).set(edge.waiting)
    for region in runtime.fleet.regions.values():
        for shard in region.shards.values():
            for at, node in shard.nodes.items():
                figures = node.figures
                for kind in ("total", "idle", "waiting"):
                    metrics.pool.labels(shard.name, str(at), kind).set(getattr(figures, kind))
                metrics.breaker.labels(shard.name, str(at)).set(node.breaker.state is not BreakerState.CLOSED)
                lag = shard.lag_ms(at)
                if lag is not None and at in shard.roles.replicas:
                    metrics.lag.labels(shard.name, str(at)).set(lag)
        storage = region.files.health()
        metrics.breaker.labels(region.spec.name, storage.configured).set(storage.breaker is not BreakerState.CLOSED)
        metrics.spooled.labels(region.spec.name).set(storage.spooled)
        present = health.region_health(region, runtime)["status"]
        for status in ("OK", "DEGRADED", "DOWN"):
            metrics.status.labels(region.spec.name, status).set(status == present)
