"""Runs the jobs of the engine and of the service: each on every shard by itself, so that none waits for a dead one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from core.database.shard import Shard
from core.errors import MeridianError
from core.limits import EVENT_LIFETIME_S, JOB_ROUND_S, JOB_ROUNDS_MAX, RECEIPT_LIFETIME_S
from core.region import Region
from gateway.operations.jobs import Job, Shift, throwing_away
from gateway.runtime import Runtime

_log = structlog.get_logger("jobs")


RECEIPTS: Final = throwing_away(
    "receipts", "meridian.receipt", "bucket owner key", since="created_at", lifetime_s=RECEIPT_LIFETIME_S
)
"""Throws away idempotency receipts past their 24 hours."""

EVENTS: Final = throwing_away("events", "meridian.outbox", "bucket id", since="relayed_at", lifetime_s=EVENT_LIFETIME_S)
"""Throws away events that were handed on three days ago."""

ENGINE_JOBS: Final = (RECEIPTS, EVENTS)


async def run(runtime: Runtime, jobs: Sequence[Job]) -> None:
    """Do every job in its rhythm until cancelled."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_keep(job, runtime), name=f"job {job.name}")


async def _keep(job: Job, runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(job.every_s)
        try:
            await everywhere(job, runtime)
        except Exception:  # noqa: BLE001  this is the jobs' monitor: a fault in one round does not end the job
            _log.exception("job_broke", job=job.name)


async def everywhere(job: Job, runtime: Runtime) -> int:
    """Do a job once on every shard, side by side; how many things it did. A shard that fails waits for next time.

    Raises a fault of the job's own when all shards are done.
    """
    places = [(region, shard) for region in runtime.fleet.regions.values() for shard in region.shards.values()]
    rounds = (on_shard(job, runtime, region, shard) for region, shard in places)
    done = 0
    for outcome in await asyncio.gather(*rounds, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        done += outcome
    return done


async def on_shard(job: Job, runtime: Runtime, region: Region, shard: Shard) -> int:
    """Do a job on one shard until there is no full batch left, within JOB_ROUNDS_MAX rounds of JOB_ROUND_S each."""
    done = 0
    for _ in range(JOB_ROUNDS_MAX):
        try:
            just_done = await _round(job, region, shard, runtime.parts, runtime.new_id)
        except (MeridianError, TimeoutError) as exc:
            _failed(job, shard, runtime, str(exc))
            break
        except Exception as exc:
            _failed(job, shard, runtime, type(exc).__name__)
            raise
        _works(job, shard, runtime)
        done += just_done
        if just_done < job.batch:
            break
    if done:
        runtime.metrics.jobs.labels(job.name, shard.name).inc(done)
    return done


def _failed(job: Job, shard: Shard, runtime: Runtime, reason: str) -> None:
    """Count a failure, and tell of the first in a row."""
    runtime.metrics.jobs_failed.labels(job.name, shard.name).inc()
    if (job.name, shard.name) not in runtime.failing_jobs:
        runtime.failing_jobs.add((job.name, shard.name))
        _log.warning("job_failed", job=job.name, shard=shard.name, reason=reason)


def _works(job: Job, shard: Shard, runtime: Runtime) -> None:
    if (job.name, shard.name) in runtime.failing_jobs:
        runtime.failing_jobs.discard((job.name, shard.name))
        _log.info("job_works_again", job=job.name, shard=shard.name)


async def _round(job: Job, region: Region, shard: Shard, parts: Any, new_id: Callable[..., Any]) -> int:
    async with asyncio.timeout(JOB_ROUND_S):
        return await job.run(Shift(region, shard, shard.now() + JOB_ROUND_S, parts, new_id))
