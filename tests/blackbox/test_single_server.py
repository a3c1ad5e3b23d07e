"""The scaling guide's single server: no shard map, the DB_* variables, and a database that may be down at the start."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from gateway.local import LocalCluster, LocalShardSpec
from tests.blackbox.process import command, serving
from tests.system import DATABASE, PASSWORD, SEARCH, USER, free_port, until

Ports = tuple[int, int]


@pytest.fixture(scope="module")
async def own_cluster() -> AsyncIterator[tuple[LocalCluster, Ports]]:
    """One PostgreSQL with a replica, that these tests may stop."""
    ports = free_port(), free_port()
    shard = LocalShardSpec("solo", *ports, DATABASE, USER, PASSWORD)
    cluster = LocalCluster(Path(mkdtemp(prefix="meridian-solo-")), shards=[shard], search=SEARCH)
    async with cluster:
        yield cluster, ports
    await cluster.fresh()


def variables(ports: Ports) -> dict[str, str]:
    return {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(ports[0]),
        "DB_USER": USER,
        "DB_PASSWORD": PASSWORD,
        "DB_NAME": DATABASE,
    }


async def test_a_database_that_is_down_at_the_start_is_told_by_health_and_heals(
    own_cluster: tuple[LocalCluster, Ports], tmp_path: Path
) -> None:
    cluster, ports = own_cluster
    await cluster.node("solo", "primary").stop()
    async with serving(tmp_path, variables(ports)) as program:
        down = await program.client.call("GET", "/health")
        assert (down.status, down.json["status"], down.json["success"]) == (503, "DOWN", False)
        assert down.json["database"]["primary"]["connected"] is False
        refused = await program.client.call("GET", "/route?phone=%2B97455001234")
        assert refused.status == 200, "what needs no database is answered all the same"
        await cluster.node("solo", "primary").start()

        async def healed() -> bool:
            return bool((await program.client.call("GET", "/health")).json["status"] == "OK")

        await until(healed, within_s=20, what=program.said())
        person = await program.client.register("+97455001234")
        assert (await program.client.call("GET", "/me", user=person)).json["phone_number"] == "+97455001234"


async def test_the_replica_variables_add_a_replica_and_removing_them_is_the_whole_rollback(
    own_cluster: tuple[LocalCluster, Ports], tmp_path: Path
) -> None:
    _, ports = own_cluster
    replica = {"DB_READ_REPLICA_HOST": "127.0.0.1", "DB_READ_REPLICA_PORT": str(ports[1])}
    async with serving(tmp_path, {**variables(ports), **replica, "NODE_ENV": "staging"}) as program:
        person = await program.client.register("+97455001235")

        async def read_from_replica() -> bool:
            answer = await program.client.call("GET", "/me", user=person)
            assert answer.status == 200, answer
            return answer.headers["Meridian-Route"].startswith("qa-1/replica")

        await until(read_from_replica, what="reads go to the replica")
        health = (await program.client.call("GET", "/health")).json
        assert health["environment"] == "staging"
        assert health["database"]["replica"]["connected"] is True
        assert await program.stop() == 0
    async with serving(tmp_path, variables(ports)) as program:
        health = (await program.client.call("GET", "/health")).json
        assert health["database"]["replica"] is None
        login = {"phone_number": "+97455001235", "password": "a-good-password"}
        answer = await program.client.call("POST", "/auth/login", json=login)
        assert answer.status == 200
        assert answer.headers["Meridian-Route"].startswith("qa-1/primary")


async def test_production_without_secrets_does_not_start_and_names_every_one(tmp_path: Path) -> None:
    status, said = await command("serve", variables={"NODE_ENV": "production"}, folder=tmp_path)
    assert status == 2
    assert "JWT_SECRET" in said
    assert "SESSION_SECRET" in said


async def test_a_taken_port_is_one_clear_line(own_cluster: tuple[LocalCluster, Ports], tmp_path: Path) -> None:
    _, ports = own_cluster
    taken = {**variables(ports), "HOST": "127.0.0.1", "PORT": str(ports[0]), "ADMIN_PORT": str(free_port())}
    status, said = await command("serve", variables=taken, folder=tmp_path)
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{ports[0]}" in said
    assert "set PORT" in said
