"""Health in the scaling guide's shape, then region by region. Built from what probes last saw; it asks nobody."""

from datetime import UTC, datetime
from typing import Any, Literal

from core.database.node import Node
from core.database.shard import Shard
from core.errors import NotFound
from core.region import Region
from core.shard_map import RegionName
from core.storage.storage import StorageHealth
from gateway.runtime import Runtime

Status = Literal["OK", "DEGRADED", "DOWN"]
_ORDER: list[Status] = ["OK", "DEGRADED", "DOWN"]
Json = dict[str, Any]


def overall(runtime: Runtime) -> Json:
    """The whole system: the home region's database, redis and storage at the top, as the guide has them."""
    now = runtime.now()
    regions = {name: region_health(region, runtime) for name, region in runtime.fleet.regions.items()}
    status = _worst([region["status"] for region in regions.values()]) if regions else "DOWN"
    issuer = _issuer(runtime)
    refused = runtime.map.refused or runtime.references.refused
    if (refused or (issuer and issuer["issuer"]["since"])) and status == "OK":
        status = "DEGRADED"
    home = runtime.fleet.regions.get(runtime.map.shard_map.default_region)
    home_health = region_health(home, runtime) if home else {}
    return {
        "success": status != "DOWN",
        "status": status,
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "environment": runtime.settings.environment,
        "uptime": round(now - runtime.started_at, 1),
        "database": _guide_database(home, runtime) if home else {"primary": None, "replica": None},
        "redis": {"connected": home is not None and _redis_connected(home)},
        "storage": home_health.get("storage", {}).get("store", "Local"),
        "regions": regions,
        **issuer,
        **_edges(runtime),
        **({"reference": {"refused": runtime.references.refused}} if runtime.references.refused else {}),
        "map": {
            "version": runtime.map.shard_map.version,
            "epoch": runtime.fleet.epoch,
            **({"refused": runtime.map.refused} if runtime.map.refused else {}),
        },
    }


def of_region(runtime: Runtime, name: str) -> Json:
    """One region's health. Raises NotFound."""
    region = runtime.fleet.regions.get(RegionName(name))
    if region is None:
        raise NotFound(f"there is no region {name!r}; there are {', '.join(runtime.fleet.regions)}")
    return region_health(region, runtime)


def region_health(region: Region, runtime: Runtime) -> Json:
    """A region: its shards, sessions and storage; DOWN when a shard of it cannot be written to."""
    shards = {shard.name: _shard(shard, region, runtime) for shard in region.shards.values()}
    sessions, storage = region.sessions.health(), region.files.health()
    status = _worst([shard["status"] for shard in shards.values()])
    limits = _limits(region, runtime)
    if (sessions.degraded or storage.degraded or limits["since"]) and status == "OK":
        status = "DEGRADED"
    return {
        "status": status,
        "shards": shards,
        "sessions": {
            "store": sessions.store,
            "connected": sessions.connected,
            "detail": sessions.detail,
            "fallback_since": sessions.fallback_since.isoformat() if sessions.fallback_since else None,
            "pending": sessions.pending,
        },
        "storage": _storage(storage),
        "limits": limits,
    }


def _shard(shard: Shard, region: Region, runtime: Runtime) -> Json:
    primary_at = shard.roles.primary or shard.spec.primary
    replicas = [node for at, node in shard.nodes.items() if at != primary_at]
    lags = [lag for node in replicas if (lag := shard.lag_ms(node.at)) is not None]
    fault = region.faults.get(shard.name) or runtime.migration_faults.get(shard.name, "")
    trouble = shard.roles.alarm or fault
    down = shard.roles.primary is None or bool(fault) or not shard.nodes[primary_at].admits
    lame = [node for node in replicas if not _usable(shard, node, runtime)]
    return {
        "status": "DOWN" if down else "DEGRADED" if lame or trouble else "OK",
        "primary": _node(shard, shard.nodes[primary_at], "primary", runtime),
        "replicas": [_node(shard, node, "replica", runtime) for node in replicas],
        "lag_ms": max(lags) if lags else None,
        "buckets": region.ownership.counts().get(shard.name, 0),
        **({"trouble": trouble} if trouble else {}),
    }


def _usable(shard: Shard, node: Node, runtime: Runtime) -> bool:
    lag = shard.lag_ms(node.at)
    follows = node.at in shard.roles.replicas and node.admits
    return follows and lag is not None and lag <= runtime.settings.db_replica_lag_max


def _node(shard: Shard, node: Node, role: str, runtime: Runtime) -> Json:
    """One node: `connected` only if it was seen in this role within the last seconds."""
    evidence, figures = node.state.evidence, node.figures
    plays = node.at == shard.roles.primary if role == "primary" else node.at in shard.roles.replicas
    health: Json = {
        "address": str(node.at),
        "connected": plays,
        "total": figures.total,
        "idle": figures.idle,
        "waiting": figures.waiting,
        "breaker": str(node.breaker.state),
        "seen_s_ago": round(shard.now() - evidence.seen_at, 1) if evidence else None,
    }
    if role == "replica":
        health["lag_ms"] = shard.lag_ms(node.at)
    if node.state.reason:
        health["reason"] = node.state.reason
    return health


def _guide_database(region: Region, runtime: Runtime) -> Json:
    """The guide's `database`: a region's primaries and replicas, each summed; `replica` is null where there is none."""
    shards = [_shard(shard, region, runtime) for shard in region.shards.values()]
    primaries = [shard["primary"] for shard in shards]
    replicas = [replica for shard in shards for replica in shard["replicas"]]
    return {"primary": _summed(primaries), "replica": _summed(replicas) if replicas else None}


def _summed(nodes: list[Json]) -> Json:
    return {
        "connected": all(node["connected"] for node in nodes),
        **{figure: sum(node[figure] for node in nodes) for figure in ("total", "idle", "waiting")},
    }


def _redis_connected(region: Region) -> bool:
    health = region.sessions.health()
    return health.store == "redis" and health.connected


def _storage(health: StorageHealth) -> Json:
    return {
        "store": health.store,
        "configured": health.configured,
        "connected": health.connected,
        "detail": health.detail,
        "breaker": str(health.breaker),
        "fallback_since": health.fallback_since.isoformat() if health.fallback_since else None,
        "spooled": health.spooled,
        "spooled_bytes": health.spooled_bytes,
        "oldest_s": health.oldest_s,
        "has_room": health.has_room,
    }


def _limits(region: Region, runtime: Runtime) -> Json:
    """Rate limits: `shared` while they hold over all servers of the region; `since` when they should and do not."""
    admission = runtime.admission
    if admission.policies is None:
        return {"enabled": False, "shared": False, "since": None}
    health = admission.limiters.of(region.spec.name).health()
    since = health.since.isoformat() if health.since else None
    return {"enabled": True, "shared": health.shared, "since": since}


def _issuer(runtime: Runtime) -> Json:
    """The outside issuer of tokens, where there is one."""
    if runtime.issuer is None:
        return {}
    health = runtime.issuer.health()
    since = health.since.isoformat() if health.since else None
    return {"issuer": {"connected": health.connected, "keys": health.keys, "since": since}}


def _edges(runtime: Runtime) -> Json:
    """The edges that are told of changes, where there are any. One that is not told still keeps nothing for long."""
    if not runtime.edges.are_told:
        return {}
    return {
        "edges": [
            {
                "connected": edge.connected,
                "since": edge.since.isoformat() if edge.since else None,
                "reason": edge.reason,
                "waiting": edge.waiting,
            }
            for edge in runtime.edges.health()
        ]
    }


def _worst(statuses: list[Status]) -> Status:
    return max(statuses, key=_ORDER.index, default="OK")
