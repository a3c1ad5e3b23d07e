"""The faults: each takes something away for a while and gives it back. One seed decides what, where and how long."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from gateway.local.postgres import PostgresServer
from tests.contract.sessions.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.servers.process import ServerProcess
from tests.soak.ledger import Ledger
from tests.soak.report import PROMOTION, FaultRecord, Report
from tests.soak.world import REGIONS, World
from tests.system import SHARDS

HEALED_WITHIN_S = 60.0
LASTS_S = (0.5, 8.0, 1.5)  # at least, at most, mostly
CALM_S = (0.3, 1.5)
TWO_AT_ONCE = 0.25
DELAY_S = 0.3
TRICKLE_BYTES_PER_S = 20_000


@dataclass(frozen=True)
class Fault:
    """`run` breaks a dependency somewhere, waits for as long as it is told, and mends it. No two faults at one time
    touch the same thing.
    """

    dependency: str
    place: str
    how: str
    touches: str
    run: Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Extent:
    """How long faults go on: so many seconds, and until so many kinds of dependencies have been hit."""

    seconds: float
    dependencies: int = 0

    def is_over(self, report: Report) -> bool:
        """Whether it was enough."""
        hit = {record.dependency for record in report.faults}
        return report.clock() >= self.seconds and len(hit) >= self.dependencies


def deck(world: World, random: Random) -> list[Fault]:
    """Every kind of fault once, at places that the seed chooses, in an order that it chooses; each dependency is hit
    once before any is hit again.
    """
    faults = [
        *(_replica(world, random.choice(SHARDS), how) for how in ("kill", "pause", "cut", "blackhole", "delay")),
        *(_lag(world, shard) for shard in SHARDS),
        *(_primary(world, random.choice(SHARDS), how) for how in ("kill", "pause", "cut", "blackhole", "refuse")),
        *(_promotion(world, shard) for shard in SHARDS),
        *(_redis(world, random.choice(list(REGIONS)), how) for how in ("kill", "pause", "cut", "blackhole")),
        *(_s3(world, how) for how in ("kill", "pause", "refuse", "blackhole", "trickle")),
        *(_azure(world, how) for how in ("restart", "pause", "refuse", "blackhole")),
        _gateway(world, random.randrange(len(world.gateways)), "restart"),
        _gateway(world, random.randrange(len(world.gateways)), "kill"),
    ]
    random.shuffle(faults)
    firsts = list({fault.dependency: fault for fault in reversed(faults)}.values())
    random.shuffle(firsts)
    return [*firsts, *(fault for fault in faults if fault not in firsts)]


async def drive(world: World, ledger: Ledger, report: Report, random: Random, extent: Extent) -> None:
    """Cause fault after fault, now and then two at once, until it was enough; each is mended, and health waited for,
    before the next. That something does not heal is a violation, and the end.
    """
    waiting: list[Fault] = []
    while not extent.is_over(report):
        waiting = waiting or deck(world, random)
        faults = [waiting.pop(0)]
        if waiting and waiting[0].touches != faults[0].touches and random.random() < TWO_AT_ONCE:
            faults.append(waiting.pop(0))
        records = await _cause(report, faults, random)
        trouble = await world.healed(HEALED_WITHIN_S)
        if trouble:
            names = " and ".join(record.kind for record in records)
            ledger.violated(f"not healthy {HEALED_WITHIN_S:g} s after {names}: {trouble}")
            return
        for record in records:
            record.healed_s = report.clock()
            report.active.remove(record)
        await asyncio.sleep(random.uniform(*CALM_S))


async def _cause(report: Report, faults: list[Fault], random: Random) -> list[FaultRecord]:
    async def cause(fault: Fault, record: FaultRecord, lasts_s: float) -> None:
        await fault.run(lasts_s)
        record.ended_s = report.clock()

    records = [FaultRecord(fault.dependency, fault.place, fault.how, report.clock()) for fault in faults]
    report.faults.extend(records)
    report.active.extend(records)
    async with asyncio.TaskGroup() as group:
        for fault, record in zip(faults, records, strict=True):
            print(f"  {record.began_s:6.1f} s  {record.dependency} {record.place}: {record.how}", flush=True)
            group.create_task(cause(fault, record, random.triangular(*LASTS_S)))
    return records


def _replica(world: World, shard: str, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        node = world.follower(shard)
        if how not in ("kill", "pause"):
            await _network(world.proxy_of(node), how, lasts_s)
            return
        # Whoever manages the cluster stops waiting for a replica before it is taken away.
        await world.synchronous(shard, on=False)
        await _node(node, how, lasts_s)
        await world.synchronous(shard, on=True)

    return Fault("replica", shard, how, shard, run)


def _lag(world: World, shard: str) -> Fault:
    """The replica receives, so commits go on, but shows nothing new."""

    async def run(lasts_s: float) -> None:
        node = world.follower(shard)
        await node.pause_replay()
        await asyncio.sleep(lasts_s)
        await node.resume_replay()

    return Fault("replica", shard, "lag", shard, run)


def _primary(world: World, shard: str, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        node = world.leader(shard)
        if how in ("kill", "pause"):
            await _node(node, how, lasts_s)
        else:
            await _network(world.proxy_of(node), how, lasts_s)

    return Fault("primary", shard, how, shard, run)


def _promotion(world: World, shard: str) -> Fault:
    """The primary dies, its synchronous replica takes over after a while, and the dead one becomes its replica."""

    async def run(lasts_s: float) -> None:
        await world.synchronous(shard, on=True)
        old, new = world.leader(shard), world.follower(shard)
        await old.kill()
        await asyncio.sleep(lasts_s / 2)
        # A new primary that waits for a replica which is not there would answer nobody.
        await new.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
        await new.promote()
        await new.sql("SELECT pg_reload_conf()")
        await world.cluster.shard(shard).rebuild(old, new)
        await world.synchronous(shard, on=True)

    return Fault("primary", shard, PROMOTION, shard, run)


def _redis(world: World, region: str, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        valkey, proxy = world.redis[region]
        if how in ("kill", "pause"):
            await _server(valkey, how, lasts_s)
        else:
            await _network(proxy, how, lasts_s)

    return Fault("redis", region, how, f"redis of {region}", run)


def _s3(world: World, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        server, proxy = world.s3
        if how in ("kill", "pause"):
            await _server(server, how, lasts_s)
        else:
            await _network(proxy, how, lasts_s)

    return Fault("s3", "qa", how, "s3", run)


def _azure(world: World, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        server, proxy = world.azurite
        if how == "restart":  # in order: Azurite itself forgets what it stored just before a kill
            await server.stop()
            await asyncio.sleep(lasts_s)
            await server.start()
        elif how == "pause":
            await _server(server, how, lasts_s)
        else:
            await _network(proxy, how, lasts_s)

    return Fault("azure", "sa", how, "azure", run)


def _gateway(world: World, number: int, how: str) -> Fault:
    """One gateway ends, and another takes its place: as in a rolling update, or as after kill -9."""

    async def run(lasts_s: float) -> None:
        if how == "kill":
            await world.kill_gateway(number)
            await asyncio.sleep(lasts_s)
        else:
            await world.stop_gateway(number)
        await world.start_gateway(number)

    return Fault("gateway", f"{number}", how, "gateways", run)


async def _node(node: PostgresServer, how: str, lasts_s: float) -> None:
    if how == "kill":
        await node.kill()
        await asyncio.sleep(lasts_s)
        await node.start()
    else:
        node.suspend()
        await asyncio.sleep(lasts_s)
        node.resume()


async def _server(server: ServerProcess | Valkey, how: str, lasts_s: float) -> None:
    if how == "kill":
        await server.kill()
        await asyncio.sleep(lasts_s)
        await server.start()
    else:
        server.pause()
        await asyncio.sleep(lasts_s)
        server.resume()


async def _network(proxy: Proxy, how: str, lasts_s: float) -> None:
    match how:
        case "cut":
            proxy.cut()
        case "refuse":
            await proxy.refuse()
        case "blackhole":
            proxy.blackhole()
        case "delay":
            proxy.delay(DELAY_S)
        case "trickle":
            proxy.trickle(TRICKLE_BYTES_PER_S)
        case _:
            raise ValueError(how)
    await asyncio.sleep(lasts_s)
    await proxy.heal()
