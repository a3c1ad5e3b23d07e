"""What one edge is to be, decided before any process of it starts."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import edge
from core.errors import FieldError, Invalid
from core.shard_map import ShardMap, load
from edge.geography import EdgeTable, gateways_of, table_from_json
from edge.reference import Reference
from gateway.compression import COMPRESSORS
from gateway.edge.certificate import Certificate
from gateway.edge.settings import EdgeSettings, require_origin
from gateway.edge_table import edge_table_text
from gateway.reference import References

LANGUAGES: Final = ("en", "ar")
PLAIN_NAME: Final = "meridian-edge"
WORKERS_MAX: Final = 256
_PORT_MAX: Final = 65_535
_TLS: Final = "EDGE_TLS_CERT, EDGE_TLS_KEY"


@dataclass(frozen=True)
class Plan:
    """One edge. `origins` are asked in order; without any it answers what is shipped.

    Without a table it is a plain cache. `references` follow the operator's folder; where there is no shard map,
    `reference` is what is shipped.
    """

    settings: EdgeSettings
    name: str
    region: str
    workers: int
    origins: tuple[str, ...]
    table: EdgeTable | None = None
    references: References | None = None
    reference: Reference | None = None

    @property
    def certificate(self) -> Certificate | None:
        """What it shows to clients, over TLS; None: it speaks without."""
        chain, key = self.settings.tls_cert, self.settings.tls_key
        return Certificate(chain, key) if chain is not None and key is not None else None

    @property
    def server(self) -> str:
        """What listens: `http1` is the edge's own, `granian` speaks HTTP/2 and TLS too."""
        return self.settings.server or ("granian" if self.certificate is not None else "http1")

    @property
    def purge_token(self) -> str | None:
        """Who holds it may purge; None: nobody may."""
        secret = self.settings.purge_token
        return secret.get_secret_value() if secret is not None else None


def plan_of(
    values: Mapping[str, str],
    *,
    origin: str | None = None,
    port: int | None = None,
    host: str | None = None,
    workers: int | None = None,
    region: str | None = None,
    server: str | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> Plan:
    """The edge that the environment and the command line ask for; the command line wins.

    With an origin and neither a map nor a region it is a plain cache. Raises Invalid, or MapRefused for a bad map.
    """
    settings = EdgeSettings.from_environment(values)
    require_origin(origin, "--origin")
    if port is not None and not 1 <= port <= _PORT_MAX:
        raise Invalid([FieldError("--port", f"must be from 1 to {_PORT_MAX}")])
    given = {"port": port, "host": host, "origin": origin, "server": server, "tls_cert": tls_cert, "tls_key": tls_key}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value})
    _require_certificate(settings)
    workers = _cores() if workers is None else workers
    if not 1 <= workers <= WORKERS_MAX:
        raise Invalid([FieldError("--workers", f"must be from 1 to {WORKERS_MAX}")])
    origins = (settings.origin,) if settings.origin else ()
    if settings.shard_map is None and origins and region is None:
        return Plan(settings, PLAIN_NAME, "", workers, origins)
    return _placed(Plan(settings, "", region or "", workers, origins), values)


def _require_certificate(settings: EdgeSettings) -> None:
    """Raises Invalid unless TLS can be spoken with what is given, or is not asked for."""
    chain, key = settings.tls_cert, settings.tls_key
    if chain is None and key is None:
        return
    if chain is None or key is None:
        raise Invalid([FieldError(_TLS, "give both, or neither")])
    if settings.server == "http1":
        raise Invalid([FieldError("EDGE_SERVER", "is http1, which speaks no TLS; granian does")])
    fault = Certificate(chain, key).fault()
    if fault is not None:
        raise Invalid([FieldError(_TLS, f"cannot be used: {fault}")])


def _placed(plan: Plan, values: Mapping[str, str]) -> Plan:
    """With the map's regions, or those of the table that is shipped."""
    file = plan.settings.shard_map
    shard_map = load(file, environment=values) if file is not None else None
    table = _table(shard_map)
    region = plan.region or table.default_region
    if region not in table.regions:
        raise Invalid([FieldError("--region", f"names no region: there are {', '.join(table.regions)}")])
    plan = replace(
        plan,
        name=f"meridian-{region}",
        region=region,
        table=table,
        origins=plan.origins or gateways_of(table, region),
    )
    if shard_map is not None:
        folder = plan.settings.reference_folder
        return replace(plan, references=References(shard_map, folder=folder, on_change=lambda _: None))
    regions = sorted(table.regions.values(), key=lambda facts: facts.name != table.default_region)
    return replace(plan, reference=Reference(regions, compressors=COMPRESSORS))


def _table(shard_map: ShardMap | None) -> EdgeTable:
    text = edge_table_text(shard_map) if shard_map is not None else _shipped_table()
    return table_from_json(json.loads(text))


def _shipped_table() -> str:
    return (Path(edge.__file__).parent / "table.json").read_text(encoding="utf-8")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
