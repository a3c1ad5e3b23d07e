"""Migrating from the outside: the engine's files and the service's, over the regions of a map."""

import asyncio
import secrets
from collections.abc import Mapping
from importlib.resources import files

import structlog

from core.database.migrate import Migration, ShardStatus, migrate_region, migrations_in, region_status
from core.database.settings import DatabaseSettings
from core.shard_map import RegionName, ShardMap
from gateway.marketplace import SERVICE
from gateway.runtime import Runtime

Statuses = Mapping[RegionName, list[ShardStatus]]
_RETRY_S = 2.0
_log = structlog.get_logger("migrate")


def engine() -> list[Migration]:
    """The engine's own migrations."""
    return migrations_in(files("core.database") / "migrations", "meridian")


def service() -> list[Migration]:
    """The service's migrations."""
    return migrations_in(SERVICE.migrations, SERVICE.name)


async def migrate(shard_map: ShardMap, settings: DatabaseSettings) -> Statuses:
    """Bring every region up to date, side by side; a shard that could not be is reported with its fault."""
    done = await asyncio.gather(
        *(
            migrate_region(
                region,
                engine=engine(),
                service=service(),
                new_key=lambda: secrets.token_bytes(32),
                settings=settings,
            )
            for region in shard_map.regions
        )
    )
    return dict(zip((region.name for region in shard_map.regions), done, strict=True))


async def status(shard_map: ShardMap, settings: DatabaseSettings) -> Statuses:
    """Where every shard stands, changing nothing."""
    wanted = [*engine(), *service()]
    found = await asyncio.gather(
        *(region_status(region, migrations=wanted, settings=settings) for region in shard_map.regions)
    )
    return dict(zip((region.name for region in shard_map.regions), found, strict=True))


async def bring_up(runtime: Runtime) -> None:
    """Migrate as a part of starting; what could not be done is kept in `runtime.migration_faults`."""
    statuses = await migrate(runtime.map.shard_map, runtime.settings.database)
    runtime.migration_faults = {s.shard: s.fault for found in statuses.values() for s in found if s.fault}
    for shard, fault in runtime.migration_faults.items():
        _log.warning("not_migrated", shard=shard, fault=fault)


async def keep_trying(runtime: Runtime) -> None:
    """Try again until every shard is migrated: a database that was down at the start comes back by itself."""
    while runtime.migration_faults:
        await asyncio.sleep(_RETRY_S)
        before = runtime.migration_faults
        statuses = await migrate(runtime.map.shard_map, runtime.settings.database)
        runtime.migration_faults = {s.shard: s.fault for found in statuses.values() for s in found if s.fault}
        if before and not runtime.migration_faults:
            _log.info("migrated")
        for region in runtime.fleet.regions.values():
            region.mark_stale()
