"""The PostgreSQL servers of a shard: each against what is asked of it, and all together as a primary with replicas."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from core.database.inspection import NodeFacts, inspect
from core.database.migrate import ShardStatus
from core.database.settings import DatabaseSettings, Login
from core.database.sizing import largest_pool, room
from core.database.translate import NodeLost
from core.errors import PoolExhausted
from core.shard_map.model import Address, RegionSpec, ShardMap, ShardSpec
from gateway import migrations
from gateway.doctor.finding import Finding, Level

LOOK_S = 5.0
_OLDEST_VERSION = 140_000
_CLOCK_OFF_S = 1.0
_HOW = "(docs/operations.md)"

Facts = Mapping[Address, NodeFacts]


async def of_shard(
    shard_map: ShardMap, region: RegionSpec, shard: ShardSpec, settings: DatabaseSettings, processes: int
) -> list[Finding]:
    """Everything about one shard, within some 2 x LOOK_S whatever hangs."""
    login = Login(shard.database, shard.user, shard.password.reveal())
    alone = replace(shard_map, regions=(replace(region, shards=(shard,)),))
    schema, answers = await asyncio.gather(
        _of_schema(alone, settings), asyncio.gather(*(_look(at, login, settings) for at in shard.addresses))
    )
    found = dict(zip(shard.addresses, answers, strict=True))
    facts = {at: answer for at, answer in found.items() if isinstance(answer, NodeFacts)}
    lost = {at: answer for at, answer in found.items() if not isinstance(answer, NodeFacts)}
    leads = len(primaries_of(facts)) == 1
    return [
        *(finding for at, node in facts.items() for finding in of_node(shard, at, node, settings, processes)),
        *(of_lost_node(shard, at, reason, leads=leads) for at, reason in lost.items()),
        *of_roles(shard, facts, lag_max_s=settings.lag_max_ms / 1000),
        *(schema if leads else ()),
    ]


async def _look(at: Address, login: Login, settings: DatabaseSettings) -> NodeFacts | NodeLost | PoolExhausted:
    try:
        return await inspect(at, login, settings, timeout_s=LOOK_S, wall=time.time)
    except (NodeLost, PoolExhausted) as exc:
        return exc


def primaries_of(facts: Facts) -> list[Address]:
    """Who is writable."""
    return [at for at, node in facts.items() if not node.in_recovery]


def of_node(
    shard: ShardSpec, at: Address, facts: NodeFacts, settings: DatabaseSettings, processes: int
) -> Iterator[Finding]:
    """One server that answered: version, connections, identity, clock, durability."""
    subject, major = f"{shard.name} {at}", facts.version // 10_000
    if facts.version < _OLDEST_VERSION:
        yield Finding(
            Level.FAIL, subject, f"PostgreSQL {major}", "Meridian's statements need 14", "upgrade to 14 or newer"
        )
    yield _of_connections(subject, facts, settings, processes)
    if facts.shard and facts.shard != shard.name:
        yield Finding(
            Level.FAIL,
            subject,
            f"says it is {facts.shard}",
            "it holds another shard's users, so it is not used",
            f"correct the address of {shard.name} in the map",
        )
    if abs(facts.clock_off_s) > _CLOCK_OFF_S:
        yield Finding(
            Level.WARN,
            subject,
            f"its clock is {facts.clock_off_s:+.1f} s off ours",
            "sessions and tokens end early or late by that",
            "run an NTP client on both",
        )
    if not facts.in_recovery:
        yield from _of_durability(subject, facts)


def _of_connections(subject: str, facts: NodeFacts, settings: DatabaseSettings, processes: int) -> Finding:
    allowed = facts.max_connections - facts.reserved
    asked = room(settings, processes=processes, allowed=allowed, others=facts.others)
    gateways = "1 gateway" if processes == 1 else f"{processes} gateways"
    seen = (
        f"{'replica' if facts.in_recovery else 'primary'}, PostgreSQL {facts.version // 10_000};"
        f" {gateways} may open {asked.needed} of {allowed} connections, others have {facts.others}"
    )
    if asked.fits:
        return Finding(Level.OK, subject, seen)
    fits = largest_pool(processes=processes, allowed=allowed, others=facts.others)
    if fits:
        remedy = f"set DB_POOL_MAX and DB_READ_POOL_MAX to {fits} at most, or raise max_connections"
    else:
        remedy = "raise max_connections, or run fewer gateways: not even one connection for each fits"
    return Finding(Level.WARN, subject, seen, "under load some requests get 503 pool_exhausted", remedy)


def _of_durability(subject: str, facts: NodeFacts) -> Iterator[Finding]:
    if facts.synchronous_commit == "off":
        yield Finding(
            Level.FAIL,
            subject,
            "synchronous_commit is off",
            "a crash loses writes that were acknowledged, and the tokens of who saw them",
            "set synchronous_commit to local or stronger",
        )
    if facts.wal_level == "minimal":
        yield Finding(
            Level.WARN,
            subject,
            "wal_level is minimal",
            "no replica can follow: what is lost with this server comes from a backup or not at all",
            "set wal_level to replica and restart it",
        )


def of_lost_node(shard: ShardSpec, at: Address, reason: Exception, *, leads: bool) -> Finding:
    """One server that did not answer. `leads`: its shard has a primary all the same."""
    subject = f"{shard.name} {at}"
    if isinstance(reason, PoolExhausted):
        why = "gateways keep what they have and get no more: 503 pool_exhausted under load"
        return Finding(
            Level.FAIL, subject, "accepts no more connections", why, "end other users of it, or raise max_connections"
        )
    seen = f"cannot be used: {reason}"
    if leads:
        why = "nobody notices until another server of this shard fails"
        return Finding(Level.FAIL, subject, seen, why, "start it; if it cannot follow, rebuild it as a replica")
    return Finding(Level.FAIL, subject, seen, "its shard has no primary", "start it, or correct its address or login")


def of_roles(shard: ShardSpec, facts: Facts, *, lag_max_s: float) -> Iterator[Finding]:
    """The servers that answered, as one primary and its replicas."""
    primaries = primaries_of(facts)
    if len(primaries) != 1:
        yield _of_no_primary(shard, facts) if not primaries else _of_two_primaries(shard, facts, primaries)
        return
    at, primary = primaries[0], facts[primaries[0]]
    if at != shard.primary:
        yield Finding(
            Level.INFO,
            shard.name,
            f"{at} leads, the map says {shard.primary}",
            "roles are observed, so nothing is wrong with that",
            "correct the map when you can",
        )
    for other, node in facts.items():
        if node.in_recovery:
            yield _of_replica(f"{shard.name} {other}", node, primary, lag_max_s)
    yield _of_loss(shard, primary)
    if shard.replicas and not primary.reads_history:
        yield Finding(
            Level.INFO,
            shard.name,
            f"{shard.user} may not read where timelines were left",
            "after a failover write_lost is told to some who lost nothing",
            "if that matters: GRANT pg_read_all_stats, and EXECUTE ON FUNCTION pg_read_file(text, int8, int8, bool)",
        )


def _of_no_primary(shard: ShardSpec, facts: Facts) -> Finding:
    if not facts:
        why, remedy = "its users get 503 for everything", "start its primary"
    else:
        furthest = max(facts, key=lambda at: facts[at].lsn)
        why = "its users' writes get 503; reads go on"
        remedy = f"start its primary; if that is lost for good, promote {furthest}, which has replayed most"
    return Finding(Level.FAIL, shard.name, "no writable server", why, f"{remedy} {_HOW}")


def _of_two_primaries(shard: ShardSpec, facts: Facts, primaries: Sequence[Address]) -> Finding:
    shown = ", ".join(f"{at} (cluster {facts[at].system_id})" for at in primaries)
    return Finding(
        Level.FAIL,
        shard.name,
        f"{len(primaries)} writable servers: {shown}",
        "gateways write to the newer timeline if they can tell, and to none if they cannot",
        f"stop the former primary and rebuild it as a replica {_HOW}",
    )


def _of_replica(subject: str, facts: NodeFacts, primary: NodeFacts, lag_max_s: float) -> Finding:
    rebuild = f"look into its log; rebuild it if it cannot follow {_HOW}"
    if facts.system_id != primary.system_id:
        why = "it is no copy of this shard, so it is not used"
        return Finding(Level.FAIL, subject, "follows another cluster", why, "correct its address in the map")
    behind = f"{facts.lag_s:.1f} s and {max(0, primary.lsn - facts.lsn) / 2**20:.1f} MiB behind"
    if not facts.is_streaming:
        why = "reads go elsewhere as it falls behind, and it is no good for a failover"
        return Finding(Level.WARN, subject, f"does not stream from its primary; {behind}", why, rebuild)
    if facts.lag_s > lag_max_s:
        why = "it is not read from beyond DB_REPLICA_LAG_MAX; its primary serves its readers too"
        return Finding(Level.WARN, subject, behind, why, f"look for long queries on it; {rebuild}")
    return Finding(Level.OK, subject, f"streams, {behind}")


def _of_loss(shard: ShardSpec, primary: NodeFacts) -> Finding:
    if not shard.replicas:
        why = "while its server is down its users get 503, and a lost disk is lost data"
        return Finding(Level.INFO, shard.name, "has no replica", why, "give it one and name it in the map")
    if primary.synchronous_standby_names:
        return Finding(Level.OK, shard.name, "commits wait for a replica: a failover to it loses nothing")
    return Finding(
        Level.INFO,
        shard.name,
        "replication is asynchronous",
        "a primary that dies for good takes its last writes with it; who saw them is told (409 write_lost)",
        f"to lose nothing, set synchronous_standby_names {_HOW}",
    )


async def _of_schema(alone: ShardMap, settings: DatabaseSettings) -> list[Finding]:
    """The migrations of a map's shards."""
    try:
        async with asyncio.timeout(2 * LOOK_S):
            statuses = await migrations.status(alone, settings)
    except TimeoutError:
        subject = f"{alone.regions[0].shards[0].name} schema"
        return [Finding(Level.FAIL, subject, "no answer", "", "run meridian doctor again; is something locked?")]
    return [_of_status(shard) for found in statuses.values() for shard in found]


def _of_status(shard: ShardStatus) -> Finding:
    subject = f"{shard.shard} schema"
    if shard.fault:
        return Finding(
            Level.FAIL, subject, shard.fault, "what it holds may not fit this program", "see meridian migrate --status"
        )
    if shard.pending:
        seen = f"{len(shard.pending)} migrations pending"
        return Finding(Level.FAIL, subject, seen, "its users get 503 until they are done", "run meridian migrate")
    return Finding(Level.OK, subject, "up to date")
