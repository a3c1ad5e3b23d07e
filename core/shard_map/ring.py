"""The ring: where a region's buckets should live. The only door to uhashring."""

from hashlib import blake2b
from typing import Final

from uhashring import HashRing

from core.limits import BUCKETS_PER_REGION
from core.shard_map.model import RegionSpec, ShardName

# A shard's share strays from its weight by about 1/sqrt(points): 3 % at 1024, where uhashring's own 160 gives 8 %.
_POINTS_PER_WEIGHT: Final = 1024


def ring_table(region: RegionSpec) -> tuple[ShardName, ...]:
    """For each of the region's 4096 buckets, the shard that should hold it.

    It depends on nothing but the shards' names and weights, not on their order, the process or the machine; a golden
    vector in the tests freezes it. Build it once per map (10 ms, and 4 ms more per unit of weight): a look-up is then
    an index, not a hash.
    """
    ring = HashRing(
        # Sorted, because two points that collide would belong to whoever came last.
        nodes={shard.name: shard.weight for shard in sorted(region.shards, key=lambda shard: shard.name)},
        hash_fn=_position,
        vnodes=_POINTS_PER_WEIGHT,
    )
    return tuple(ShardName(ring.get_node(f"bucket:{bucket}")) for bucket in range(BUCKETS_PER_REGION))


def _position(key: str) -> int:
    return int.from_bytes(blake2b(key.encode()).digest()[:8])
