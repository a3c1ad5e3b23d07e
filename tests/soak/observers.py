"""How long who could not do what: on every shard somebody reads and somebody writes all the time, and nothing else."""

import asyncio
from random import Random

from tests.soak.client import Client
from tests.soak.ledger import Ledger
from tests.soak.logins import Logins
from tests.soak.report import Report
from tests.soak.traffic import User
from tests.soak.world import World
from tests.system import SHARDS, until

INTERVAL_S = 0.2
ALL_PLACED_WITHIN_S = 30.0


async def observe(world: World, ledger: Ledger, report: Report, users: list[User], stop: asyncio.Event) -> None:
    """Read and write on every shard, in a session apart of some user who lives there, until told to stop."""

    async def all_placed() -> bool:
        return set(SHARDS) <= {user.client.shard for user in users}

    await until(all_placed, within_s=ALL_PLACED_WITHIN_S, what="users live on every shard")
    async with asyncio.TaskGroup() as group:
        for shard in SHARDS:
            phone = next(user.client.phone for user in users if user.client.shard == shard)
            client = Client(world, ledger, report, Random(f"{report.seed} {shard}"), phone=phone, shard=shard)
            await Logins(client, ledger).log_in("token")
            group.create_task(_keep_reading(client, report, stop))
            group.create_task(_keep_writing(client, report, stop))


async def _keep_reading(client: Client, report: Report, stop: asyncio.Event) -> None:
    while not stop.is_set():
        began = report.clock()
        reply = await client.call("GET", "/addresses")
        report.observed(f"{client.shard} reads", works=reply.status == 200, took_s=report.clock() - began)
        await asyncio.sleep(INTERVAL_S)


async def _keep_writing(client: Client, report: Report, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number, began = number + 1, report.clock()
        reply = await client.call("PATCH", "/me", json={"email": f"observer-{number}@example.com"})
        report.observed(f"{client.shard} writes", works=reply.status == 200, took_s=report.clock() - began)
        await asyncio.sleep(INTERVAL_S)
