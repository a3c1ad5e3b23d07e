"""Throws away idempotency receipts past their 24 hours, in small batches, on every shard; safe in many processes."""

import asyncio
from typing import Final

import structlog

from core.database.shard import Shard, Terms
from core.database.statement import Write
from core.errors import MeridianError
from core.limits import RECEIPT_LIFETIME_S, RECEIPT_SWEEP_ROWS
from gateway.runtime import Runtime

_PAUSE_S: Final = 60.0
_log = structlog.get_logger("sweep")

_SWEEP: Final[Write[int]] = Write(
    bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
    first="""
    old AS (
        SELECT bucket, owner, key FROM meridian.receipt
        WHERE created_at < now() - make_interval(secs => $1)
          AND bucket IN (SELECT bucket FROM meridian.bucket WHERE state = 'owned')
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED),
    swept AS (
        DELETE FROM meridian.receipt r USING old
        WHERE (r.bucket, r.owner, r.key) = (old.bucket, old.owner, old.key) RETURNING 1)""",
    sql="SELECT count(*)::int AS swept FROM swept",
    args=(RECEIPT_LIFETIME_S, RECEIPT_SWEEP_ROWS),
    row=lambda row: int(row["swept"]),
)


async def run(runtime: Runtime) -> None:
    """Sweep every shard once a minute until cancelled."""
    while True:
        await asyncio.sleep(_PAUSE_S)
        for region in runtime.fleet.regions.values():
            for shard in region.shards.values():
                await sweep(shard)


async def sweep(shard: Shard) -> int:
    """Throw away one batch of a shard's old receipts; the number of rows, 0 when the shard cannot be written to."""
    deadline = shard.now() + 5.0
    try:
        return (await shard.write(_SWEEP, Terms(deadline))).value
    except MeridianError as exc:
        _log.debug("not_swept", shard=shard.name, reason=exc.detail)
        return 0
