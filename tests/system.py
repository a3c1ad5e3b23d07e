"""A real two-region system for tests: three shards with replicas, a Valkey, a map file, and gateways in front of it."""

import asyncio
import os
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import ClientResponse, ClientSession

from core.shard_map import ShardMap, load
from gateway import migrations
from gateway.app import running
from gateway.local import LocalCluster, LocalShardSpec, Search
from gateway.runtime import Runtime
from gateway.server import listening
from gateway.settings import Settings
from tests import documented

ROOT = Path(__file__).parent.parent
SHARDS = ("qa-1", "sa-1", "sa-2")
DATABASE, USER, PASSWORD = "qscrap_db", "postgres", "a-password-of-tests"
SECRET = "a-secret-of-tests-that-is-long-enough"

_postgres, _redis = os.environ.get("MERIDIAN_PG_BIN"), os.environ.get("MERIDIAN_REDIS_BIN")
SEARCH = Search(Path(_postgres) if _postgres else None, Path(_redis) if _redis else None, os.environ.get("PATH", ""))
"""Where tests find the servers: as `meridian local` does."""


_PORT_MIN, _PORT_MAX = map(int, os.environ.get("TEST_PORTS", "12000-31999").split("-"))
_ports = cycle(range(_PORT_MIN, _PORT_MAX + 1))
for _ in range(random.randrange(_PORT_MAX - _PORT_MIN)):
    next(_ports)  # the ports of a run just before may not be free yet


def free_port() -> int:
    """A port of the loopback that was free a moment ago; never the same twice, and not of another half of the tests.

    It is none that the kernel gives away by itself: a server that is stopped for a while must find its port again.
    """
    for port in islice(_ports, _PORT_MAX - _PORT_MIN):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 10.0, what: str = "") -> None:
    """Wait for a condition under a deadline."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        await asyncio.sleep(0.02)


@dataclass
class System:
    """The running servers, and how to reach them: `variables` is the environment of a gateway in front of them."""

    cluster: LocalCluster
    folder: Path
    map_file: Path
    variables: Mapping[str, str]
    shard_map: ShardMap = field(init=False)

    def __post_init__(self) -> None:
        self.shard_map = load(self.map_file, environment=self.variables)

    def settings(self, **more: str) -> Settings:
        """Settings of a gateway on free ports."""
        ports = {"PORT": str(free_port()), "ADMIN_PORT": str(free_port())}
        return Settings.from_environment({**self.variables, **ports, **more})

    def ports(self, shard: str) -> dict[str, int]:
        """The ports of a shard's nodes by the role the map gives them."""
        spec = next(s for r in self.shard_map.regions for s in r.shards if s.name == shard)
        return {"primary": spec.primary.port, "replica": spec.replicas[0].port}

    @asynccontextmanager
    async def sql(self, shard: str, role: str = "primary") -> AsyncIterator[asyncpg.Connection]:
        """A plain connection to one node, past every gateway."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.ports(shard)[role], user=USER, password=PASSWORD, database=DATABASE
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def replicated(self, shard: str) -> None:
        """Wait until a shard's replica has all that its primary has."""
        async with self.sql(shard) as primary, self.sql(shard, "replica") as replica:
            lsn = await primary.fetchval("SELECT pg_current_wal_flush_lsn()")

            async def caught_up() -> bool:
                return bool(await replica.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", lsn))

            await until(caught_up, what=f"replica of {shard} at {lsn}")

    @asynccontextmanager
    async def gateway(self, shard_map: ShardMap | None = None, **more: str) -> AsyncIterator["Client"]:
        """A gateway of its own in this process, really listening, with a client."""
        settings = self.settings(**more)
        async with (
            running(settings, shard_map or self.shard_map, variables=lambda: self.variables) as runtime,
            listening(runtime),
            ClientSession(f"http://127.0.0.1:{settings.port}") as session,
        ):
            yield Client(session, runtime)


@dataclass
class Client:
    """Speaks to a gateway as an app would. `runtime` is the gateway's inside, when it runs in this process."""

    session: ClientSession
    runtime: Runtime | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        user: "Person | None" = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> "Answer":
        """One request; the person's token goes with it, and their consistency token is kept up to date."""
        sent = {**(headers or {})}
        if user is not None:
            sent.setdefault("Authorization", f"Bearer {user.access_token}")
            if user.token and "Consistency-Token" not in sent:
                sent["Consistency-Token"] = user.token
        url = path if path.startswith(("/api/", "/health")) else f"/api/v1{path}"
        async with self.session.request(method, url, headers=sent, **more) as response:
            answer = await Answer.of(response)
        documented.note(method, url, answer.status)
        if user is not None:
            user.token = answer.headers.get("Consistency-Token", user.token)
        return answer

    async def register(self, phone: str, role: str = "customer", **more: Any) -> "Person":
        """A new user, logged in."""
        body = {"full_name": "Somebody", "phone_number": phone, "password": "a-good-password", "role": role}
        if role == "garage":
            body["garage_name"] = "Parts"
        answer = await self.call("POST", "/auth/register", json={**body, **more})
        assert answer.status == 201, answer
        return Person(
            answer.json["user"]["id"],
            phone,
            answer.json["access_token"],
            answer.json["refresh_token"],
            answer.headers["Consistency-Token"],
        )


@dataclass
class Person:
    """A registered user and what their app keeps."""

    id: str
    phone: str
    access_token: str
    refresh_token: str
    token: str = ""


@dataclass(frozen=True)
class Answer:
    """What a gateway answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @classmethod
    async def of(cls, response: ClientResponse) -> "Answer":
        """Read a whole response."""
        body = await response.read()
        is_json = "json" in response.headers.get("Content-Type", "")
        return cls(
            response.status,
            response.headers,
            body,
            await response.json(content_type=None) if is_json and body else None,
        )


class Phones:
    """Valid mobile numbers that no other test has, by country."""

    def __init__(self) -> None:
        self._next = 100

    def qatar(self) -> str:
        """A new +974 number."""
        self._next += 1
        return f"+9745500{self._next:04d}"

    def saudi(self) -> str:
        """A new +966 number."""
        self._next += 1
        return f"+96655000{self._next:04d}"


@asynccontextmanager
async def running_system() -> AsyncIterator[System]:
    """Start the servers on free ports in a new folder, migrate, and stop them in the end."""
    folder = Path(tempfile.mkdtemp(prefix="meridian-test-"))
    ports = {name: (free_port(), free_port()) for name in SHARDS}
    redis_port = free_port()
    variables = {
        "SHARD_MAP": str(ROOT / "shard_map.yaml"),
        "DB_PASSWORD": PASSWORD,
        "JWT_SECRET": SECRET,
        "SESSION_SECRET": SECRET[::-1],
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
        "HOST": "127.0.0.1",
        "RATE_LIMITS": "off",
        "UPLOAD_FOLDER": str(folder / "uploads"),
        "LAME_DUCK": "0.1",
        **{
            f"{name.upper().replace('-', '_')}_{role}": f"127.0.0.1:{port}"
            for name, pair in ports.items()
            for role, port in zip(("PRIMARY", "REPLICA"), pair, strict=True)
        },
    }
    cluster = LocalCluster(
        folder,
        shards=[LocalShardSpec(name, *ports[name], DATABASE, USER, PASSWORD) for name in SHARDS],
        redis_port=redis_port,
        search=SEARCH,
    )
    async with cluster:
        system = System(cluster, folder, ROOT / "shard_map.yaml", variables)
        statuses = await migrations.migrate(system.shard_map, system.settings().database)
        unfinished = [s for found in statuses.values() for s in found if s.fault or s.pending]
        assert not unfinished, unfinished
        yield system
    await cluster.fresh()
