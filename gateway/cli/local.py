"""`meridian local`: the whole two-region system on this machine, from nothing, with real servers."""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from core.errors import Invalid, MeridianError
from core.shard_map import ShardMap, ShardSpec
from gateway import logs, migrations
from gateway.app import running
from gateway.cli.account import hire
from gateway.cli.running import complain, run, settings_and_map
from gateway.demo.crew import CREWS, DEMO_PASSWORD
from gateway.edge.settings import EdgeSettings
from gateway.local import LocalCluster, LocalError, LocalShardSpec, PortUse, Search, Step
from gateway.local.demo import Demo, seed
from gateway.local.edge import LocalEdge, edge_beside
from gateway.runtime import Runtime
from gateway.server import PortTaken, listening, until_told_to_stop
from gateway.settings import Settings, environment

_FOLDER = Path(".meridian")
_LOOPBACK = "127.0.0.1"
_SECRETS = ("DB_PASSWORD", "JWT_SECRET", "SESSION_SECRET", "EDGE_PURGE_TOKEN")


def local(
    *,
    map: Path = Path("shard_map.yaml"),
    fresh: Annotated[bool, Parameter(negative="")] = False,
    remove: Annotated[bool, Parameter(negative="")] = False,
    redis_port: int = 6390,
) -> int:
    """Start every server of the shard map on this machine, migrate, seed and serve, until Ctrl-C.

    Data stay in .meridian/ for the next start. Servers end with this command.

    Parameters
    ----------
    map
        The shard map; its addresses must be on this machine.
    fresh
        Delete the data of earlier starts first.
    remove
        Delete the data of earlier starts, and start nothing.
    redis_port
        Where the Redis-compatible server listens.
    """
    if remove:
        return _remove()
    own = {
        "SHARD_MAP": str(map),
        "REDIS_URL": f"redis://{_LOOPBACK}:{redis_port}",
        "HOST": _LOOPBACK,
        "TRUSTED_PROXIES": _LOOPBACK,
        "RATE_LIMITS": "off",
        "UPLOAD_FOLDER": str(_FOLDER / "uploads"),
        **_kept_secrets(_FOLDER),
    }
    values = {**environment(), **own}
    values |= _own_edge(values)
    found = settings_and_map(values)
    if found is None:
        return 2
    try:
        edge_port = EdgeSettings.from_environment(values).port
    except Invalid as exc:
        complain(exc)
        return 2
    try:
        return run(_local(*found, values, edge_port=edge_port, fresh=fresh, redis_port=redis_port))
    except (LocalError, PortTaken, MeridianError) as exc:
        print(exc, file=sys.stderr)
        return 1


def _remove() -> int:
    try:
        run(LocalCluster(_FOLDER, shards=[]).fresh())
    except LocalError as exc:
        print(exc, file=sys.stderr)
        return 1
    shutil.rmtree(_FOLDER, ignore_errors=True)
    return 0


async def _local(
    settings: Settings, shard_map: ShardMap, values: Mapping[str, str], *, edge_port: int, fresh: bool, redis_port: int
) -> int:
    # Until the summary stands on the screen, only what is wrong may come between its lines.
    logs.configure(level="warning", form=settings.log_format or "console")
    cluster = LocalCluster(
        _FOLDER,
        shards=[_local_shard(shard) for region in shard_map.regions for shard in region.shards],
        redis_port=redis_port,
        search=Search(settings.postgres_bin, settings.redis_bin, settings.search_path),
        progress=_tell,
        other_ports=[
            PortUse(settings.port, "the gateway", "PORT"),
            PortUse(settings.admin_port, "the admin port", "ADMIN_PORT"),
            PortUse(edge_port, "the edge", "EDGE_PORT"),
        ],
        redis_setting="--redis-port",
    )
    await cluster.start(fresh=fresh)
    try:
        # Beside all that follows: it takes a moment to start.
        async with edge_beside(values, port=edge_port, log=_FOLDER / "edge.log") as edge:
            await _serve(settings, shard_map, values, edge)
    finally:
        _tell(Step("servers", "stopping"))
        await cluster.stop()
    return 0


async def _serve(settings: Settings, shard_map: ShardMap, values: Mapping[str, str], edge: LocalEdge) -> None:
    _tell(Step("schema", "migrating every shard"))
    statuses = await migrations.migrate(shard_map, settings.database)
    for fault in (s.fault for found in statuses.values() for s in found if s.fault):
        print(fault, file=sys.stderr)
    await edge.ready()  # before the gateway, which asks its edges as soon as it starts
    async with running(settings, shard_map, variables=lambda: values) as runtime, listening(runtime):
        _tell(Step("demo", "seeding"))
        await _hire(runtime)
        demo = await seed(f"http://{_LOOPBACK}:{settings.port}")
        _summary(settings, shard_map, demo, edge.base)
        logs.configure(level=settings.log_level, form=settings.log_format or "console")
        await until_told_to_stop(runtime)


async def _hire(runtime: Runtime) -> None:
    """Make the demo's staff and drivers, in the regions that this map has."""
    for name, region in runtime.fleet.regions.items():
        for person in CREWS.get(name, ()):
            await hire(runtime, region, person.phone, role=person.role, name=person.name, password=DEMO_PASSWORD)


def _local_shard(shard: ShardSpec) -> LocalShardSpec:
    if any(at.host not in (_LOOPBACK, "localhost") for at in shard.addresses) or len(shard.replicas) != 1:
        raise LocalError(f"shard {shard.name}: a local cluster needs a primary and one replica on {_LOOPBACK}")
    return LocalShardSpec(
        name=shard.name,
        primary_port=shard.primary.port,
        replica_port=shard.replicas[0].port,
        database=shard.database,
        user=shard.user,
        password=shard.password.reveal(),
    )


def _kept_secrets(folder: Path) -> Mapping[str, str]:
    """Secrets of this local system, made at the first start and readable by their owner only."""
    file = folder / "secrets.json"
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in _SECRETS if name not in kept]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        kept |= {name: secrets.token_hex(32) for name in missing}
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(kept, out)
    return kept


def _own_edge(values: Mapping[str, str]) -> Mapping[str, str]:
    """What lets the edge find the gateway, and the gateway the edge."""
    gateway, edge = values.get("PORT", "3000"), values.get("EDGE_PORT", "8080")
    return {"EDGE_ORIGIN": f"http://{_LOOPBACK}:{gateway}", "EDGE_URLS": f"http://{_LOOPBACK}:{edge}"}


def _tell(step: Step) -> None:
    print(f"  {step.subject:<14} {step.what}", flush=True)


def _summary(settings: Settings, shard_map: ShardMap, demo: Demo, edge: str) -> None:
    base = f"http://{_LOOPBACK}:{settings.port}"
    login = json.dumps({"phone_number": demo.doha, "password": DEMO_PASSWORD})
    regions = ", ".join(
        f"{region.name} ({', '.join(shard.name for shard in region.shards)})" for region in shard_map.regions
    )
    print(
        f"""
Meridian is running: {regions}.

  API        {base}/api/v1     browse it: {base}/api/docs
  edge       {edge}     the same from a cache close by, with reference data
  health     {base}/health
  admin      http://{settings.admin_host}:{settings.admin_port}/metrics, /map, /health
  data       {_FOLDER}/            start over: meridian local --fresh

Try:

  curl -s {base}/health
  curl -si {edge}/api/v1/reference
  curl -s '{base}/api/v1/route?phone=%2B{demo.riyadh.removeprefix("+")}'
  curl -si {base}/api/v1/auth/login -H 'Content-Type: application/json' -d '{login}'

Or play two journeys: meridian demo --url {base}

Ctrl-C stops everything.
""",
        flush=True,
    )
