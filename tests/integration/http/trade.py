"""Steps of trade that tests share: people of every role, requests with bids, orders at any state, time that passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.ids import placement_of
from tests.integration.http.asking import REQUEST, Json, log_in, made, new_person, person_of, shard_of
from tests.system import Answer, Client, Person, Phones, System

BID: Json = {"amount": "120.50", "part_condition": "used_good", "warranty_days": 30, "notes": "From a 2019 car"}
STRONG = {"Consistency": "strong"}
PICKUP: Json = {name: value for name, value in REQUEST.items() if name != "delivery"}


@dataclass
class Deal:
    """A customer's request with a garage's bid on it, and the order once the bid is accepted."""

    customer: Person
    garage: Person
    request: Json
    bid: Json
    order: Json


async def hired(client: Client, system: System, phones: Phones, shard: str, role: str, **more: Any) -> Person:
    """Somebody whose role nobody can register with: a driver, staff or an admin of the shard's region."""
    person = await new_person(client, phones, shard, **more)
    await set_account(system, shard_of(client, person), person, role=role)
    return person_of(await log_in(client, person.phone))


async def set_account(system: System, shard: str, person: Person, **columns: Any) -> None:
    """Change an account's row past every gateway: its role or its plan."""
    names = ", ".join(f"{name} = ${at}" for at, name in enumerate(columns, start=2))
    await changed(system, shard, f"UPDATE marketplace.account SET {names} WHERE id = $1", person.id, *columns.values())


async def changed(system: System, shard: str, sql: str, id: str, *args: Any) -> None:
    """Change exactly one row past every gateway."""
    async with system.sql(shard) as connection:
        assert (await connection.execute(sql, UUID(id), *args)) == "UPDATE 1"
    await system.replicated(shard)


async def rows_of(system: System, shard: str, sql: str, *args: Any) -> list[Json]:
    """Rows as the primary has them."""
    async with system.sql(shard) as connection:
        return [dict(row) for row in await connection.fetch(sql, *args)]


async def passes(system: System, client: Client, person: Person, table: str, id: str, column: str, hours: int) -> None:
    """Let hours pass for one time of one row in the person's bucket."""
    sql = f"UPDATE marketplace.{table} SET {column} = {column} - make_interval(hours => $2) WHERE id = $1"
    await changed(system, shard_of(client, person), sql, id, hours)


async def post(client: Client, user: Person | None, path: str, body: Mapping[str, Any] | None = None) -> Answer:
    """A POST, with a body or without."""
    return await client.call("POST", path, user=user, **({} if body is None else {"json": body}))


async def done(client: Client, user: Person, path: str, body: Mapping[str, Any] | None = None) -> Json:
    """A POST that must succeed."""
    answer = await post(client, user, path, body)
    assert answer.status in (200, 201), answer
    found: Json = answer.json
    return found


async def bid_on(client: Client, garage: Person, request: Json, **more: Any) -> Json:
    """A bid of a garage's."""
    return await made(client, garage, f"/requests/{request['id']}/bids", {**BID, **more})


async def accepted(
    client: Client, customer: Person, garage: Person, *, request: Json | None = None, **bid: Any
) -> Deal:
    """A request, a bid on it, and the order that accepting makes: it waits for its payment."""
    asked = await made(client, customer, "/requests", REQUEST if request is None else request)
    offered = await bid_on(client, garage, asked, **bid)
    order = await done(client, customer, f"/bids/{offered['id']}/accept")
    return Deal(customer, garage, asked, offered, order)


async def at_status(
    system: System, client: Client, deal: Deal, status: str, *, driver: Person | None = None, paid: bool = True
) -> None:
    """Put a deal's order at a status by the steps that lead there, past the API; `paid` in full without a payment."""
    shard, id = shard_of(client, deal.customer), deal.order["id"]
    if paid and status != "pending_payment":
        await changed(system, shard, "UPDATE marketplace.orders SET paid = total WHERE id = $1", id)
    if driver is not None:
        sql = "UPDATE marketplace.orders SET driver = $2, driver_name = 'Driver' WHERE id = $1"
        await changed(system, shard, sql, id, UUID(driver.id))
    for step, role in _WAY[: [step for step, _ in _WAY].index(status) + 1]:
        sql = f"""UPDATE marketplace.orders SET status = '{step}', actor_role = '{role}',
            delivered_at = CASE WHEN '{step}' = 'delivered' THEN now() ELSE delivered_at END WHERE id = $1"""
        if step != "pending_payment":
            await changed(system, shard, sql, id)


_WAY: Sequence[tuple[str, str]] = (
    ("pending_payment", "customer"),
    ("confirmed", "system"),
    ("preparing", "garage"),
    ("ready_for_pickup", "garage"),
    ("collected", "driver"),
    ("in_transit", "driver"),
    ("delivered", "driver"),
    ("completed", "system"),
)


async def strong(client: Client, user: Person, path: str, **query: str | int) -> Any:
    """What a GET shows from the primary."""
    answer = await client.call("GET", path, user=user, headers=STRONG, params=query)
    assert answer.status == 200, answer
    return answer.json


async def listed(client: Client, user: Person, path: str, **query: str | int) -> list[Json]:
    """The first page of a list, from the primary: it also shows what others have just done."""
    found: list[Json] = (await strong(client, user, path, **query))["items"]
    return found


def bucket_of(person: Person) -> int:
    """The bucket of a person's rows."""
    return placement_of(UUID(person.id)).bucket
