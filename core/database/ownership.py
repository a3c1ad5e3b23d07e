"""Which shard holds which bucket of a region: an array look-up, filled from the shards' own tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.database.statement import Query, Row
from core.limits import BUCKETS_PER_REGION
from core.shard_map.model import ShardName


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of a shard's `meridian.bucket`: `state` is owned, fenced (owned, but not writable now) or moved."""

    bucket: int
    state: str
    epoch: int
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who a shard says it is, and the region's permanent key for login identifiers."""

    region: str
    region_code: int
    name: str
    login_key: bytes


def _claim(row: Row) -> Claim:
    return Claim(row["bucket"], row["state"], row["epoch"], row["moved_to"])


def _introduction(row: Row) -> Introduction:
    return Introduction(row["region"], row["region_code"], row["name"], row["login_key"])


CLAIMS: Query[Claim] = Query("SELECT bucket, state, epoch, moved_to FROM meridian.bucket", (), _claim)
INTRODUCTION: Query[Introduction] = Query(
    "SELECT region, region_code, name, login_key FROM meridian.shard", (), _introduction
)


class Ownership:
    """The owner and epoch of each of a region's buckets; None where no shard that was asked owns it."""

    __slots__ = ("_epochs", "_owners", "epoch")

    def __init__(self, claims: Mapping[ShardName, Sequence[Claim]]) -> None:
        self._owners: list[ShardName | None] = [None] * BUCKETS_PER_REGION
        self._epochs: list[int] = [0] * BUCKETS_PER_REGION
        # By name, so that every gateway reads the same answers alike, in whatever order they came.
        for shard, rows in sorted(claims.items()):
            for claim in rows:
                if claim.state != "moved" and claim.epoch > self._epochs[claim.bucket]:
                    self._owners[claim.bucket] = shard
                    self._epochs[claim.bucket] = claim.epoch
        self.epoch = max(self._epochs)
        """The highest epoch of any bucket: grows by one with every move."""

    def owner(self, bucket: int) -> ShardName | None:
        """The shard that holds the bucket."""
        return self._owners[bucket]

    def epoch_of(self, bucket: int) -> int:
        """How often the bucket has changed hands, counted from 1; 0 when nobody owns it."""
        return self._epochs[bucket]

    def counts(self) -> dict[Any, int]:
        """How many buckets each shard holds."""
        counts: dict[Any, int] = {}
        for owner in self._owners:
            counts[owner] = counts.get(owner, 0) + 1
        return counts
