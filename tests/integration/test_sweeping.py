"""Idempotency receipts are kept for a day and then thrown away, in batches."""

from uuid import uuid4

from gateway.jobs import RECEIPTS, on_shard
from tests.system import Client, System

ADD = """INSERT INTO meridian.receipt (bucket, owner, key, fingerprint, outcome, created_at)
    VALUES (7, $1, $2, '', '{}', now() - make_interval(hours => $3))"""


async def test_receipts_older_than_a_day_go_and_younger_ones_stay(system: System, gateway: Client) -> None:
    assert gateway.runtime is not None
    region = gateway.runtime.fleet.by_code[1]
    owner = uuid4()
    async with system.sql("qa-1") as connection:
        await connection.executemany(ADD, [(owner, f"old-{n}", 25) for n in range(3)] + [(owner, "young", 23)])
        assert await on_shard(RECEIPTS, gateway.runtime, region, region.owner(7)) >= 3
        keys = await connection.fetch("SELECT key FROM meridian.receipt WHERE owner = $1", owner)
    assert [row["key"] for row in keys] == ["young"]
