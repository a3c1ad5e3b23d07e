"""Notifications: everybody concerned is told once, wherever they live; a place out of reach holds up no other."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from core.ids import Placement, make_id, placement_of
from gateway.jobs import everywhere
from gateway.marketplace.telling import JOBS, Event, notifications_of
from tests.integration.http.asking import Json, is_problem, new_person, shard_of
from tests.integration.http.trade import accepted, bucket_of, done, post, rows_of, strong
from tests.system import Client, Person, Phones, System, until

SHARDS_OF = {"qa": ("qa-1",), "sa": ("sa-1", "sa-2")}
TELL = "SELECT meridian.tell($1::smallint, 'test.told', $2, $3)"


def id_at(code: int, bucket: int, number: int) -> UUID:
    return make_id(Placement(code, bucket), now_ms=1_800_000_000_000, random_bits=number)


def event_to(*to: UUID | str, **body: object) -> Event:
    whole = {"to": [str(id) for id in to], **body}
    return Event(id_at(1, 7, 99), "order.status_changed", id_at(1, 7, 5), whole, datetime(2026, 11, 24, tzinfo=UTC))


def test_an_event_tells_each_of_its_regions_accounts_once_and_always_by_the_same_id() -> None:
    doha, neighbour, riyadh = id_at(1, 9, 1), id_at(1, 9, 2), id_at(2, 9, 1)
    event = event_to(
        doha, neighbour, doha, riyadh, UUID(int=7), "nobody", number="QA-1", customer=str(doha), status=None
    )
    told = notifications_of(event)
    assert [n.account for n in told] == [doha, neighbour]
    assert told == notifications_of(event)
    assert len({n.id for n in told}) == 2, "though both live in one bucket"
    assert {placement_of(n.id) for n in told} == {Placement(1, 9)}
    assert {n.id.int >> 80 for n in told} == {event.id.int >> 80}, "an id says when it happened"
    assert [dict(n.about) for n in told] == [{"number": "QA-1"}] * 2


def test_an_event_for_nobody_tells_nobody() -> None:
    assert notifications_of(event_to()) == []
    assert notifications_of(Event(id_at(1, 7, 1), "upload.stored", id_at(1, 7, 2), {}, datetime.now(UTC))) == []


async def told(client: Client, person: Person, *kinds: str) -> list[Json]:
    """A person's notifications, as soon as they are these kinds (the newest first)."""
    found: list[Json] = []

    async def all_there() -> bool:
        found[:] = (await strong(client, person, "/notifications"))["items"]
        return sorted(n["kind"] for n in found) == sorted(kinds)

    await until(all_there, within_s=20, what=f"told of {kinds}")
    return found


@pytest.mark.parametrize("region", SHARDS_OF)
async def test_what_happens_to_a_deal_is_told_to_its_parties_who_read_it(
    gateway: Client, other_gateway: Client, phones: Phones, region: str
) -> None:
    customer = await new_person(gateway, phones, SHARDS_OF[region][0])
    garage = await new_person(gateway, phones, SHARDS_OF[region][-1], "garage")
    assert await strong(gateway, customer, "/notifications/unread-count") == {"unread": 0}
    deal = await accepted(gateway, customer, garage)
    await done(gateway, customer, f"/orders/{deal.order['id']}/cancel", {})
    runtimes = [client.runtime for client in (gateway, other_gateway) * 2 if client.runtime is not None]
    await asyncio.gather(*(everywhere(JOBS[0], runtime) for runtime in runtimes))
    (bid,) = await told(gateway, customer, "bid.submitted")
    assert (bid["subject"], bid["about"], bid["read_at"]) == (deal.bid["id"], {"request_id": deal.request["id"]}, None)
    kinds = ("bid.accepted", "order.status_changed", "order.status_changed")
    order, begun, _ = sorted(
        await told(gateway, garage, *kinds), key=lambda n: n["about"].get("from", ""), reverse=True
    )
    assert begun["about"].get("status", "pending_payment") == "pending_payment"
    assert order["subject"] == deal.order["id"]
    assert order["about"] == {
        "number": deal.order["number"],
        "from": "pending_payment",
        "status": "cancelled_by_customer",
    }

    pages = await strong(gateway, garage, "/notifications", limit=1)
    rest = await strong(gateway, garage, "/notifications", limit=2, cursor=pages["next"])
    newest, *older = pages["items"] + rest["items"]
    assert [n["id"] for n in (newest, *older)] == sorted((n["id"] for n in (newest, *older)), reverse=True)
    assert (newest, rest["next"]) == (order, None)
    assert await done(gateway, customer, "/notifications/read", {"ids": [newest["id"], bid["id"]]}) == {"unread": 0}
    assert await strong(gateway, garage, "/notifications/unread-count") == {"unread": 3}, "one reads only one's own"
    assert await done(gateway, garage, "/notifications/read", {"ids": [newest["id"]]}) == {"unread": 2}
    unread = await strong(gateway, garage, "/notifications", unread="true")
    assert unread["items"] == older
    assert await done(gateway, garage, "/notifications/read", {"all": True}) == {"unread": 0}
    assert (await strong(gateway, garage, "/notifications", unread="true"))["items"] == []
    for wrong in ({}, {"ids": [], "all": True}):
        is_problem(await post(gateway, garage, "/notifications/read", wrong), 422, "invalid", "body")


async def tell(system: System, client: Client, teller: Person, *people: Person) -> UUID:
    """Let something happen in the teller's bucket that concerns people; its subject."""
    assert client.runtime is not None
    subject = client.runtime.new_id(placement_of(UUID(teller.id)))
    async with system.sql(shard_of(client, teller)) as sql:
        await sql.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=str)
        to = ", ".join(f'"{person.id}"' for person in people)
        await sql.execute(TELL, bucket_of(teller), subject, f'{{"to": [{to}]}}')
    return subject


async def waiting(system: System, shard: str, subject: UUID) -> int:
    """How many events of a subject are not handed on yet."""
    sql = "SELECT count(*) AS events FROM meridian.outbox WHERE subject = $1 AND relayed_at IS NULL"
    return int((await rows_of(system, shard, sql, subject))[0]["events"])


async def test_whose_place_is_out_of_reach_is_told_later_and_holds_up_nobody(
    gateway: Client, other_gateway: Client, system: System, phones: Phones
) -> None:
    teller, here = [await new_person(gateway, phones, "sa-1") for _ in range(2)]
    fenced, beside = [await new_person(gateway, phones, "sa-2") for _ in range(2)]
    move = "UPDATE meridian.bucket SET state = $2 WHERE bucket = $1"
    async with system.sql("sa-2") as sql:
        await sql.execute(move, bucket_of(fenced), "fenced")
        try:
            subject = await tell(system, gateway, teller, fenced, beside, here)
            await told(gateway, here, "test.told")
            await told(gateway, beside, "test.told")
            assert await waiting(system, "sa-1", subject) == 1
        finally:
            await sql.execute(move, bucket_of(fenced), "owned")
    await told(gateway, fenced, "test.told")
    assert await waiting(system, "sa-1", subject) == 0

    async with system.sql("sa-2") as sql, sql.transaction():
        await sql.execute("LOCK TABLE marketplace.notification IN EXCLUSIVE MODE")
        subject = await tell(system, gateway, teller, fenced, here)
        await told(gateway, here, "test.told", "test.told")
        await tell(system, gateway, teller, here)
        await told(gateway, here, *["test.told"] * 3)
        assert await waiting(system, "sa-1", subject) == 1
    await told(gateway, fenced, "test.told", "test.told")
    for person, times in ((fenced, 2), (beside, 1), (here, 3)):
        await told(other_gateway, person, *["test.told"] * times)


async def test_notifications_are_counted_to_a_thousand(gateway: Client, system: System, phones: Phones) -> None:
    person = await new_person(gateway, phones, "qa-1")
    async with system.sql("qa-1") as sql:
        await sql.execute(
            """INSERT INTO marketplace.notification (bucket, id, account, event, kind, subject, about)
               SELECT $1, meridian.new_id($1), $2, gen_random_uuid(), 'test.many', $2, '{}'
               FROM generate_series(1, 1001)""",
            bucket_of(person),
            UUID(person.id),
        )
    assert await strong(gateway, person, "/notifications/unread-count") == {"unread": 1000}
    assert await done(gateway, person, "/notifications/read", {"all": True}) == {"unread": 0}
