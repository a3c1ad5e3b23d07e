"""Reading one's own writes: whatever the replica's lag, a caller who presents their token never goes back in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database.evidence import Evidence, Reach
from core.database.node import Node
from core.database.shard import Consistency, Shard, Terms
from core.database.statement import Query, ReceiptKey, Write
from core.database.token import LSN_UNKNOWN, TokenEntry
from core.database.translate import NodeLost, Refused
from core.errors import Invalid, OutcomeUnknown, PoolExhausted, ShardUnavailable
from core.ids import placement_of
from tests.system import Answer, Client, Person, Phones, System, until

pytestmark = pytest.mark.usefixtures("no_jobs")

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


async def test_writes_that_commit_together_share_one_position_look_up(
    gateway: Client, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await gateway.register(phones.qatar())
    watch = primary_of(shard_of(gateway, person)).watch
    observe, observed, gate = watch._observe, 0, asyncio.Event()
    position, asked = watch.position, 0

    async def counted(deadline: float) -> Evidence:
        nonlocal asked
        asked += 1
        return await position(deadline)

    async def gated() -> Evidence:
        nonlocal observed
        observed += 1
        await gate.wait()
        return await observe()

    async def all_have_committed_and_wait() -> bool:
        return observed == 1 and asked >= 12

    # Rows of their own, so that they commit side by side and long before the look-up's own time is up.
    request = {"car_make": "Toyota", "car_model": "Hilux", "car_year": 2020, "part_description": "Mirror"}
    monkeypatch.setattr(watch, "_observe", gated)
    monkeypatch.setattr(watch, "position", counted)
    for module in ("watch", "shard"):  # the look-up is held up for as long as the writes take, be it on a busy machine
        monkeypatch.setattr(f"core.database.{module}.PROBE_TIMEOUT_S", 30.0)
    writes = [asyncio.create_task(gateway.call("POST", "/requests", user=person, json=request)) for _ in range(12)]
    try:
        await until(all_have_committed_and_wait, what="one look-up holds up the writes")
    finally:
        gate.set()
    answers = await asyncio.gather(*writes)
    assert observed <= 2, "the writes that came during one look-up shared the next"
    assert all("Consistency-Token" in answer.headers for answer in answers)


def primary_of(shard: Shard) -> Node:
    """The node that the shard's writes go to."""
    assert shard.roles.primary is not None
    return shard.nodes[shard.roles.primary]


def name_of(person: Person) -> Query[str]:
    """The person's name, as a read of their shard."""
    id = UUID(person.id)
    return Query(
        "SELECT full_name FROM marketplace.account WHERE bucket = $1 AND id = $2",
        (placement_of(id).bucket, id),
        lambda row: str(row["full_name"]),
    )


def renaming(person: Person, name: str) -> Write[str]:
    """Another name, as a write to their shard."""
    id = UUID(person.id)
    return Write(
        placement_of(id).bucket,
        "UPDATE marketplace.account SET full_name = $3 WHERE bucket = $1 AND id = $2 RETURNING full_name",
        (placement_of(id).bucket, id, name),
        lambda row: str(row["full_name"]),
    )


def terms(shard: Shard, consistency: Consistency = Consistency.SESSION, seen: TokenEntry | None = None) -> Terms:
    """Ten seconds for it."""
    return Terms(shard.now() + 10, consistency, seen)


async def test_a_write_whose_position_could_not_be_learnt_is_read_from_the_primary(
    system: System, gateway: Client, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await gateway.register(phones.qatar())
    shard = shard_of(gateway, person)

    async def cannot_say(deadline: float) -> Evidence:
        raise OSError

    async with replay_paused(system):
        with monkeypatch.context() as broken:
            broken.setattr(primary_of(shard).watch, "position", cannot_say)
            wrote = await shard.write(renaming(person, "New"), terms(shard))
        assert wrote.position is not None
        assert wrote.position.lsn == LSN_UNKNOWN
        found = await shard.read(name_of(person), terms(shard, seen=wrote.position))
        assert (found.value, found.role) == (["New"], "primary")
        assert found.position is not None
        assert found.position.lsn < LSN_UNKNOWN, "from now on replicas can serve it again"


async def test_a_token_of_one_shard_does_not_send_reads_of_its_neighbour_to_the_primary(
    system: System, gateway: Client, phones: Phones
) -> None:
    people: dict[str, Person] = {}
    while len(people) < 2:
        person = await gateway.register(phones.saudi())
        people.setdefault(shard_of(gateway, person).name, person)
    one, two = people["sa-1"], people["sa-2"]
    await replica_serves(gateway, two)
    async with replay_paused(system, "sa-1"):
        await rename(gateway, one, "New")
        two.token = one.token
        assert role(await read(gateway, two)) == "replica"
        one.token = two.token
        mine = await read(gateway, one)
        assert (mine.json["full_name"], role(mine)) == ("New", "primary"), "both shards are in one token"


async def test_a_position_on_a_newer_timeline_is_not_taken_for_one_on_the_servers_own(
    gateway: Client, phones: Phones
) -> None:
    """After a failover the same position means other writes: who has seen it is not shown the former primary's."""
    person = await gateway.register(phones.qatar())
    await replica_serves(gateway, person)
    shard = shard_of(gateway, person)
    evidence = primary_of(shard).state.evidence
    assert evidence is not None
    after_failover = TokenEntry(shard.name, evidence.system_id, evidence.timeline + 1, 1)
    for consistency in (Consistency.SESSION, Consistency.STRONG):
        with pytest.raises(ShardUnavailable):
            await shard.read(name_of(person), terms(shard, consistency, after_failover))
    of_another_cluster = TokenEntry(shard.name, evidence.system_id + 1, evidence.timeline + 1, LSN_UNKNOWN)
    assert (await shard.read(name_of(person), terms(shard, seen=of_another_cluster))).value == ["Somebody"]


async def test_a_read_that_replay_had_to_cancel_is_answered_by_the_primary_and_is_no_bug_of_its_operation(
    system: System, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    await replica_serves(gateway, person)
    shard = shard_of(gateway, person)
    counted = shard.reads_that_wrote
    slow = Query(
        """SELECT full_name, pg_sleep(CASE WHEN pg_is_in_recovery() THEN 20 ELSE 0 END) FROM marketplace.account
           WHERE bucket = $1 AND id = $2""",
        name_of(person).args,
        name_of(person).row,
    )
    async with system.sql(SHARD) as primary, system.sql(SHARD, "replica") as replica:
        await replica.execute("ALTER SYSTEM SET max_standby_streaming_delay = '50ms'")
        await replica.execute("SELECT pg_reload_conf()")
        try:
            reading = asyncio.create_task(shard.read(slow, terms(shard, Consistency.EVENTUAL)))

            async def reads() -> bool:
                sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                return bool(await replica.fetchval(sql))

            await until(reads, what="the replica reads slowly")
            await primary.execute("BEGIN; LOCK TABLE marketplace.account IN ACCESS EXCLUSIVE MODE; COMMIT")
            reply = await reading
        finally:
            await replica.execute("ALTER SYSTEM RESET max_standby_streaming_delay")
            await replica.execute("SELECT pg_reload_conf()")
    assert (reply.value, reply.role) == (["Somebody"], "primary")
    assert shard.reads_that_wrote == counted


async def cut_while_asleep(system: System) -> None:
    """Cut the connection of a statement that sleeps on the primary."""
    async with system.sql(SHARD) as connection:

        async def cut() -> bool:
            sql = "SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            return bool(await connection.fetchval(sql))

        await until(cut, what="the sleeping write is cut")


def slow_renaming(person: Person, name: str) -> Write[str]:
    """A write that takes its time."""
    write = renaming(person, name)
    return replace(write, sql=write.sql.replace("WHERE", "FROM pg_sleep(0.6) AS pause WHERE"))


async def test_a_write_cut_off_on_its_way_has_an_unknown_outcome_and_is_not_tried_again(
    system: System, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    shard = shard_of(gateway, person)
    writing = asyncio.create_task(shard.write(slow_renaming(person, "Twice?"), terms(shard)))
    await cut_while_asleep(system)
    with pytest.raises(OutcomeUnknown):
        await writing
    assert (await shard.read(name_of(person), terms(shard, Consistency.STRONG))).value == ["Somebody"]


async def test_a_write_with_an_idempotency_key_that_is_cut_off_is_done_once_all_the_same(
    system: System, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    shard = shard_of(gateway, person)
    receipt = ReceiptKey(UUID(person.id), "once", b"this request")
    write = slow_renaming(person, "Once")
    writing = asyncio.create_task(shard.write(write, terms(shard), receipt))
    await cut_while_asleep(system)
    assert ((await writing).value, (await writing).replayed) == ("Once", False)
    again = await shard.write(write, terms(shard), receipt)
    assert (again.value, again.replayed) == ("Once", True)
    other = replace(receipt, fingerprint=b"another request")
    with pytest.raises(Invalid, match="field"):
        await shard.write(write, terms(shard), other)


async def test_an_unknown_outcome_that_a_full_pool_does_not_let_be_looked_up_is_told_as_unknown(
    gateway: Client, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await gateway.register(phones.qatar())
    shard = shard_of(gateway, person)
    failing = {"_on_primary": OutcomeUnknown("cut"), "_outcome": PoolExhausted("pool exhausted")}
    for name, error in failing.items():

        async def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(shard, name, fail)
    receipt = ReceiptKey(UUID(person.id), "unknown", b"this request")
    with pytest.raises(OutcomeUnknown, match="cut"):
        await shard.write(renaming(person, "Perhaps"), terms(shard), receipt)


@pytest.mark.parametrize("second", [[], Refused("some_rule")], ids=["nothing matched", "refused"])
async def test_the_failure_of_a_second_try_is_not_told_while_the_firsts_outcome_cannot_be_looked_up(
    gateway: Client, phones: Phones, monkeypatch: pytest.MonkeyPatch, second: list[Any] | Refused
) -> None:
    person = await gateway.register(phones.qatar())
    shard = shard_of(gateway, person)
    answers: list[Any] = [NodeLost("cut", sent=True), second]

    async def fetch(*_: object, **__: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def full(*_: object) -> None:
        raise PoolExhausted("pool exhausted")

    monkeypatch.setattr(primary_of(shard), "fetch", fetch)
    monkeypatch.setattr(shard, "_outcome", full)
    receipt = ReceiptKey(UUID(person.id), "second", b"this request")
    with pytest.raises(OutcomeUnknown):
        await shard.write(renaming(person, "Perhaps"), terms(shard), receipt)
    assert answers == []


async def test_a_watchers_connection_that_is_cut_does_not_stop_the_shards_writes(
    system: System, gateway: Client, phones: Phones
) -> None:
    person = await gateway.register(phones.qatar())
    node = primary_of(shard_of(gateway, person))
    since = node.state.since
    cut = (
        "SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity WHERE application_name = 'meridian watch'"
    )
    async with system.sql(SHARD) as connection:
        for n in range(3):
            assert await connection.fetchval(cut) > 0
            await rename(gateway, person, f"Name {n}")
            assert (node.state.reach, node.state.since) == (Reach.UP, since), "it was up all the time"


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
