"""Ends what is over by its time: in batches, on every shard, by any number of processes at once."""

from typing import Final

from core.database.statement import OWNED, Write
from gateway.operations import Job, sweeping

BATCH_ROWS: Final = 200


def ending(name: str, table: str, *, due: str, oldest: str, change: str, every_s: float) -> Job:
    """A job that makes the `change` (SQL) to rows of a table that are `due` (SQL), those with the `oldest` time first.

    Rows that somebody else is just changing are passed over: they are looked at again next time.
    """
    write = Write(
        bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
        first=f"""due AS (
            SELECT bucket, id FROM {table} WHERE {due} AND {OWNED.format(bucket="bucket")}
            ORDER BY {oldest} LIMIT $1 FOR UPDATE SKIP LOCKED),
        ended AS (
            UPDATE {table} t SET {change} FROM due WHERE (t.bucket, t.id) = (due.bucket, due.id) RETURNING 1)""",
        sql="SELECT count(*)::int AS rows FROM ended",
        args=(BATCH_ROWS,),
        row=lambda row: int(row["rows"]),
    )
    return sweeping(name, write, every_s=every_s, batch=BATCH_ROWS)
