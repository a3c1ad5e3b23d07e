"""Databases are killed, paused, promoted: reads go on, writes are refused at once or told truly; all of it heals."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from core.database.shard import Shard
from core.ids import placement_of
from tests.system import DATABASE, PASSWORD, USER, Answer, Client, Person, Phones, System, until

AT_ONCE_S = 1.0
ADDRESS = {"label": "Home", "address_text": "Street 1", "lat": 25.3, "lng": 51.5}


async def person_on(client: Client, phones: Phones, shard: str) -> Person:
    """A new user whose data are on `shard`."""
    for _ in range(50):
        person = await client.register(phones.qatar() if shard.startswith("qa") else phones.saudi())
        if shard_of(client, person).name == shard:
            return person
    raise AssertionError(f"nobody lives on {shard}")


def shard_of(client: Client, person: Person) -> Shard:
    assert client.runtime is not None
    code, bucket = placement_of(UUID(person.id))
    return client.runtime.fleet.by_code[code].owner(bucket)


async def add_address(client: Client, person: Person, label: str, *, key: str = "", **more: Any) -> Answer:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.call(
        "POST", "/addresses", user=person, json={**ADDRESS, "label": label}, headers=headers, **more
    )


async def labels(client: Client, person: Person) -> list[str]:
    answer = await client.call("GET", "/addresses", user=person, params={"limit": "100"})
    assert answer.status == 200, answer
    return [item["label"] for item in answer.json["items"]]


async def writes_succeed(client: Client, person: Person) -> None:
    async def written() -> bool:
        answer = await client.call("PATCH", "/me", user=person, json={"full_name": "Healed"})
        assert answer.status in (200, 503), answer
        return answer.status == 200

    await until(written, within_s=15, what=f"writes of {shard_of(client, person).name} succeed again")


async def healthy(client: Client) -> None:
    async def ok() -> bool:
        return bool((await client.call("GET", "/health")).json["status"] == "OK")

    await until(ok, within_s=20, what="health is OK again")


@asynccontextmanager
async def reading(client: Client, person: Person) -> AsyncIterator[list[Answer]]:
    """Read one's own account in four loops until the block ends; every answer is kept."""
    answers: list[Answer] = []
    stop = asyncio.Event()

    async def loop() -> None:
        reader = Person(person.id, person.phone, person.access_token, "", person.token)
        while not stop.is_set():
            answers.append(await client.call("GET", "/me", user=reader))

    loops = [asyncio.create_task(loop()) for _ in range(4)]
    try:
        yield answers
    finally:
        stop.set()
        await asyncio.gather(*loops)


async def test_a_replica_that_is_killed_or_paused_costs_no_reader_an_error(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person = await person_on(facade, phones, "sa-1")
    node = shaken.cluster.node("sa-1", "replica")
    for fault in ("killed", "paused"):
        await healthy(facade)
        async with reading(facade, person) as answers:

            async def on(role: str, answers: list[Answer] = answers) -> bool:
                return bool(answers) and f"sa-1/{role};" in answers[-1].headers["Meridian-Route"]

            await until(lambda: on("replica"), what="reads are on the replica")
            if fault == "killed":
                await node.kill()
            else:
                node.suspend()
            await until(lambda: on("primary"), within_s=10, what=f"reads left the {fault} replica")
            health = (await facade.call("GET", "/health")).json["regions"]["sa"]["shards"]["sa-1"]
            assert (health["status"], health["replicas"][0]["connected"]) == ("DEGRADED", False)
            if fault == "killed":
                await node.start()
            else:
                node.resume()
            await until(lambda: on("replica"), within_s=20, what="reads are back on the replica")
        assert {answer.status for answer in answers} == {200}


async def test_with_the_primary_dead_reads_go_on_with_their_age_and_writes_are_refused_at_once(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person, neighbour = await person_on(facade, phones, "sa-1"), await person_on(facade, phones, "sa-2")
    await shaken.replicated("sa-1")
    node = shaken.cluster.node("sa-1", "primary")
    await node.kill()
    async with reading(facade, person) as answers:
        for _ in range(5):
            began = time.monotonic()
            refused = await add_address(facade, person, "Refused")
            assert (refused.status, refused.json["code"]) == (503, "shard_unavailable")
            assert time.monotonic() - began < AT_ONCE_S
            assert refused.headers["Retry-After"]
            assert (await add_address(facade, neighbour, "Kept")).status == 201, "the other shard is untouched"

        async def aged() -> bool:
            return bool(answers) and "; age=" in answers[-1].headers["Meridian-Route"]

        await until(aged, what="answers say their age")
        assert (await facade.call("GET", "/health")).json["regions"]["sa"]["status"] == "DOWN"
        await node.start()
        await writes_succeed(facade, person)
    assert {answer.status for answer in answers} == {200}
    assert "age=" not in (await facade.call("GET", "/me", user=person)).headers["Meridian-Route"]
    assert await labels(facade, person) == []


async def test_a_write_cut_off_by_a_pause_is_of_unknown_outcome_and_its_key_tells_the_truth(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person = await person_on(facade, phones, "sa-1")
    await healthy(facade)
    node = shaken.cluster.node("sa-1", "primary")
    keys = [uuid4().hex for _ in range(5)]
    node.suspend()
    try:
        began = time.monotonic()
        cut = await asyncio.gather(*(add_address(facade, person, f"Cut {at}", key=key) for at, key in enumerate(keys)))
        # Of one that waited for a connection it is known that nothing was sent.
        codes = {(answer.status, answer.json["code"]) for answer in cut}
        assert (503, "outcome_unknown") in codes
        assert codes <= {(503, "outcome_unknown"), (503, "shard_unavailable")}
        assert time.monotonic() - began < 8, "they wait for the probe, not for their deadline"
        began = time.monotonic()
        refused = await add_address(facade, person, "Refused", key=uuid4().hex)
        assert (refused.status, refused.json["code"]) == (503, "shard_unavailable")
        assert time.monotonic() - began < AT_ONCE_S
        assert (await facade.call("GET", "/me", user=person)).status == 200, "reads go on"
    finally:
        node.resume()
    await writes_succeed(facade, person)
    for at, key in enumerate(keys):
        told = await add_address(facade, person, f"Cut {at}", key=key)
        assert told.status == 201, told
    assert sorted(await labels(facade, person)) == [f"Cut {at}" for at in range(5)], "each is there exactly once"


async def test_a_promotion_is_adopted_and_the_old_primary_is_never_used_again(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person = await person_on(facade, phones, "qa-1")
    assert (await add_address(facade, person, "Before")).status == 201
    await healthy(facade)
    await shaken.replicated("qa-1")
    old, new = shaken.cluster.node("qa-1", "primary"), shaken.cluster.node("qa-1", "replica")
    await old.kill()
    async with reading(facade, person) as answers:
        await new.promote()
        visible = time.monotonic()
        await writes_succeed(facade, person)
        assert time.monotonic() - visible < 5, "resumes at the next probe"
    assert {answer.status for answer in answers} == {200}
    assert (await add_address(facade, person, "After")).status == 201

    await old.start()  # as the primary it was: a second writable node, on the timeline that was left

    async def alarmed() -> bool:
        shard = (await facade.call("GET", "/health")).json["regions"]["qa"]["shards"]["qa-1"]
        return "former primary" in shard.get("trouble", "")

    await until(alarmed, what="the former primary is seen and named")
    health = await facade.call("GET", "/health")
    assert health.status == 200, "writes go on, so it is not DOWN"
    assert health.json["regions"]["qa"]["status"] == "DEGRADED"
    for at in range(20):
        assert (await add_address(facade, person, f"Still {at}")).status in (201, 409)
    async with shaken.sql("qa-1", "primary") as former:
        rows = await former.fetch("SELECT label FROM marketplace.address WHERE owner = $1", UUID(person.id))
        assert [row["label"] for row in rows] == ["Before"], "nothing was written to the old one"
    await shaken.cluster.rebuild("qa-1", "primary")
    await healthy(facade)
    assert {"Before", "After"} <= set(await labels(facade, person))


async def test_what_a_failover_cut_off_is_told_once_as_write_lost(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person, other = await person_on(facade, phones, "sa-2"), await person_on(facade, phones, "sa-2")
    assert (await add_address(facade, person, "Kept")).status == 201
    await shaken.replicated("sa-2")
    old, new = shaken.cluster.node("sa-2", "primary"), shaken.cluster.node("sa-2", "replica")
    kept_token = other.token
    await new.kill()  # it receives nothing: an asynchronous replica that is behind when its primary dies
    assert (await add_address(facade, person, "Lost")).status == 201
    lost_token = person.token
    await old.kill()
    await new.start()
    await new.promote()
    await writes_succeed(facade, other)

    other.token = kept_token
    assert (await facade.call("GET", "/me", user=other)).status == 200, "what was seen before the fork is still there"
    refused = await add_address(facade, person, "After")
    assert (refused.status, refused.json["code"]) == (409, "write_lost")
    assert person.token != lost_token, "the answer brought a token that is good"
    assert await labels(facade, person) == ["Kept"], "told once; the refused write did nothing"
    again = Person(person.id, person.phone, person.access_token, "", lost_token)
    told = await facade.call("GET", "/addresses", user=again)
    assert (told.status, told.json["code"]) == (409, "write_lost"), "a read is told as well"
    assert (await facade.call("GET", "/addresses", user=again)).status == 200
    eventual = await facade.call(
        "GET", "/addresses", user=person, headers={"Consistency": "eventual", "Consistency-Token": lost_token}
    )
    assert eventual.status == 200, "who does not ask for their own past is not refused"
    async with shaken.gateway() as fresh:
        late = Person(person.id, person.phone, person.access_token, "", lost_token)
        assert (await fresh.call("GET", "/me", user=late)).json["code"] == "write_lost", "a new process knows it too"
    await shaken.cluster.rebuild("sa-2", "primary")
    await healthy(facade)


async def test_two_writable_nodes_stop_the_shards_writes_until_one_is_fenced(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person, neighbour = await person_on(facade, phones, "sa-1"), await person_on(facade, phones, "sa-2")
    await healthy(facade)
    shard = shaken.cluster.shard("sa-1")
    old = next(node for node in shard.nodes if not node.is_standby)
    new = next(node for node in shard.nodes if node.is_standby)
    await new.promote()  # while the primary is alive: a mistake of whoever manages the cluster

    async def stopped() -> bool:
        health = (await facade.call("GET", "/health")).json["regions"]["sa"]["shards"]["sa-1"]
        return "2 writable nodes at once" in health.get("trouble", "")

    await until(stopped, what="both are seen to be writable")
    for _ in range(5):
        refused = await add_address(facade, person, "Nowhere")
        assert (refused.status, refused.json["code"]) == (503, "shard_unavailable")
        assert (await add_address(facade, neighbour, "Elsewhere")).status == 201
    await old.kill()
    await writes_succeed(facade, person)
    await shard.rebuild(old, new)
    await healthy(facade)


async def test_a_server_with_no_connection_left_is_saturated_not_dead(
    shaken: System, facade: Client, phones: Phones
) -> None:
    person = await person_on(facade, phones, "sa-1")
    await healthy(facade)
    shard = shard_of(facade, person)
    assert shard.roles.primary is not None
    node = shard.nodes[shard.roles.primary]
    taken: list[asyncpg.Connection] = []

    async def take_all() -> None:
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                taken.append(
                    await asyncpg.connect(
                        host=node.at.host, port=node.at.port, user=USER, password=PASSWORD, database=DATABASE
                    )
                )

    async def watcher_is_refused() -> bool:
        await taken[0].execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'meridian watch'"
        )
        await take_all()
        return "TooManyConnections" in node.state.reason

    try:
        await take_all()
        await until(watcher_is_refused, what="the watcher is refused")
        for _ in range(40):
            assert (await facade.call("PATCH", "/me", user=person, json={"full_name": "Busy"})).status == 200
            assert shard.roles.primary == node.at
            await asyncio.sleep(0.2)  # longer than evidence lives: its age must not be what keeps the role
    finally:
        await asyncio.gather(*(connection.close() for connection in taken))
    await healthy(facade)
