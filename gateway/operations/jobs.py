"""Jobs: what a service does by itself, on every shard, now and then. Any number of processes may do them at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from core.database.shard import Consistency, Shard, Terms
from core.database.statement import OWNED, Query, Write
from core.database.token import Token
from core.errors import NotFound
from core.ids import Placement, placement_of
from core.limits import FANOUT_ROWS_MAX, SWEEP_ROWS
from core.region import Ask, Region

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shift:
    """One turn of a job on one shard, until `deadline` (loop seconds). `parts` are the service's own (Service.open)."""

    region: Region
    shard: Shard
    deadline: float
    parts: Any
    _new_id: Callable[[Placement], UUID]

    async def read(self, query: Query[T]) -> list[T]:
        """Read from this shard's primary, whatever bucket the rows are in."""
        return (await self.shard.read(query, Terms(self.deadline, Consistency.STRONG))).value

    async def write(self, write: Write[T]) -> T:
        """Write to this shard, whatever bucket the rows are in."""
        return (await self.shard.write(write, Terms(self.deadline))).value

    async def read_everywhere(self, query: Query[T]) -> list[T]:
        """Read from the primary of every shard of the region that answers."""
        ask = Ask(self.deadline, Consistency.STRONG, Token())
        return (await self.region.gather(query, ask, key=lambda _: 0, limit=FANOUT_ROWS_MAX)).items

    async def read_at(self, id: UUID, query: Query[T]) -> list[T]:
        """Read where an id of this region lives, from the primary."""
        return await self.region.read_now(self._bucket(id), query)

    async def write_at(self, write: Write[T]) -> T:
        """Write where the write's bucket of this region lives, which may be another shard."""
        return await self.region.write_now(write)

    def new_id(self, bucket: int) -> UUID:
        """An id for something new in a bucket of this region."""
        return self._new_id(Placement(self.region.spec.code, bucket))

    def _bucket(self, id: UUID) -> int:
        code, bucket = placement_of(id)
        if code != self.region.spec.code:
            raise NotFound(f"{id} is of another region than {self.region.spec.name}")
        return bucket


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is done every `every_s` seconds on each shard. `run` answers how many things it did.

    It is run again at once while it does `batch` or more. It must be harmless to run twice, or by several processes at
    the same time: claim rows with FOR UPDATE SKIP LOCKED, or make each effect one that happens once.
    """

    name: str
    every_s: float
    batch: int
    run: Callable[[Shift], Awaitable[int]]


def sweeping(name: str, write: Write[int], *, every_s: float, batch: int) -> Job:
    """A job that is one statement over a shard's own buckets; the write's row is how many rows it changed."""

    async def run(shift: Shift) -> int:
        return await shift.write(write)

    return Job(name, every_s, batch, run)


def throwing_away(name: str, table: str, key: str, *, since: str, lifetime_s: int) -> Job:
    """A job that deletes the rows of a sharded table whose time `since` is longer ago than their lifetime.

    `key` is the primary key's columns, with spaces between. There should be an index that begins with `since`.
    """
    old, mine = (", ".join(f"{prefix}.{column}" for column in key.split()) for prefix in ("old", "t"))
    write = Write(
        bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
        first=f"""
        old AS (
            SELECT {", ".join(key.split())} FROM {table}
            WHERE {since} < now() - make_interval(secs => $1) AND {OWNED.format(bucket="bucket")}
            ORDER BY {since} LIMIT $2 FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM {table} t USING old WHERE ({mine}) = ({old}) RETURNING 1)""",
        sql="SELECT count(*)::int AS rows FROM gone",
        args=(lifetime_s, SWEEP_ROWS),
        row=lambda row: int(row["rows"]),
    )
    return sweeping(name, write, every_s=60.0, batch=SWEEP_ROWS)
