"""Reading one's own writes: whatever the replica's lag, a caller who presents their token never goes back in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database.shard import Consistency, Shard, Terms
from core.database.statement import Query
from core.ids import placement_of
from tests.system import Answer, Client, Person, Phones, System, until

SHARD = "qa-1"
EVENTUAL = {"Consistency": "eventual"}
STRONG = {"Consistency": "strong"}


@asynccontextmanager
async def replay_paused(system: System, shard: str = SHARD) -> AsyncIterator[None]:
    """The shard's replica shows nothing new until the block ends."""
    await system.replicated(shard)
    await system.cluster.pause_replay(shard)
    try:
        yield
    finally:
        await system.cluster.resume_replay(shard)


async def rename(client: Client, person: Person, name: str) -> Answer:
    answer = await client.call("PATCH", "/me", user=person, json={"full_name": name})
    assert answer.status == 200, answer
    return answer


async def read(client: Client, person: Person, **more: Any) -> Answer:
    answer = await client.call("GET", "/me", user=person, **more)
    assert answer.status == 200, answer
    return answer


def role(answer: Answer) -> str:
    return answer.headers["Meridian-Route"].split("/")[1].split(";")[0]


def shard_of(client: Client, person: Person) -> Shard:
    assert client.runtime is not None
    code, bucket = placement_of(UUID(person.id))
    return client.runtime.fleet.by_code[code].owner(bucket)


async def replica_serves(client: Client, person: Person) -> None:
    async def served() -> bool:
        return role(await read(client, person)) == "replica"

    await until(served, what="reads return to the replica")


async def test_with_replay_paused_the_token_shows_ones_own_write_and_eventual_the_older_state(
    system: System, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    await rename(gateway, person, "Before")
    await replica_serves(gateway, person)
    async with replay_paused(system):
        await rename(gateway, person, "After")
        for _ in range(5):
            mine = await read(gateway, person)
            assert (mine.json["full_name"], role(mine)) == ("After", "primary")
        old = await read(gateway, person, headers=EVENTUAL)
        assert (old.json["full_name"], role(old)) == ("Before", "replica")
        strong = await read(gateway, person, headers=STRONG)
        assert (strong.json["full_name"], role(strong)) == ("After", "primary")
        without = await read(gateway, Person(person.id, person.phone, person.access_token, ""))
        assert (without.json["full_name"], role(without)) == ("Before", "replica")
    await replica_serves(gateway, person)
    assert (await read(gateway, person)).json["full_name"] == "After"


async def test_what_was_read_from_the_primary_is_never_unseen(system: System, gateway: Client, phones: Phones) -> None:
    writer = await gateway.register(phones.qatar())
    async with replay_paused(system):
        await rename(gateway, writer, "New")
        reader = Person(writer.id, writer.phone, writer.access_token, "")
        assert (await read(gateway, reader, headers=STRONG)).json["full_name"] == "New"
        for _ in range(3):
            assert (await read(gateway, reader)).json["full_name"] == "New", "a later read does not go back"


async def test_a_write_in_another_region_does_not_send_reads_of_this_one_to_the_primary(
    system: System, gateway: Client, phones: Phones
) -> None:
    saudi, qatari = await gateway.register(phones.saudi()), await gateway.register(phones.qatar())
    await replica_serves(gateway, saudi)
    async with replay_paused(system):
        await rename(gateway, qatari, "Other")
        saudi.token = qatari.token
        assert role(await read(gateway, saudi)) == "replica"


async def test_a_replica_beyond_the_lag_bound_is_not_read_from_even_by_eventual_readers(
    system: System, phones: Phones
) -> None:
    async with system.gateway(DB_REPLICA_LAG_MAX="300") as client:
        person = await client.register(phones.qatar())
        await replica_serves(client, person)
        async with replay_paused(system):
            await rename(client, person, "After")

            async def too_old() -> bool:
                return role(await read(client, person, headers=EVENTUAL)) == "primary"

            await until(too_old, what="the lagging replica is left alone")
            assert (await client.call("GET", "/health/regions/qa")).json["status"] == "DEGRADED"
        await replica_serves(client, person)


async def test_a_token_that_was_changed_is_refused(gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    body, _, mac = person.token.partition(".")
    other = "B" if mac[0] != "B" else "C"
    for bad in (f"{other}{body[1:]}.{mac}", f"{body}.{other}{mac[1:]}", body, "nonsense", person.token + "A"):
        answer = await gateway.call("GET", "/me", user=person, headers={"Consistency-Token": bad})
        assert (answer.status, answer.json["code"]) == (400, "malformed"), bad


async def test_writes_that_commit_together_share_position_look_ups(gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    shard = shard_of(gateway, person)
    assert shard.roles.primary is not None
    watch = shard.nodes[shard.roles.primary].watch
    observed, observe = 0, watch._observe

    async def counted() -> Any:
        nonlocal observed
        observed += 1
        return await observe()

    watch._observe = counted  # type: ignore[method-assign]
    try:
        await asyncio.gather(*(rename(gateway, person, f"Name {n}") for n in range(40)))
    finally:
        watch._observe = observe  # type: ignore[method-assign]
    assert 0 < observed < 30, "40 writes, fewer look-ups"


async def test_a_read_operation_that_writes_is_counted_and_run_on_the_primary(gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    await replica_serves(gateway, person)
    shard = shard_of(gateway, person)
    before = shard.reads_that_wrote
    bucket = placement_of(UUID(person.id)).bucket
    sql = "UPDATE marketplace.account SET full_name = 'Oops' WHERE bucket = $1 AND id = $2 RETURNING full_name"
    wrong = Query(sql, (bucket, UUID(person.id)), lambda row: str(row["full_name"]))
    reply = await shard.read(wrong, Terms(shard.now() + 10, Consistency.EVENTUAL))
    assert (reply.value, reply.role) == (["Oops"], "primary")
    assert shard.reads_that_wrote == before + 1


@dataclass
class History:
    """One client's account: the number it wrote last, and the highest number its session has seen."""

    person: Person
    written: int = 0
    seen: int = 0
    actions: list[str] = field(default_factory=list)


ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["write", "write", "read", "read", "eventual", "strong", "pause", "resume"])
    ),
    min_size=10,
    max_size=30,
)


@pytest.fixture(scope="module")
async def people(gateway: Client) -> list[Person]:
    phones = [f"+9745511{n:04d}" for n in range(3)]
    return [await gateway.register(phone) for phone in phones]


@given(actions=ACTIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_sequential_consistency_over_random_interleavings(
    system: System, gateway: Client, people: list[Person], actions: list[tuple[int, str]]
) -> None:
    """A client never reads less than what it wrote or read before, whatever is written, read, paused and resumed."""
    histories = [History(person) for person in people]
    for history in histories:
        history.written = history.seen = await number(gateway, history.person, STRONG)
    try:
        for who, action in actions:
            await step(system, gateway, histories[who], action)
    finally:
        await system.cluster.resume_replay(SHARD)


async def step(system: System, client: Client, history: History, action: str) -> None:
    history.actions.append(action)
    if action == "pause":
        await system.cluster.pause_replay(SHARD)
    elif action == "resume":
        await system.cluster.resume_replay(SHARD)
    elif action == "write":
        history.written += 1
        await rename(client, history.person, str(history.written))
        history.seen = history.written
    elif action == "eventual":
        assert await number(client, history.person, EVENTUAL) <= history.written
    else:
        found = await number(client, history.person, STRONG if action == "strong" else None)
        assert found >= history.seen, history.actions
        assert found <= history.written
        history.seen = found


async def number(client: Client, person: Person, headers: dict[str, str] | None) -> int:
    name = (await read(client, person, headers=headers)).json["full_name"]
    return int(name) if name.isdigit() else 0
