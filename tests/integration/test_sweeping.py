"""Receipts are kept for a day, events three days after they were handed on, notifications 90 days; then they go."""

from uuid import UUID, uuid4

from core.ids import Placement, make_id
from gateway.jobs import EVENTS, RECEIPTS, on_shard
from gateway.marketplace import telling
from tests.system import Client, System

ADD_RECEIPT = """INSERT INTO meridian.receipt (bucket, owner, key, fingerprint, outcome, created_at)
    VALUES (7, $1, $2, '', '{}', now() - make_interval(hours => $3))"""
ADD_EVENT = """INSERT INTO meridian.outbox (bucket, id, kind, subject, body, created_at, due_at, relayed_at)
    VALUES (7, $1, 'a.kind', $1, '{"to": []}', now() - interval '9 days', now() + interval '1 hour',
            now() - make_interval(days => $2))"""


async def test_receipts_older_than_a_day_go_and_younger_ones_stay(system: System, gateway: Client) -> None:
    assert gateway.runtime is not None
    region = gateway.runtime.fleet.by_code[1]
    owner = uuid4()
    async with system.sql("qa-1") as connection:
        await connection.executemany(ADD_RECEIPT, [(owner, f"old-{n}", 25) for n in range(3)] + [(owner, "young", 23)])
        await on_shard(RECEIPTS, gateway.runtime, region, region.owner(7))
        keys = await connection.fetch("SELECT key FROM meridian.receipt WHERE owner = $1", owner)
    assert [row["key"] for row in keys] == ["young"]


async def test_events_go_three_days_after_they_were_handed_on_and_never_before(system: System, gateway: Client) -> None:
    assert gateway.runtime is not None
    region = gateway.runtime.fleet.by_code[1]
    old, young, waiting = [make_id(Placement(1, 7), now_ms=n, random_bits=uuid4().int) for n in range(3)]
    days: list[tuple[UUID, int | None]] = [(old, 4), (young, 2), (waiting, None)]
    async with system.sql("qa-1") as connection:
        await connection.executemany(ADD_EVENT, days)
        await on_shard(EVENTS, gateway.runtime, region, region.owner(7))
        left = await connection.fetch(
            "SELECT id FROM meridian.outbox WHERE id = ANY($1) ORDER BY id", [id for id, _ in days]
        )
    assert [row["id"] for row in left] == [young, waiting]


async def test_notifications_are_kept_for_ninety_days(system: System, gateway: Client) -> None:
    assert gateway.runtime is not None
    region = gateway.runtime.fleet.by_code[1]
    old, young = [make_id(Placement(1, 7), now_ms=n, random_bits=uuid4().int) for n in range(2)]
    async with system.sql("qa-1") as connection:
        await connection.executemany(
            """INSERT INTO marketplace.notification (bucket, id, account, event, kind, subject, about, created_at)
               VALUES (7, $1, $1, $1, 'a.kind', $1, '{}', now() - make_interval(days => $2))""",
            [(old, 91), (young, 89)],
        )
        (job,) = [job for job in telling.JOBS if job.name == "old notifications"]
        await on_shard(job, gateway.runtime, region, region.owner(7))
        left = await connection.fetch("SELECT id FROM marketplace.notification WHERE id = ANY($1)", [old, young])
    assert [row["id"] for row in left] == [young]
