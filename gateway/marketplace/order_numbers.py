"""Order numbers, like QA-2611-000123: one count for a region, from which its shards take blocks.

So a shard gives numbers in the transaction of its orders, and goes on for a block while the shard that holds the count
is away. Numbers of one shard grow with time; those of two shards interleave by blocks. The four digits are year and
month in the region's zone; the count does not start again with a month.
"""

from typing import Final
from uuid import UUID

from core.database.statement import Query, Write
from gateway.operations import Call, Consistency, Job, Shift

BLOCK: Final = 100
SPARE_MIN: Final = 50  # fewer left than this, and the next block is taken before it is needed
_COUNT_BUCKET: Final = 0  # of the 4096, the one that holds the region's count

# The common table expression `n` for the statement that makes the order: the next number of this shard, or no row.
# Nothing is taken unless `{given}` has a row. Whoever waits for a block that is then used up goes on to the next.
TAKE: Final = """block AS (
    SELECT first FROM marketplace.order_block WHERE next <= last AND EXISTS (SELECT FROM {given})
    ORDER BY first LIMIT 1 FOR UPDATE),
n AS (
    UPDATE marketplace.order_block o SET next = o.next + 1 FROM block
    WHERE o.first = block.first RETURNING o.next - 1 AS number)"""

# A number as people read it; the arguments are the region's prefix and time zone.
SHOWN: Final = """{prefix} || '-' || to_char(now() AT TIME ZONE {zone}, 'YYMM') || '-'
    || lpad(n.number::text, greatest(6, length(n.number::text)), '0')"""

_HIGHEST: Final = Query(
    "SELECT coalesce(max(last), 0) AS highest FROM marketplace.order_block", (), lambda row: int(row["highest"])
)
_LEFT: Final = Query(
    "SELECT coalesce(sum(last - next + 1), 0)::int AS numbers FROM marketplace.order_block WHERE next <= last",
    (),
    lambda row: int(row["numbers"]),
)


def _take_block(highest: int) -> Write[int]:
    """Raise the region's count by a block; the row is its last number.

    Beyond `highest`, the highest number that any shard is seen to have: so a count that lost its last commits in a
    failover gives none out twice.
    """
    return Write(
        bucket=_COUNT_BUCKET,
        sql="""INSERT INTO marketplace.order_count AS c (bucket, taken) VALUES ($1, $2::bigint + $3)
               ON CONFLICT (bucket) DO UPDATE SET taken = greatest(c.taken, $2::bigint) + $3 RETURNING taken""",
        args=(_COUNT_BUCKET, highest, BLOCK),
        row=lambda row: int(row["taken"]),
    )


def _keep_block(last: int, bucket: int) -> Write[int]:
    return Write(
        bucket=bucket,
        sql="""INSERT INTO marketplace.order_block (first, last, next) VALUES ($1, $2, $1) RETURNING first""",
        args=(last - BLOCK + 1, last),
        row=lambda row: int(row["first"]),
    )


async def reserve(call: Call, id: UUID) -> None:
    """Take a block for the shard where `id` lives, because it has no number left."""
    highest, _ = await call.of_each_shard(_HIGHEST, consistency=Consistency.STRONG)
    place = call.at(id)
    last = await call.place(place.region, _COUNT_BUCKET).prepare(_take_block(max(highest)))
    await place.prepare(_keep_block(last, place.bucket))


async def _restock(shift: Shift) -> int:
    if (await shift.read(_LEFT))[0] >= SPARE_MIN:
        return 0
    highest = await shift.read_everywhere(_HIGHEST)
    last = await shift.write_at(_take_block(max(highest)))
    await shift.write(_keep_block(last, _COUNT_BUCKET))
    return 1


JOBS: Final = (Job("order numbers", 30.0, 1, _restock),)
