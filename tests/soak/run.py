"""One soak: start the world, let users live in it while faults happen, heal, and look for every promise."""

import asyncio
from random import Random
from typing import Any

from tests.soak import evidence
from tests.soak.client import Client
from tests.soak.faults import HEALED_WITHIN_S, Extent, drive
from tests.soak.ledger import Ledger
from tests.soak.observers import observe
from tests.soak.report import Report
from tests.soak.traffic import User
from tests.soak.verify import verify
from tests.soak.world import World, running_world
from tests.system import until

USERS_PER_REGION = 10
DRAINED_WITHIN_S = 30.0
PHONES = {"qa": "+97455{:06d}", "sa": "+96655{:07d}"}


async def soak(seconds: float, seed: int, *, dependencies: int = 0, keep: bool = False) -> dict[str, Any]:
    """Run for `seconds` of faults, and until so many kinds of dependencies have been hit; the summary, whose
    `violations` should be empty. The servers' data and the gateways' logs are deleted, unless they are to be kept or
    there is a violation.
    """
    async with running_world() as world:
        report = Report(seed)
        ledger = Ledger(report.clock)
        users = _users(world, ledger, report, seed)
        await _live_through_faults(world, ledger, report, users, Extent(seconds, dependencies))
        await _wait_for_quiet(world, ledger)
        await asyncio.gather(*(user.look_back() for user in users))
        verify(ledger, await evidence.collect(world))
        world.keep = keep or bool(ledger.violations)
        return report.summary(ledger) | ({"kept": str(world.folder)} if world.keep else {})


async def _live_through_faults(world: World, ledger: Ledger, report: Report, users: list[User], extent: Extent) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(user.live(stop))
        group.create_task(observe(world, ledger, report, users, stop))
        try:
            await drive(world, ledger, report, Random(report.seed), extent)
        finally:
            stop.set()


async def _wait_for_quiet(world: World, ledger: Ledger) -> None:
    trouble = await world.healed(HEALED_WITHIN_S)
    if trouble:
        ledger.violated(f"not healthy {HEALED_WITHIN_S:g} s after the end: {trouble}")
    try:
        await until(lambda: evidence.is_drained(world), within_s=DRAINED_WITHIN_S)
    except AssertionError:
        ledger.violated(f"files still wait in a spool {DRAINED_WITHIN_S:g} s after the end")


def _users(world: World, ledger: Ledger, report: Report, seed: int) -> list[User]:
    users = []
    for region, phone in PHONES.items():
        for number in range(USERS_PER_REGION):
            random = Random(f"{seed} {region} {number}")
            client = Client(world, ledger, report, random, phone=phone.format(1000 + number), shard=region)
            users.append(User(client, ledger, random, region=region))
    return users
