"""Every server at once: the shards' databases, every region's Redis and file store."""

import asyncio
import time
from contextlib import AsyncExitStack

from core.limits import SESSION_STORE_TIMEOUT_S
from core.sessions import StoreUnreachable as SessionsUnreachable
from core.sessions.inspection import RedisFacts, inspect
from core.shard_map.model import RegionSpec, ShardMap
from core.storage.opening import open_store
from core.storage.store import StoreUnreachable
from gateway.app import redis_url_of
from gateway.doctor.databases import LOOK_S, of_shard
from gateway.doctor.finding import Finding, Level
from gateway.settings import Settings

_FULL = 0.9


async def of_servers(settings: Settings, shard_map: ShardMap, processes: int) -> list[Finding]:
    """Look at every server at once; one that hangs holds nothing up for longer than its bound."""
    looks = [
        *(
            of_shard(shard_map, region, shard, settings.database, processes)
            for region in shard_map.regions
            for shard in region.shards
        ),
        *(_of_sessions(region, settings, processes) for region in shard_map.regions),
        *(_of_store(region, settings, processes) for region in shard_map.regions),
    ]
    return [finding for found in await asyncio.gather(*looks) for finding in found]


async def _of_sessions(region: RegionSpec, settings: Settings, processes: int) -> list[Finding]:
    url, subject = redis_url_of(region, settings), f"{region.name} sessions"
    if url is None:
        level = Level.WARN if processes > 1 else Level.INFO
        why = "each process asks the database about a session it has not seen, and limits rates by itself"
        return [Finding(level, subject, "in each process's memory", why, "set REDIS_URL when there are several")]
    try:
        return [of_redis(subject, await inspect(url, timeout_s=LOOK_S, clock=time.monotonic))]
    except ValueError as exc:
        why = "no gateway can open this region with it"
        return [Finding(Level.FAIL, subject, str(exc), why, "correct the Redis URL")]
    except SessionsUnreachable as exc:
        why = "sessions live in each process meanwhile; clients notice nothing"
        return [Finding(Level.WARN, subject, f"Redis cannot be used: {exc}", why, "start Redis or correct REDIS_URL")]


def of_redis(subject: str, facts: RedisFacts) -> Finding:
    """A Redis that took a write: quick enough, and what it does when it is full."""
    if facts.round_trip_s > SESSION_STORE_TIMEOUT_S:
        seen = f"Redis took {facts.round_trip_s * 1000:.0f} ms for a write"
        why = f"gateways wait {SESSION_STORE_TIMEOUT_S * 1000:.0f} ms, then use their own memory"
        return Finding(Level.WARN, subject, seen, why, "look at its load and the network between")
    seen = "Redis answers and takes writes"
    if not facts.bytes_max:
        return Finding(Level.OK, subject, seen)
    used = f"{facts.used_bytes / 2**20:.0f} of {facts.bytes_max / 2**20:.0f} MiB, maxmemory-policy {facts.policy}"
    if facts.policy != "noeviction":
        why = "sessions may be evicted: they are read from the database again, which is only slower"
        return Finding(Level.INFO, subject, f"{seen}; {used}", why, "give it memory before it evicts much")
    if facts.used_bytes > _FULL * facts.bytes_max:
        why = "when it is full it refuses writes, and sessions live in each process"
        return Finding(Level.WARN, subject, f"{seen}; {used}", why, "raise maxmemory")
    return Finding(Level.OK, subject, f"{seen}; {used}")


async def _of_store(region: RegionSpec, settings: Settings, processes: int) -> list[Finding]:
    subject = f"{region.name} files"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.storage.for_region(region.name, region.storage)))
        try:
            async with asyncio.timeout(LOOK_S):
                await store.probe(writing=True)
        except (StoreUnreachable, TimeoutError) as exc:
            seen = f"{store.kind} cannot be used: {exc or 'no answer'}"
            why = "uploads wait in UPLOAD_FOLDER; files that are stored already cannot be read"
            return [Finding(Level.WARN, subject, seen, why, "check its keys, its bucket or container, and the clock")]
        seen = f"{store.kind} answers and takes files"
        if store.kind == "Local" and processes > 1:
            why = "gateways on other machines do not have them"
            return [Finding(Level.INFO, subject, seen, why, "set S3_* or AZURE_* before there is a second machine")]
        return [Finding(Level.OK, subject, seen)]
