"""The servers: every PostgreSQL node against what is asked of it, every region's Redis and file store."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from core.database.inspection import NodeFacts, inspect
from core.database.settings import Login
from core.database.sizing import largest_pool, room
from core.database.translate import NodeLost
from core.sessions import SessionStore, StoreHealth, open_sessions
from core.shard_map.model import Address, RegionSpec, ShardMap, ShardSpec
from core.storage.opening import open_store
from core.storage.store import StoreUnreachable
from gateway import migrations
from gateway.doctor.finding import Finding, Level
from gateway.settings import Settings

_LOOK_S = 5.0
_OLDEST_VERSION = 140_000
_CLOCK_OFF_S = 1.0


async def of_servers(settings: Settings, shard_map: ShardMap, processes: int) -> list[Finding]:
    """Look at every server at once; one that hangs holds nothing up for longer than its bound."""
    looks = [
        *(_of_shard(shard, settings, processes) for region in shard_map.regions for shard in region.shards),
        *(_of_sessions(region, settings) for region in shard_map.regions),
        *(_of_store(region, settings) for region in shard_map.regions),
        _of_schema(shard_map, settings),
    ]
    return [finding for found in await asyncio.gather(*looks) for finding in found]


async def _of_shard(shard: ShardSpec, settings: Settings, processes: int) -> list[Finding]:
    login = Login(shard.database, shard.user, shard.password.reveal())
    answers = await asyncio.gather(
        *(inspect(at, login, settings.database, timeout_s=_LOOK_S) for at in shard.addresses), return_exceptions=True
    )
    findings: list[Finding] = []
    facts: dict[Address, NodeFacts] = {}
    for at, answer in zip(shard.addresses, answers, strict=True):
        subject = f"{shard.name} {at}"
        if isinstance(answer, NodeFacts):
            facts[at] = answer
            findings.extend(_of_node(subject, answer, settings, processes))
        elif isinstance(answer, NodeLost):
            remedy = "start it, promote its replica (docs/operations.md), or correct its address in the map"
            findings.append(Finding(Level.FAIL, subject, f"cannot be used: {answer.detail}", remedy))
        else:
            raise answer
    return [*findings, *_of_roles(shard, facts)]


def _of_node(subject: str, facts: NodeFacts, settings: Settings, processes: int) -> Iterator[Finding]:
    major = facts.version // 10_000
    if facts.version < _OLDEST_VERSION:
        yield Finding(Level.FAIL, subject, f"PostgreSQL {major}", "Meridian needs PostgreSQL 14 or newer")
    allowed = facts.max_connections - facts.reserved
    asked = room(settings.database, processes=processes, allowed=allowed, others=facts.others)
    seen = (
        f"{'replica' if facts.in_recovery else 'primary'}, PostgreSQL {major}; {processes} gateway(s) may open"
        f" {asked.needed} of {allowed} connections, others have {facts.others}"
    )
    if asked.fits:
        yield Finding(Level.OK, subject, seen)
    else:
        fits = largest_pool(processes=processes, allowed=allowed, others=facts.others)
        remedy = f"set DB_POOL_MAX and DB_READ_POOL_MAX to {fits} at most, or raise max_connections"
        yield Finding(Level.WARN, subject, seen, remedy)
    if abs(facts.clock_off_s) > _CLOCK_OFF_S:
        yield Finding(
            Level.WARN, subject, f"its clock is {facts.clock_off_s:+.1f} s off ours", "run an NTP client on both"
        )
    if not facts.in_recovery and facts.synchronous_commit == "off":
        remedy = "set synchronous_commit to local or stronger: a crash would lose writes that were acknowledged"
        yield Finding(Level.FAIL, subject, "synchronous_commit is off", remedy)


def _of_roles(shard: ShardSpec, facts: dict[Address, NodeFacts]) -> Iterator[Finding]:
    primaries = [at for at, node in facts.items() if not node.in_recovery]
    if len(primaries) != 1:
        seen = f"{len(primaries)} writable servers" if primaries else "no writable server"
        remedy = "stop the former primary and rebuild it as a replica" if primaries else "start or promote one"
        yield Finding(Level.FAIL, shard.name, seen, f"{remedy} (docs/operations.md)")
        return
    primary = facts[primaries[0]]
    if primaries[0] != shard.primary:
        yield Finding(
            Level.INFO,
            shard.name,
            f"{primaries[0]} leads, the map says {shard.primary}",
            "correct the map when you can",
        )
    if len(facts) > 1 and primary.followers < len(facts) - 1:
        seen = f"{primary.followers} of {len(facts) - 1} replicas stream from the primary"
        yield Finding(Level.WARN, shard.name, seen, "look into the replica's log; rebuild it if it cannot follow")
    if not primary.synchronous_standby_names:
        seen = "replication is asynchronous: a primary that dies for good takes its last moments with it"
        remedy = "clients are told (409 write_lost); synchronous_standby_names makes commits wait for a replica"
        yield Finding(Level.INFO, shard.name, seen, remedy)


async def _of_sessions(region: RegionSpec, settings: Settings) -> list[Finding]:
    own, shared = region.sessions.redis_url, settings.redis_url
    url = own.reveal() if own else shared.get_secret_value() if shared else None
    subject = f"{region.name} sessions"
    if url is None:
        remedy = "set REDIS_URL before a second process serves this region"
        return [Finding(Level.INFO, subject, "in each process's memory", remedy)]
    try:
        async with open_sessions(redis_url=url, region=region.name, clock=lambda: datetime.now(UTC)) as store:
            health = await _settled(store)
    except ValueError as exc:
        return [Finding(Level.FAIL, subject, str(exc), "correct the Redis URL")]
    if health.connected:
        return [Finding(Level.OK, subject, "Redis answers and takes writes")]
    remedy = "start Redis or correct REDIS_URL; until then sessions live in each process"
    return [Finding(Level.WARN, subject, f"Redis cannot be used: {health.detail}", remedy)]


async def _settled(store: SessionStore) -> StoreHealth:
    """What the store is when its first looks are over: this process is busy, and one late answer says nothing."""
    for _ in range(20):
        if store.health().connected:
            break
        await asyncio.sleep(_LOOK_S / 20)
    return store.health()


async def _of_store(region: RegionSpec, settings: Settings) -> list[Finding]:
    subject = f"{region.name} files"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.storage.for_region(region.name, region.storage)))
        try:
            async with asyncio.timeout(_LOOK_S):
                await store.probe(writing=True)
        except (StoreUnreachable, TimeoutError) as exc:
            remedy = "check credentials, bucket and permissions; until then uploads wait in UPLOAD_FOLDER"
            return [Finding(Level.WARN, subject, f"{store.kind} cannot be used: {exc or 'no answer'}", remedy)]
        return [Finding(Level.OK, subject, f"{store.kind} answers and takes files")]


async def _of_schema(shard_map: ShardMap, settings: Settings) -> list[Finding]:
    findings = []
    statuses = await migrations.status(shard_map, settings.database)
    for found in statuses.values():
        for shard in found:
            if shard.fault:
                findings.append(
                    Finding(Level.FAIL, f"{shard.shard} schema", shard.fault, "see meridian migrate --status")
                )
            elif shard.pending:
                seen = f"{len(shard.pending)} migrations pending"
                findings.append(Finding(Level.FAIL, f"{shard.shard} schema", seen, "meridian migrate"))
            else:
                findings.append(Finding(Level.OK, f"{shard.shard} schema", "up to date"))
    return findings
