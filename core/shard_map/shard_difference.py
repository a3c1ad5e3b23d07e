"""What changed in a region's shards: servers and logins may change while running, the ring may not."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from core.shard_map.change import MOVES_BUCKETS, OTHER_DATABASE, Difference
from core.shard_map.model import Address, RegionSpec, ShardName, ShardSpec
from core.shard_map.ring import ring_table


def shard_differences(old: RegionSpec, new: RegionSpec) -> Iterator[Difference]:
    """Each change of the shards; the effect of each is told as if it were the only one."""
    before = {shard.name: shard for shard in old.shards}
    after = {shard.name: shard for shard in new.shards}
    renamed = renamed_shards(old.shards, new.shards)
    for name in before:
        if name in renamed:
            yield _renamed(old, before[name], after[renamed[name]])
        elif name not in after:
            yield _removed(old, before[name])
        else:
            yield from _shard_differences(old, new, before[name], after[name])
    for name in after:
        if name not in before and name not in renamed.values():
            yield _added(old, after[name])


def renamed_shards(old: Iterable[ShardSpec], new: Iterable[ShardSpec]) -> dict[ShardName, ShardName]:
    """Old name to new name of the shards that kept a server and lost their name."""
    old, new = tuple(old), tuple(new)
    before, after = {shard.name for shard in old}, {shard.name for shard in new}
    owners = {address: shard.name for shard in old if shard.name not in after for address in shard.addresses}
    return {
        owners[address]: shard.name
        for shard in new
        if shard.name not in before
        for address in shard.addresses
        if address in owners
    }


def _shard_differences(
    old_region: RegionSpec, new_region: RegionSpec, old: ShardSpec, new: ShardSpec
) -> Iterator[Difference]:
    shard = f"shard {old.name}"
    if old.weight != new.weight:
        moves = _moves(old_region, _with(old_region, replace(old, weight=new.weight)))
        refused = ring_table(old_region) != ring_table(new_region)
        sentence = f"{shard} weight {old.weight} -> {new.weight}: {moves}"
        yield Difference(sentence, refused, MOVES_BUCKETS if refused else "")
    if old.database != new.database:
        yield Difference(f"{shard} database {old.database} -> {new.database}", True, OTHER_DATABASE)
    if old.primary != new.primary:
        yield Difference(f"{shard} primary {old.primary} -> {new.primary}")
    if set(old.replicas) != set(new.replicas):
        yield Difference(f"{shard} replicas {_addresses(old.replicas)} -> {_addresses(new.replicas)}")
    if old.user != new.user:
        yield Difference(f"{shard} user {old.user} -> {new.user}")
    if old.password != new.password:
        yield Difference(f"{shard} password changed")


def _renamed(region: RegionSpec, old: ShardSpec, new: ShardSpec) -> Difference:
    moves = _moves(region, _with(_without(region, old), new))
    return Difference(f"shard {old.name} renamed to {new.name}: {moves}", True, MOVES_BUCKETS)


def _removed(region: RegionSpec, shard: ShardSpec) -> Difference:
    remaining = _without(region, shard)
    moves = _moves(region, remaining) if remaining.shards else "no shard would remain for its buckets"
    return Difference(f"shard {shard.name} removed: {moves}", True, MOVES_BUCKETS)


def _added(region: RegionSpec, shard: ShardSpec) -> Difference:
    sentence = f"shard {shard.name} added with weight {shard.weight}: {_moves(region, _with(region, shard))}"
    return Difference(sentence, True, MOVES_BUCKETS)


def _with(region: RegionSpec, shard: ShardSpec) -> RegionSpec:
    return replace(region, shards=(*_without(region, shard).shards, shard))


def _without(region: RegionSpec, shard: ShardSpec) -> RegionSpec:
    return replace(region, shards=tuple(each for each in region.shards if each.name != shard.name))


def _moves(old: RegionSpec, new: RegionSpec) -> str:
    moved = [
        (source, target) for source, target in zip(ring_table(old), ring_table(new), strict=True) if source != target
    ]
    if not moved:
        return "no bucket would move"
    sources, targets = ({pair[side] for pair in moved} for side in (0, 1))
    return f"about {len(moved):,} buckets would move from {', '.join(sorted(sources))} to {', '.join(sorted(targets))}"


def _addresses(addresses: Iterable[Address]) -> str:
    return ", ".join(map(str, addresses)) or "none"
