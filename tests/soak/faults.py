"""The faults: each takes something away for a while and gives it back. One seed decides which and for how long."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from tests.faults.proxy import Proxy
from tests.soak.report import FaultRecord, Report
from tests.soak.world import REGIONS, World
from tests.system import SHARDS

HEALED_WITHIN_S = 60.0
LASTS_S = (0.5, 3.0)
CALM_S = (0.3, 1.5)


@dataclass(frozen=True)
class Fault:
    """`run` breaks `dependency`, waits for as long as it is told, and mends it."""

    dependency: str
    how: str
    run: Callable[[float], Awaitable[None]]


def deck(world: World, random: Random) -> list[Fault]:
    """Every kind of fault once, at places that the seed chooses, in an order that it chooses; promotions come early."""
    faults = [
        *(_replica(world, random.choice(SHARDS), how) for how in ("kill", "pause", "cut", "blackhole", "delay")),
        *(_primary(world, random.choice(SHARDS), how) for how in ("kill", "pause", "cut", "blackhole", "refuse")),
        *(_redis(world, random.choice(list(REGIONS)), how) for how in ("kill", "pause", "cut", "blackhole")),
        *(_s3(world, how) for how in ("kill", "pause", "refuse", "blackhole", "trickle")),
        *(_azure(world, how) for how in ("restart", "pause", "refuse", "blackhole")),
        Fault("gateway", "restarted", lambda s: _restart_gateway(world, random.randrange(len(world.gateways)))),
    ]
    random.shuffle(faults)
    promotions = [Fault("primary", f"{s} promotion", lambda _, s=s: _promote(world, s)) for s in SHARDS]  # type: ignore[misc]
    random.shuffle(promotions)
    faults.insert(1, promotions[0])
    return [*faults, *promotions[1:]]


async def drive(world: World, report: Report, random: Random, until_s: float) -> None:
    """Cause fault after fault until the time is over; each is mended, and health waited for, before the next."""
    waiting: list[Fault] = []
    while report.clock() < until_s:
        waiting = waiting or deck(world, random)
        fault = waiting.pop(0)
        record = FaultRecord(fault.dependency, fault.how, report.clock())
        report.faults.append(record)
        report.active.append(record)
        print(f"  {record.began_s:6.1f} s  {fault.dependency}: {fault.how}", flush=True)
        await fault.run(random.uniform(*LASTS_S))
        record.ended_s = report.clock()
        await world.healed(HEALED_WITHIN_S, f"{fault.dependency} {fault.how}")
        record.healed_s = report.clock()
        report.active.remove(record)
        await asyncio.sleep(random.uniform(*CALM_S))


def _replica(world: World, shard: str, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        node = world.follower(shard)
        proxy = world.proxy_of(node)
        # Whoever manages the cluster stops waiting for a replica before it is taken away.
        await world.synchronous(shard, on=False)
        match how:
            case "kill":
                await node.kill()
                await asyncio.sleep(lasts_s)
                await node.start()
            case "pause":
                node.suspend()
                await asyncio.sleep(lasts_s)
                node.resume()
            case _:
                await _network(proxy, how, lasts_s)
        await world.synchronous(shard, on=True)

    return Fault("replica", f"{shard} {how}", run)


def _primary(world: World, shard: str, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        node = world.leader(shard)
        match how:
            case "kill":
                await node.kill()
                await asyncio.sleep(lasts_s)
                await node.start()
            case "pause":
                node.suspend()
                await asyncio.sleep(lasts_s)
                node.resume()
            case _:
                await _network(world.proxy_of(node), how, lasts_s)

    return Fault("primary", f"{shard} {how}", run)


async def _promote(world: World, shard: str) -> None:
    """The primary dies, its synchronous replica takes over, and the dead one comes back as its replica."""
    await world.synchronous(shard, on=True)
    old, new = world.leader(shard), world.follower(shard)
    await old.kill()
    # A new primary that waits for a replica which is not there would answer nobody.
    await new.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
    await new.promote()
    await new.sql("SELECT pg_reload_conf()")
    await world.cluster.shard(shard).rebuild(old, new)
    await world.synchronous(shard, on=True)


def _redis(world: World, region: str, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        valkey, proxy = world.redis[region]
        match how:
            case "kill":
                await valkey.kill()
                await asyncio.sleep(lasts_s)
                await valkey.start()
            case "pause":
                valkey.pause()
                await asyncio.sleep(lasts_s)
                valkey.resume()
            case _:
                await _network(proxy, how, lasts_s)

    return Fault("redis", f"{region} {how}", run)


def _s3(world: World, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        server, proxy = world.s3
        match how:
            case "kill":
                await server.kill()
                await asyncio.sleep(lasts_s)
                await server.start()
            case "pause":
                server.pause()
                await asyncio.sleep(lasts_s)
                server.resume()
            case _:
                await _network(proxy, how, lasts_s)

    return Fault("s3", how, run)


def _azure(world: World, how: str) -> Fault:
    async def run(lasts_s: float) -> None:
        server, proxy = world.azurite
        match how:
            case "restart":  # in order: Azurite itself forgets what it stored just before a kill
                await server.stop()
                await asyncio.sleep(lasts_s)
                await server.start()
            case "pause":
                server.pause()
                await asyncio.sleep(lasts_s)
                server.resume()
            case _:
                await _network(proxy, how, lasts_s)

    return Fault("azure", how, run)


async def _network(proxy: Proxy, how: str, lasts_s: float) -> None:
    match how:
        case "cut":
            proxy.cut()
        case "refuse":
            await proxy.refuse()
        case "blackhole":
            proxy.blackhole()
        case "delay":
            proxy.delay(0.3)
        case "trickle":
            proxy.trickle(20_000)
        case _:
            raise ValueError(how)
    await asyncio.sleep(lasts_s)
    await proxy.heal()


async def _restart_gateway(world: World, number: int) -> None:
    """One gateway drains and ends, and another takes its place, as in a rolling update."""
    old = world.leaving = world.gateways[number]
    assert await old.stop() == 0, old.said()[-2000:]
    await world.start_gateway(number)
    world.leaving = None
