"""A stage for tests that go over every operation: people of every role on every shard, and things at every state."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from gateway.marketplace.roles import ADMIN, CUSTOMER, DRIVER, GARAGE, STAFF
from tests.integration.http.asking import ADDRESS, REQUEST, VEHICLE, log_in, made, new_person, person_of
from tests.integration.http.trade import accepted, bid_on, done
from tests.system import SHARDS, Client, Person, Phones, System

ROLES: Final = (CUSTOMER, GARAGE, DRIVER, STAFF, ADMIN)
DISPUTE: Final = {"reason": "damaged", "description": "It is broken"}
REVIEW: Final = {"rating": 4, "comment": "As described"}
OFFER: Final = {"amount": "99.50", "message": "For cash"}
PAYMENT: Final = {"kind": "full"}
METHOD: Final = {"method": "sandbox_card"}
_WAY: Final = (
    ("confirmed", "system"),
    ("preparing", "garage"),
    ("ready_for_pickup", "garage"),
    ("collected", "driver"),
    ("in_transit", "driver"),
    ("delivered", "driver"),
    ("completed", "system"),
)


@dataclass
class Stage:
    """Two people of every role on each shard: `mine` are parties of what is made, `others` are strangers to it."""

    client: Client
    system: System
    phones: Phones
    mine: Mapping[tuple[str, str], Person]
    others: Mapping[tuple[str, str], Person]
    shard: str = SHARDS[0]

    @classmethod
    async def opened(cls, client: Client, system: System, phones: Phones) -> "Stage":
        """Everybody registered, hired and logged in."""
        mine, others = [
            {
                (shard, role): await new_person(client, phones, shard, GARAGE if role == GARAGE else CUSTOMER)
                for shard in SHARDS
                for role in ROLES
            }
            for _ in range(2)
        ]
        await asyncio.gather(*(_hire(client, system, shard, [mine, others]) for shard in SHARDS))
        return cls(client, system, phones, mine, others)

    def at(self, shard: str) -> "Stage":
        """The same people; things are made on this shard."""
        return replace(self, shard=shard)

    def who(self, role: str) -> Person:
        """The one of a role who is a party of what is made here."""
        return self.mine[self.shard, role]

    async def thing(self, kind: str) -> str:
        """The id of a new thing: `vehicle`, `bid`, `order:delivered`... Its parties are those of this shard."""
        name, _, state = kind.partition(":")
        return await _MAKE[name](self, state)

    async def settled(self) -> None:
        """Wait until the replicas have all that was made."""
        await self.system.replicated(self.shard)


async def advance(system: System, shard: str, order: str, status: str, *, driver: Person) -> None:
    """Take an order that waits for its payment to a status, past the API: paid in full, every step in its history."""
    ways = [step for step, _ in _WAY]
    async with system.sql(shard) as connection, connection.transaction():
        for step, role in _WAY[: ways.index(status) + 1] if status else ():
            await connection.execute(
                """UPDATE marketplace.orders SET paid = total, status = $2, actor_role = $3, driver = $4,
                       driver_name = 'Driver',
                       delivered_at = CASE WHEN $2 = 'delivered' THEN now() ELSE delivered_at END
                   WHERE id = $1""",
                UUID(order),
                step,
                role,
                UUID(driver.id),
            )


async def _hire(client: Client, system: System, shard: str, people: list[dict[tuple[str, str], Person]]) -> None:
    hired = {role: [UUID(group[shard, role].id) for group in people] for role in (DRIVER, STAFF, ADMIN)}
    async with system.sql(shard) as connection:
        for role, ids in hired.items():
            await connection.execute("UPDATE marketplace.account SET role = $1 WHERE id = ANY($2)", role, ids)
    await system.replicated(shard)
    for group in people:
        for role in hired:
            group[shard, role] = person_of(await log_in(client, group[shard, role].phone))


async def _listed(stage: Stage, path: str, body: Mapping[str, object]) -> str:
    return str((await made(stage.client, stage.who(CUSTOMER), path, body))["id"])


async def _bid(stage: Stage, _: str) -> str:
    request = await made(stage.client, stage.who(CUSTOMER), "/requests", REQUEST)
    return str((await bid_on(stage.client, stage.who(GARAGE), request))["id"])


async def _offer(stage: Stage, _: str) -> str:
    """A customer's, so it is the garage's turn."""
    path = f"/bids/{await _bid(stage, '')}/counter-offers"
    return str((await made(stage.client, stage.who(CUSTOMER), path, OFFER))["id"])


async def _order(stage: Stage, status: str) -> str:
    id = str((await accepted(stage.client, stage.who(CUSTOMER), stage.who(GARAGE))).order["id"])
    await advance(stage.system, stage.shard, id, status, driver=stage.who(DRIVER))
    return id


async def _dispute(stage: Stage, _: str) -> str:
    path = f"/orders/{await _order(stage, 'delivered')}/dispute"
    return str((await done(stage.client, stage.who(CUSTOMER), path, DISPUTE))["id"])


async def _review(stage: Stage, _: str) -> str:
    path = f"/orders/{await _order(stage, 'completed')}/review"
    return str((await done(stage.client, stage.who(CUSTOMER), path, REVIEW))["id"])


async def _payment(stage: Stage, status: str) -> str:
    path, customer = f"/orders/{await _order(stage, '')}/payments", stage.who(CUSTOMER)
    id = str((await made(stage.client, customer, path, PAYMENT))["id"])
    if status == "paid":
        await done(stage.client, customer, f"/payments/{id}/confirm", METHOD)
    return id


async def _garage(stage: Stage, _: str) -> str:
    return stage.who(GARAGE).id


_MAKE: Final[Mapping[str, Callable[[Stage, str], Awaitable[str]]]] = {
    "vehicle": lambda stage, _: _listed(stage, "/vehicles", VEHICLE),
    "address": lambda stage, _: _listed(stage, "/addresses", ADDRESS),
    "upload": lambda stage, _: _listed(stage, "/uploads", {}),
    "request": lambda stage, _: _listed(stage, "/requests", REQUEST),
    "bid": _bid,
    "offer": _offer,
    "order": _order,
    "dispute": _dispute,
    "review": _review,
    "payment": _payment,
    "garage": _garage,
}
