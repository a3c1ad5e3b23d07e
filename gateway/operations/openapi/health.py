"""The health pages in the API document: their shapes are `gateway.health`'s own, not those of an operation's models."""

from collections.abc import Iterable
from typing import Any, Final

from gateway.boundary import REQUEST_ID, TIMEOUT
from gateway.operations.openapi import problems
from gateway.operations.openapi.headers import answered, ref_to

Json = dict[str, Any]
TAG: Final = "health"


def _object(description: str, /, *, optional: Iterable[str] = (), **properties: Json) -> Json:
    required = [name for name in properties if name not in set(optional)]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _map_of(schema: Json) -> Json:
    return {"type": "object", "additionalProperties": schema}


_TEXT: Final[Json] = {"type": "string"}
_WHOLE: Final[Json] = {"type": "integer"}
_NUMBER: Final[Json] = {"type": "number"}
_YES_NO: Final[Json] = {"type": "boolean"}
_STATUS: Final[Json] = {
    "type": "string",
    "enum": ["OK", "DEGRADED", "DOWN"],
    "description": "DEGRADED: something fell back, and all is served. DOWN: a shard cannot be written to.",
}

_STORE: Final[Json] = {"type": "string", "enum": ["S3", "Azure", "Local"]}
_BREAKER: Final[Json] = {"type": "string", "enum": ["closed", "open", "half_open"]}

SCHEMAS: Final[dict[str, Json]] = {
    "Health": _object(
        "The whole system. `database`, `redis` and `storage` are the home region's.",
        optional=["edges", "reference"],
        success=_YES_NO,
        status=_STATUS,
        timestamp={"type": "string", "format": "date-time"},
        environment=_TEXT,
        uptime={"type": "number", "description": "Seconds."},
        database=_object("", primary=_or_null(_ref("PoolHealth")), replica=_or_null(_ref("PoolHealth"))),
        redis=_object("", connected=_YES_NO),
        storage=_STORE,
        regions=_map_of(_ref("RegionHealth")),
        edges={"type": "array", "items": _ref("EdgeHealth"), "description": "Those that are told of changes."},
        reference=_object("Only while an operator's reference data are refused: why.", refused=_TEXT),
        map=_object("The shard map in force.", optional=["refused"], version=_WHOLE, epoch=_WHOLE, refused={}),
    ),
    "RegionHealth": _object(
        "One region, by what probes last saw.",
        status=_STATUS,
        shards=_map_of(_ref("ShardHealth")),
        sessions=_object("", store=_TEXT, connected=_YES_NO),
        storage=_object(
            "`store` takes new files now; `spooled` files wait on a server's disk for the `configured` one.",
            store=_STORE,
            configured=_STORE,
            connected=_YES_NO,
            breaker=_BREAKER,
            fallback_since=_or_null({"type": "string", "format": "date-time"}),
            spooled=_WHOLE,
        ),
        limits=_object(
            "Rate limits: `shared` while they hold over all servers of the region; `since` when they do not.",
            enabled=_YES_NO,
            shared=_YES_NO,
            since=_or_null({"type": "string", "format": "date-time"}),
        ),
    ),
    "ShardHealth": _object(
        "One shard: its primary, its replicas and the lag of the slowest.",
        optional=["trouble"],
        status=_STATUS,
        primary=_ref("NodeHealth"),
        replicas={"type": "array", "items": _ref("NodeHealth")},
        lag_ms=_or_null(_NUMBER),
        trouble=_TEXT,
    ),
    "PoolHealth": _object("Connections.", connected=_YES_NO, total=_WHOLE, idle=_WHOLE, waiting=_WHOLE),
    "NodeHealth": _object(
        "One server, and whether it was just seen in its role.",
        optional=["lag_ms", "reason"],
        connected=_YES_NO,
        total=_WHOLE,
        idle=_WHOLE,
        waiting=_WHOLE,
        breaker=_BREAKER,
        lag_ms=_or_null(_NUMBER),
        reason=_TEXT,
    ),
    "EdgeHealth": _object(
        "Whether an edge took what it was last told (null: nothing yet), since when it does not, and what waits.",
        connected=_or_null(_YES_NO),
        since=_or_null({"type": "string", "format": "date-time"}),
        reason=_TEXT,
        waiting=_WHOLE,
    ),
    "Liveness": _object("It answers.", status={"type": "string", "const": "OK"}),
}

_POOL: Final[Json] = {"connected": True, "total": 20, "idle": 15, "waiting": 0}
_NODE: Final[Json] = {**_POOL, "breaker": "closed"}
_REGION_EXAMPLE: Final[Json] = {
    "status": "OK",
    "shards": {
        "qa-1": {"status": "OK", "primary": _NODE, "replicas": [{**_NODE, "lag_ms": 3}], "lag_ms": 3},
    },
    "sessions": {"store": "redis", "connected": True},
    "storage": {
        "store": "S3",
        "configured": "S3",
        "connected": True,
        "breaker": "closed",
        "fallback_since": None,
        "spooled": 0,
    },
    "limits": {"enabled": True, "shared": True, "since": None},
}
_EXAMPLE: Final[Json] = {
    "success": True,
    "status": "OK",
    "timestamp": "2026-11-23T10:00:00.000Z",
    "environment": "production",
    "uptime": 3600.5,
    "database": {"primary": _POOL, "replica": {"connected": True, "total": 30, "idle": 25, "waiting": 0}},
    "redis": {"connected": True},
    "storage": "S3",
    "regions": {"qa": _REGION_EXAMPLE},
    "map": {"version": 7, "epoch": 12},
}


def _shown(schema: str, example: Json) -> Json:
    return {"application/json": {"schema": _ref(schema), "example": example}}


_ALIVE: Final = _shown("Liveness", {"status": "OK"})


def paths() -> tuple[dict[str, Json], dict[str, Json]]:
    """The health pages, and the named problem responses that they refer to."""
    region = {"name": "region", "in": "path", "required": True, "schema": {"type": "string"}, "example": "qa"}
    pages: dict[str, tuple[Json, dict[str, Json]]] = {
        "/health": _page("health", "The whole system's health", _shown("Health", _EXAMPLE), down=True),
        "/health/live": _page("health_live", "The process answers", _ALIVE),
        "/health/ready": _page("health_ready", "The process serves and is not stopping", _ALIVE, codes=["draining"]),
        "/health/regions/{region}": _page(
            "health_region",
            "One region's health",
            _shown("RegionHealth", _REGION_EXAMPLE),
            down=True,
            codes=["not_found"],
            parameters=[region],
        ),
    }
    named = {name: response for _, responses in pages.values() for name, response in responses.items()}
    return {path: {"get": page} for path, (page, _) in pages.items()}, named


def _page(
    name: str,
    summary: str,
    shown: Json,
    *,
    down: bool = False,
    codes: Iterable[str] = (),
    parameters: Iterable[Json] = (),
) -> tuple[Json, dict[str, Json]]:
    referred, named = problems.responses(problems.ordered({"malformed", "internal", *codes}))
    said = answered(REQUEST_ID)
    answers = {"200": {"description": "OK or DEGRADED." if down else "OK.", "headers": said, "content": shown}}
    if down:
        answers["503"] = {"description": "DOWN; the same shape.", "headers": said, "content": _unillustrated(shown)}
    page = {
        "operationId": name,
        "tags": [TAG],
        "summary": summary,
        "description": "Never cached. It opens no connection: it tells what background probes last saw.",
        "security": [],
        "parameters": [*parameters, *(ref_to(header) for header in (REQUEST_ID, TIMEOUT))],
        "responses": answers | referred,
    }
    return page, named


def _unillustrated(shown: Json) -> Json:
    return {media: {"schema": content["schema"]} for media, content in shown.items()}
