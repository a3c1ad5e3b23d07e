"""A user's rows are in their own country's shard, on its primary and its replica, and nowhere else."""

from uuid import UUID

from core.ids import placement_of
from tests.system import SHARDS, Client, Phones, System

TABLES = {"account": "id", "request": "customer", "vehicle": "owner", "login_session": "account", "identity": "account"}


async def where(system: System, person_id: str) -> dict[str, set[tuple[str, str]]]:
    """For each table, the nodes on which rows of a person lie."""
    found: dict[str, set[tuple[str, str]]] = {table: set() for table in TABLES}
    for shard in SHARDS:
        await system.replicated(shard)
        for role in ("primary", "replica"):
            async with system.sql(shard, role) as connection:
                for table, column in TABLES.items():
                    sql = f"SELECT count(*) FROM marketplace.{table} WHERE {column} = $1"
                    if await connection.fetchval(sql, UUID(person_id)):
                        found[table].add((shard, role))
    return found


async def test_each_row_is_on_its_own_shards_two_nodes_and_nowhere_else(
    system: System, gateway: Client, phones: Phones
) -> None:
    people = [await gateway.register(phones.qatar()) for _ in range(3)]
    people += [await gateway.register(phones.saudi()) for _ in range(8)]
    shards = set()
    for person in people:
        request = {"car_make": "Toyota", "car_model": "Hilux", "car_year": 2020, "part_description": "Mirror"}
        created = await gateway.call("POST", "/requests", user=person, json=request)
        assert created.status == 201, created
        vehicle = {"make": "Toyota", "model": "Hilux", "year": 2020}
        assert (await gateway.call("POST", "/vehicles", user=person, json=vehicle)).status == 201
        shard = created.headers["Meridian-Route"].split("/")[0]
        assert shard.startswith("qa" if person.phone.startswith("+974") else "sa")
        assert placement_of(UUID(created.json["id"])) == placement_of(UUID(person.id))
        assert await where(system, person.id) == {table: {(shard, "primary"), (shard, "replica")} for table in TABLES}
        shards.add(shard)
    assert shards == set(SHARDS), "Saudi users spread over both of their shards"
