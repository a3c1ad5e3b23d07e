"""What the edges outside need of the shard map, as the JSON that is shipped with them."""

import json
from typing import Final

from core.shard_map.model import RegionSpec, ShardMap
from edge.geography import table_of, table_to_json
from edge.reference.regions import RegionFacts, Zone

TABLE_FILE: Final = "edge/table.json"


def edge_table_text(shard_map: ShardMap) -> str:
    """The table as it is kept in a file; nothing of shards, servers or secrets is in it."""
    table = table_of(
        [facts_of(region) for region in shard_map.regions],
        default_region=shard_map.default_region,
        unlisted=shard_map.unlisted_countries,
    )
    return json.dumps(table_to_json(table), indent=2, ensure_ascii=False) + "\n"


def facts_of(region: RegionSpec) -> RegionFacts:
    """What an edge may know of a region."""
    return RegionFacts(
        name=region.name,
        countries=region.countries,
        names=dict(region.title),
        currency=region.currency,
        minor_unit=region.minor_unit,
        time_zone=region.time_zone,
        hub=(region.hub.lat, region.hub.lng),
        zones=tuple(
            Zone(None if zone.up_to_km is None else str(zone.up_to_km), str(zone.fee)) for zone in region.delivery_zones
        ),
        residency=region.residency,
        gateway=region.gateway,
    )
