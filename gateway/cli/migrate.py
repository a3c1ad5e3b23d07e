"""`meridian migrate`: bring every shard's schema up to date, or show where it stands."""

from gateway import migrations
from gateway.cli.running import run, settings_and_map
from gateway.migrations import Statuses
from gateway.settings import environment


def migrate(*, status: bool = False) -> int:
    """Migrate every shard of the map; safe to run again, and from several places at once.

    Exit 0 when every shard is up to date, 1 when one is not.

    Parameters
    ----------
    status
        Only show where each shard stands, changing nothing.
    """
    found = settings_and_map(environment())
    if found is None:
        return 2
    settings, shard_map = found
    work = migrations.status if status else migrations.migrate
    statuses = run(work(shard_map, settings.database))
    _show(statuses)
    return 0 if all(not s.pending and not s.fault for found in statuses.values() for s in found) else 1


def _show(statuses: Statuses) -> None:
    for region, shards in statuses.items():
        for shard in shards:
            state = "up to date" if not shard.pending else f"pending: {', '.join(shard.pending)}"
            print(f"{region}  {shard.shard}  {len(shard.applied)} applied, {state}")
            if shard.fault:
                print(f"    {shard.fault}")
