"""Health tells the guide's figures, and only what was just seen: nodes are stopped here to see it change."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from aiohttp import ClientSession

from tests.integration.http.asking import REQUEST, Json, is_problem, made, new_person
from tests.system import Client, Phones, System, until

NODE = {"connected": bool, "total": int, "idle": int, "waiting": int}
GUIDE: Json = {
    "success": bool,
    "status": str,
    "timestamp": str,
    "environment": str,
    "uptime": float,
    "database": {"primary": NODE, "replica": NODE},
    "redis": {"connected": bool},
    "storage": str,
}


def has_shape(found: Any, shape: Any) -> bool:
    """Whether a JSON value has the keys and types of a shape; more keys may be there."""
    if isinstance(shape, Mapping):
        return isinstance(found, dict) and all(has_shape(found.get(key), inner) for key, inner in shape.items())
    return type(found) is shape


async def health(client: Client, path: str = "/health") -> tuple[int, Json]:
    answer = await client.call("GET", path)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status, answer.json


async def becomes(client: Client, status: str, path: str = "/health") -> Json:
    """The health once it has that status."""
    last: Json = {}

    async def is_so() -> bool:
        nonlocal last
        _, last = await health(client, path)
        return bool(last["status"] == status)

    await until(is_so, within_s=15, what=f"{path} is {status}")
    return last


async def test_health_has_the_guides_shape(gateway: Client) -> None:
    found = await becomes(gateway, "OK")
    assert has_shape(found, GUIDE), found
    assert set(found) == {*GUIDE, "regions", "map"}
    assert (found["success"], found["environment"], found["storage"]) == (True, "development", "Local")
    assert found["redis"] == {"connected": True}
    timestamp = datetime.fromisoformat(found["timestamp"])
    assert timestamp.utcoffset() == timedelta(0)
    assert found["timestamp"].endswith("Z")
    assert found["uptime"] > 0


async def test_every_region_and_shard_is_shown(gateway: Client, system: System) -> None:
    found = await becomes(gateway, "OK")
    assert {name: set(region["shards"]) for name, region in found["regions"].items()} == {
        "qa": {"qa-1"},
        "sa": {"sa-1", "sa-2"},
    }
    for name, region in found["regions"].items():
        assert region["status"] == "OK"
        assert (region["sessions"]["store"], region["sessions"]["connected"]) == ("redis", True)
        assert region["storage"]["store"] == "Local"
        for shard, shown in region["shards"].items():
            ports = {shown["primary"]["address"], shown["replicas"][0]["address"]}
            assert ports == {f"127.0.0.1:{port}" for port in system.ports(shard).values()}
            assert has_shape(shown["primary"], NODE)
            assert shown["lag_ms"] >= 0
        assert (await health(gateway, f"/health/regions/{name}"))[1]["status"] == "OK"
    assert found["map"]["version"] == system.shard_map.version
    assert sum(s["buckets"] for s in found["regions"]["sa"]["shards"].values()) == 4096


async def test_an_unknown_region_is_not_found(gateway: Client) -> None:
    is_problem(await gateway.call("GET", "/health/regions/atlantis"), 404, "not_found")


NODES: list[tuple[str, Literal["primary", "replica"]]] = [("sa-2", "replica"), ("qa-1", "replica")]


@pytest.mark.parametrize(("shard", "role"), NODES)
async def test_a_lost_replica_is_seen_and_the_region_keeps_working(
    gateway: Client, system: System, phones: Phones, shard: str, role: Literal["primary", "replica"]
) -> None:
    person = await new_person(gateway, phones, shard)
    region = shard.partition("-")[0]
    await becomes(gateway, "OK")
    await system.cluster.node(shard, role).stop()
    try:
        found = await becomes(gateway, "DEGRADED")
        assert (await health(gateway))[0] == 200
        assert found["success"] is True
        shown = found["regions"][region]["shards"][shard]
        assert (shown["status"], shown["replicas"][0]["connected"], shown["primary"]["connected"]) == (
            "DEGRADED",
            False,
            True,
        )
        assert found["database"]["replica"]["connected"] is (region != "qa")
        created = await made(gateway, person, "/requests", REQUEST)
        read = await gateway.call("GET", f"/requests/{created['id']}", user=person)
        assert read.headers["Meridian-Route"].startswith(f"{shard}/primary;")
    finally:
        await system.cluster.node(shard, role).start()
    await becomes(gateway, "OK")


async def test_a_lost_primary_is_down_for_its_region_and_only_for_it(
    gateway: Client, system: System, phones: Phones
) -> None:
    doha, riyadh, neighbour = [await new_person(gateway, phones, shard) for shard in ("qa-1", "sa-1", "sa-2")]
    created = await made(gateway, riyadh, "/requests", REQUEST)
    await system.replicated("sa-1")
    await becomes(gateway, "OK")
    await system.cluster.node("sa-1", "primary").stop()
    try:
        found = await becomes(gateway, "DOWN")
        assert (await health(gateway))[0] == 503
        assert (found["success"], found["regions"]["qa"]["status"]) == (False, "OK")
        assert found["database"]["primary"]["connected"] is True, "the home region's"
        assert found["regions"]["sa"]["shards"]["sa-1"]["primary"]["connected"] is False
        assert (await health(gateway, "/health/regions/sa"))[0] == 503
        assert (await health(gateway, "/health/regions/qa"))[0] == 200
        assert (await health(gateway, "/health/ready"))[0] == 200, "the other regions are still served"
        refused = await gateway.call("POST", "/requests", user=riyadh, json=REQUEST)
        is_problem(refused, 503, "shard_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        for unharmed in (doha, neighbour):
            await made(gateway, unharmed, "/requests", REQUEST)
        read = await gateway.call("GET", f"/requests/{created['id']}", user=riyadh, headers={"Consistency": "eventual"})
        assert (read.status, read.json["id"]) == (200, created["id"])
    finally:
        await system.cluster.node("sa-1", "primary").start()
    await becomes(gateway, "OK")
    await made(gateway, riyadh, "/requests", REQUEST)


async def test_a_gateway_that_drains_lives_on_but_is_not_ready(system: System) -> None:
    async with system.gateway() as client:
        assert client.runtime is not None
        assert [(await health(client, f"/health/{p}"))[0] for p in ("live", "ready")] == [200, 200]
        client.runtime.draining = True
        assert (await health(client, "/health/live"))[0] == 200
        answer = await client.call("GET", "/health/ready")
        is_problem(answer, 503, "draining")
        assert answer.headers["Connection"] == "close"
        assert (await client.call("GET", "/route")).status == 200, "what was accepted is still answered"


async def test_the_admin_port_shows_health_metrics_and_the_map_and_no_service(gateway: Client, phones: Phones) -> None:
    assert gateway.runtime is not None
    await gateway.register(phones.qatar())
    async with ClientSession(f"http://127.0.0.1:{gateway.runtime.settings.admin_port}") as session:
        admin = Client(session)
        assert (await admin.call("GET", "/health")).json["status"] == (await health(gateway))[1]["status"]
        async with session.get("/metrics") as response:
            metrics = await response.text()
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        async with session.get("/map") as response:
            found = await response.json()
        is_problem(await admin.call("GET", "/route"), 404, "not_found")
    assert 'meridian_requests_total{operation="auth_register",status="201"}' in metrics
    assert 'meridian_routed_total{by="phone",role="primary",shard="qa-1"}' in metrics
    assert 'meridian_status{scope="qa",status="OK"} 1.0' in metrics
    assert 'meridian_pool_connections{kind="total"' in metrics
    assert (found["version"], found["refused"], set(found["regions"])) == (1, None, {"qa", "sa"})
    assert sum(found["regions"]["sa"]["buckets"].values()) == 4096
    assert (await gateway.session.get("/metrics")).status == 404, "metrics are not for clients"
