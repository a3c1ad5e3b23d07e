"""What an edge says of itself in its log when it begins to serve: once for all its workers."""

from typing import Final
from urllib.parse import urlsplit

import structlog

from gateway.edge.plan import Plan

_PORTS: Final = {"http": 80, "https": 443}
_log = structlog.get_logger("edge")


def announce(plan: Plan) -> None:
    """Log what serves, where and from what; and a warning if there is no origin. No credentials."""
    _log.info(
        "serving",
        name=plan.name,
        url=_url(plan),
        origin=", ".join(map(_host_and_port, plan.origins)) or None,
        region=plan.region or None,
        server=plan.server,
        purges="on" if plan.purge_token is not None else "off",
        reference=_reference(plan),
        workers=plan.workers,
    )
    if not plan.origins:
        remedy = f"set EDGE_ORIGIN, or `gateway:` of region {plan.region} in the map"
        _log.warning("no_origin", remedy=f"{remedy}; until then only reference data are answered")


def _url(plan: Plan) -> str:
    host = plan.settings.host
    scheme = "https" if plan.certificate is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{plan.settings.port}"


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or _PORTS[parts.scheme]}"


def _reference(plan: Plan) -> str | None:
    if plan.table is None:
        return None
    return "folder" if plan.references is not None and plan.settings.reference_folder is not None else "shipped"
