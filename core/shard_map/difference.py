"""What would change from one map to another, in words an operator understands, and whether it may while running."""

from collections.abc import Iterator
from dataclasses import replace

from core.limits import BUCKETS_PER_REGION
from core.shard_map.change import OTHER_ROWS, OTHER_STORE, RENAMES_REGION, STRANDS_IDS, Difference
from core.shard_map.model import Address, RegionSpec, ShardMap, ShardName, ShardSpec
from core.shard_map.profile_difference import profile_changes, storage_change
from core.shard_map.shard_difference import renamed_shards, shard_differences

__all__ = ["Difference", "differences"]


def differences(old: ShardMap, new: ShardMap) -> tuple[Difference, ...]:
    """Every change from `old` to `new`, none if they say the same.

    A change that moves buckets, strands ids or files, or hands a server's rows to another shard is refused while
    running; a new region, other servers, logins and profiles are not. If any one is refused, the whole new map is.
    """
    return (*_map_differences(old, new), *_region_differences(old, new), *_servers_that_change_hands(old, new))


def _map_differences(old: ShardMap, new: ShardMap) -> Iterator[Difference]:
    if old.version != new.version:
        yield Difference(f"version {old.version} -> {new.version}")
    if old.default_region != new.default_region:
        yield Difference(f"default region {old.default_region} -> {new.default_region}")
    if old.unlisted_countries != new.unlisted_countries:
        yield Difference(f"countries that no region lists: {old.unlisted_countries} -> {new.unlisted_countries}")


def _region_differences(old: ShardMap, new: ShardMap) -> Iterator[Difference]:
    successors = [(region, _successor(region, old, new)) for region in old.regions]
    for before, after in successors:
        for change in _removed(before) if after is None else _changes(before, after):
            yield replace(change, sentence=f"region {before.name}{change.sentence}")
    known = {after.name for _, after in successors if after is not None}
    yield from (_added(region) for region in new.regions if region.name not in known)


def _successor(region: RegionSpec, old: ShardMap, new: ShardMap) -> RegionSpec | None:
    """The region of the same name, or the one that took over its code under a name that is new."""
    if (same := new.region(region.name)) is not None:
        return same
    heir = new.region_of_code(region.code)
    return heir if heir is not None and old.region(heir.name) is None else None


def _changes(old: RegionSpec, new: RegionSpec) -> Iterator[Difference]:
    if old.name != new.name:
        yield Difference(f" renamed to {new.name}", True, RENAMES_REGION)
    if old.code != new.code:
        yield Difference(f": code {old.code} -> {new.code}", True, STRANDS_IDS)
    for change in profile_changes(old, new):
        yield Difference(f": {change}")
    store = storage_change(old, new)
    if store is not None:
        yield Difference(f": {store}", True, OTHER_STORE)
    for difference in shard_differences(old, new):
        yield replace(difference, sentence=f": {difference.sentence}")


def _removed(region: RegionSpec) -> Iterator[Difference]:
    shards = ", ".join(shard.name for shard in region.shards)
    yield Difference(
        f" removed: its {BUCKETS_PER_REGION:,} buckets on {shards} would be out of reach", True, STRANDS_IDS
    )


def _added(region: RegionSpec) -> Difference:
    countries, shards = ", ".join(region.countries), ", ".join(shard.name for shard in region.shards)
    return Difference(f"region {region.name} added: code {region.code}, countries {countries}, shards {shards}")


def _servers_that_change_hands(old: ShardMap, new: ShardMap) -> Iterator[Difference]:
    before, after = _owners(old), _owners(new)
    renamed = renamed_shards(_shards(old), _shards(new))
    for address, owner in after.items():
        previous = before.get(address, owner)
        if previous != owner and renamed.get(previous) != owner:
            yield Difference(f"server {address} goes from shard {previous} to shard {owner}", True, OTHER_ROWS)


def _owners(map: ShardMap) -> dict[Address, ShardName]:
    return {address: shard.name for shard in _shards(map) for address in shard.addresses}


def _shards(map: ShardMap) -> tuple[ShardSpec, ...]:
    return tuple(shard for region in map.regions for shard in region.shards)
