"""A whole region dies, or its map is wrong: the other regions do not notice, and health says what to do."""

import asyncio
from dataclasses import replace

from core.shard_map import ShardMap
from tests.system import Client, Phones, System, until


async def healthy(client: Client) -> None:
    async def ok() -> bool:
        return bool((await client.call("GET", "/health")).json["status"] == "OK")

    await until(ok, within_s=20, what="health is OK again")


async def test_a_dead_region_fails_alone(shaken: System, facade: Client, phones: Phones) -> None:
    doha, riyadh = await facade.register(phones.qatar()), await facade.register(phones.saudi())
    await healthy(facade)
    nodes = shaken.cluster.shard("qa-1").nodes
    for node in nodes:
        await node.kill()

    async def known() -> bool:
        return (await facade.call("GET", "/health/regions/qa")).status == 503

    await until(known, what="qa is known to be dead")
    for number in range(20):
        here, there = await asyncio.gather(
            facade.call("PATCH", "/me", user=riyadh, json={"full_name": f"Name {number}"}),
            facade.call("PATCH", "/me", user=doha, json={"full_name": f"Name {number}"}),
        )
        assert here.status == 200
        assert (there.status, there.json["code"]) == (503, "shard_unavailable")
        assert (await facade.call("GET", "/me", user=riyadh)).json["full_name"] == f"Name {number}"
        assert (await facade.call("GET", "/me", user=doha)).status == 503
    assert (await facade.call("GET", "/health/regions/sa")).json["status"] == "OK"
    assert (await facade.call("GET", "/health/ready")).status == 200, "a load balancer keeps the gateway for sa"
    await asyncio.gather(*(node.start() for node in nodes))
    await healthy(facade)
    assert (await facade.call("PATCH", "/me", user=doha, json={"full_name": "Back"})).status == 200


async def test_addresses_of_two_shards_swapped_are_named_and_nothing_goes_to_the_wrong_one(shaken: System) -> None:
    qa, sa = shaken.shard_map.regions
    one, two = sa.shards
    swapped = (
        replace(one, primary=two.primary, replicas=two.replicas),
        replace(two, primary=one.primary, replicas=one.replicas),
    )
    wrong: ShardMap = replace(shaken.shard_map, regions=(qa, replace(sa, shards=swapped)))
    async with shaken.gateway(wrong) as client:
        health = (await client.call("GET", "/health")).json
        assert (health["status"], health["regions"]["qa"]["status"]) == ("DOWN", "OK")
        trouble = health["regions"]["sa"]["shards"]["sa-1"]["trouble"]
        assert "say they are sa-2" in trouble
        assert "correct the addresses in the shard map" in trouble
        body = {"full_name": "X", "phone_number": "+966550009999", "password": "a-good-password", "role": "customer"}
        answer = await client.call("POST", "/auth/register", json=body)
        assert (answer.status, answer.json["code"]) == (503, "shard_unavailable")


async def test_a_replica_of_another_cluster_is_named_and_not_read_from(shaken: System, phones: Phones) -> None:
    qa, sa = shaken.shard_map.regions
    strange = replace(qa.shards[0], replicas=(sa.shards[0].replicas[0],))
    wrong = replace(shaken.shard_map, regions=(replace(qa, shards=(strange,)), sa))
    async with shaken.gateway(wrong) as client:
        person = await client.register(phones.qatar())
        for _ in range(10):
            answer = await client.call("GET", "/me", user=person, headers={"Consistency": "eventual"})
            assert answer.headers["Meridian-Route"].startswith("qa-1/primary")
        shard = (await client.call("GET", "/health")).json["regions"]["qa"]["shards"]["qa-1"]
        assert shard["status"] == "DEGRADED", "writes go on"
        assert "belongs to another PostgreSQL cluster" in shard["trouble"]
