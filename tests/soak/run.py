"""One soak: start the world, let users live in it while faults happen, heal, and look for every promise."""

import asyncio
from random import Random
from typing import Any

from tests.soak.faults import drive
from tests.soak.ledger import Ledger
from tests.soak.report import Report
from tests.soak.traffic import Client
from tests.soak.verify import verify
from tests.soak.world import running_world

USERS_PER_REGION = 8


async def soak(seconds: float, seed: int) -> dict[str, Any]:
    """Run for `seconds` of faults; the summary, whose `violations` should be empty."""
    ledger, random = Ledger(), Random(seed)
    async with running_world() as world:
        report, stop = Report(seed), asyncio.Event()
        phones = {"qa": "+97455{:06d}", "sa": "+96655{:07d}"}
        clients = [
            Client(world, ledger, report, Random(f"{seed} {region} {n}"), region=region, phone=phone.format(1000 + n))
            for region, phone in phones.items()
            for n in range(USERS_PER_REGION)
        ]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.live(stop))
            try:
                await drive(world, report, random, seconds)
            finally:
                stop.set()
        await world.healed(60, "the end")
        await verify(world, ledger)
        return report.summary(
            acknowledged=ledger.acknowledged, accounts=len(ledger.accounts), violations=ledger.violations
        )
