"""What an edge tells of itself: its health and its metrics, of all its workers together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from edge.messages import Fields, Request, Response
from gateway.edge.origins import OriginHealth

HEALTH, METRICS = "/_edge/health", "/_edge/metrics"
_OF_WORKERS: Final = {
    "entries": ("gauge", "Answers kept"),
    "bytes": ("gauge", "Bytes held"),
    "connections": ("gauge", "Connections open"),
    "evicted_total": ("counter", "Answers forgotten for want of room"),
    "purges_refused_total": ("counter", "Purges refused for want of the token"),
}


def health(
    request: Request,
    *,
    name: str,
    region: str,
    origin: OriginHealth,
    is_shipped: bool,
    is_draining: bool,
    configured: int,
    workers: Sequence[Mapping[str, Any]],
) -> Response:
    """The edge as JSON: 503 while it stops, or can answer nothing; `DEGRADED` where something is away."""
    entries = max(worker["entries"] for worker in workers)
    is_whole = origin.connected and len(workers) == configured
    can_answer = is_shipped or entries > 0 or origin.connected
    status = "STOPPING" if is_draining else ("OK" if is_whole else "DEGRADED") if can_answer else "DOWN"
    members = {
        "status": status,
        "name": name,
        "region": region or None,
        "origin": asdict(origin),
        "entries": entries,
        "bytes": max(worker["bytes"] for worker in workers),
        "connections": sum(worker["connections"] for worker in workers),
        "counts": summed(workers),
        "workers": {"configured": configured, "answering": len(workers), "each": list(workers)},
    }
    code = 200 if status in ("OK", "DEGRADED") else 503
    return _whole(request, code, "application/json", json.dumps(members).encode())


def metrics(request: Request, workers: Sequence[Mapping[str, Any]], *, is_origin_up: bool) -> Response:
    """All workers in Prometheus' text format."""
    total = "meridian_edge_requests_total"
    lines = [f"# HELP {total} Requests answered, by how", f"# TYPE {total} counter"]
    for worker in workers:
        for outcome, count in worker["counts"].items():
            lines.append(f'{total}{{outcome="{outcome}",worker="{worker["worker"]}"}} {count}')
    for name, (kind, what) in _OF_WORKERS.items():
        values = {f'{{worker="{worker["worker"]}"}}': worker[name.removesuffix("_total")] for worker in workers}
        lines += _metric(name, kind, what, values)
    lines += _metric(
        "origin_up", "gauge", "Whether the origin answered when it was last asked", {"": int(is_origin_up)}
    )
    lines += _metric("workers_answering", "gauge", "Workers that answer", {"": len(workers)})
    body = ("\n".join(lines) + "\n").encode()
    return _whole(request, 200, "text/plain; version=0.0.4; charset=utf-8", body)


def _metric(name: str, kind: str, what: str, values: Mapping[str, int]) -> list[str]:
    samples = [f"meridian_edge_{name}{labels} {value}" for labels, value in values.items()]
    return [f"# HELP meridian_edge_{name} {what}", f"# TYPE meridian_edge_{name} {kind}", *samples]


def summed(workers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The counts of all workers together."""
    total: dict[str, int] = {}
    for worker in workers:
        for outcome, count in worker["counts"].items():
            total[outcome] = total.get(outcome, 0) + count
    return total


def _whole(request: Request, status: int, media_type: str, body: bytes) -> Response:
    fields: Fields = (("Content-Type", media_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"))
    return Response(status, fields, b"" if request.method == "HEAD" else body)
