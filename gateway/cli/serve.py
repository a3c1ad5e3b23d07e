"""`meridian serve`: the gateway."""

import structlog

from core.shard_map import ShardMap
from gateway import logs
from gateway.app import running
from gateway.cli.running import run, settings_and_map
from gateway.server import PortTaken, listening, until_told_to_stop
from gateway.settings import Settings, environment

_log = structlog.get_logger("gateway")


def serve() -> int:
    """Serve the API on PORT and the admin port on ADMIN_PORT, by SHARD_MAP or as the guide's single server.

    Everything is set by the environment or a .env file; .env.example lists it all.
    """
    found = settings_and_map(environment())
    return 2 if found is None else run(_serve(*found))


async def _serve(settings: Settings, shard_map: ShardMap) -> int:
    logs.configure(
        level=settings.log_level, form=settings.log_format or ("json" if settings.is_production else "console")
    )
    async with running(settings, shard_map) as runtime:
        try:
            async with listening(runtime):
                _log.info(
                    "serving",
                    url=f"http://{settings.host}:{settings.port}",
                    admin=f"http://{settings.admin_host}:{settings.admin_port}",
                    regions=list(runtime.fleet.regions),
                    map=shard_map.file,
                )
                await until_told_to_stop(runtime)
        except PortTaken as exc:
            _log.error("cannot_listen", reason=str(exc))
            return 1
    _log.info("stopped")
    return 0
