"""Throws away idempotency receipts past their 24 hours, in small batches, on every shard; safe in many processes."""

import asyncio
from typing import Final

import structlog

from core.database.shard import Consistency, Shard, Terms
from core.database.statement import Query
from core.errors import MeridianError
from core.limits import RECEIPT_LIFETIME_S, RECEIPT_SWEEP_ROWS
from gateway.runtime import Runtime

_PAUSE_S: Final = 60.0
_log = structlog.get_logger("sweep")

_SWEEP = Query(
    """
    DELETE FROM meridian.receipt r USING (
        SELECT bucket, owner, key FROM meridian.receipt
        WHERE created_at < now() - make_interval(secs => $1)
          AND bucket IN (SELECT bucket FROM meridian.bucket WHERE state = 'owned')
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED) old
    WHERE (r.bucket, r.owner, r.key) = (old.bucket, old.owner, old.key) RETURNING 1
    """,
    (RECEIPT_LIFETIME_S, RECEIPT_SWEEP_ROWS),
    len,
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
        return len((await shard.read(_SWEEP, Terms(deadline, Consistency.STRONG))).value)
    except MeridianError as exc:
        _log.debug("not_swept", shard=shard.name, reason=exc.detail)
        return 0
