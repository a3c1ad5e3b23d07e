"""What the soak runs against: three shards with synchronous replicas, a Redis and a file store for each region, a proxy
before each of them, and two gateways as processes of their own that know the proxies alone.
"""

import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiohttp import ClientError, ClientTimeout

from core.shard_map import ShardMap, load
from gateway import migrations
from gateway.local import LocalCluster, LocalShardSpec
from gateway.local.postgres import PostgresServer
from gateway.settings import Settings
from tests.blackbox.process import Program, serving
from tests.contract.sessions.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.servers.azurite import CONTAINER, Azurite
from tests.servers.s3 import BUCKET, S3Server
from tests.system import DATABASE, PASSWORD, ROOT, SEARCH, SECRET, SHARDS, USER, free_port, until

GATEWAYS = 2
BALANCER_INTERVAL_S = 0.2
PASSING_S = 3.0  # a file passes through the spool in less: what is older waits for its store
REGIONS = {"qa": ("qa-1",), "sa": ("sa-1", "sa-2")}


@dataclass
class World:
    """The servers by what they are to the system, each with its proxy."""

    cluster: LocalCluster
    nodes: Mapping[tuple[str, str], Proxy]
    redis: Mapping[str, tuple[Valkey, Proxy]]
    s3: tuple[S3Server, Proxy]
    azurite: tuple[Azurite, Proxy]
    variables: Mapping[str, str]
    folder: Path
    shard_map: ShardMap
    gateways: list[Program]
    stack: AsyncExitStack
    in_service: list[Program]
    keep: bool = True
    trouble: str = ""

    def leader(self, shard: str) -> PostgresServer:
        """The node that leads a shard, by its data."""
        return next(node for node in self.cluster.shard(shard).nodes if not node.is_standby)

    def follower(self, shard: str) -> PostgresServer:
        """The other one."""
        return next(node for node in self.cluster.shard(shard).nodes if node.is_standby)

    def proxy_of(self, node: PostgresServer) -> Proxy:
        """The proxy before a node."""
        return next(proxy for proxy in self.nodes.values() if proxy.upstream == node.port)

    async def synchronous(self, shard: str, *, on: bool) -> None:
        """Let commits wait for the replica, or not. When it is on, all that was committed before is on the replica."""
        leader = self.leader(shard)
        names = "*" if on else ""
        await leader.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await leader.sql("SELECT pg_reload_conf()")
        if on:
            await until(lambda: self._is_synchronous(leader), within_s=30, what=f"{shard} is synchronous")
            await leader.sql("SELECT pg_logical_emit_message(true, 'soak', 'everything before this is on the replica')")

    async def _is_synchronous(self, leader: PostgresServer) -> bool:
        return await leader.sql("SELECT sync_state FROM pg_stat_replication") == "sync"

    async def start_gateway(self, number: int) -> None:
        """Start a gateway, in the place and with the spool of the one before it."""
        folder = self.folder / f"gateway-{number}"
        folder.mkdir(exist_ok=True)
        program = await self.stack.enter_async_context(serving(folder, self.variables))
        self.gateways[number : number + 1] = [program]

    async def stop_gateway(self, number: int) -> None:
        """End a gateway in order: whoever talks to it is led away first, and it ends by itself and well."""
        program = self.gateways[number]
        assert await program.stop() == 0, program.said()[-2000:]

    async def kill_gateway(self, number: int) -> None:
        """kill -9."""
        await self.gateways[number].stop(signal.SIGKILL)

    async def balance(self) -> None:
        """Be the load balancer: ask every gateway whether it is ready, and send users to those that are."""
        while True:
            programs = list(self.gateways)
            ready = await asyncio.gather(*(_is_ready(program) for program in programs))
            self.in_service = [
                program for program, is_ready in zip(programs, ready, strict=True) if is_ready
            ] or programs
            await asyncio.sleep(BALANCER_INTERVAL_S)

    @asynccontextmanager
    async def sql(self, shard: str) -> AsyncIterator[asyncpg.Connection]:
        """A plain connection to a shard's leader, past every gateway and proxy."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.leader(shard).port, user=USER, password=PASSWORD, database=DATABASE
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def is_healthy(self) -> bool:
        """Whether every gateway says OK of everything, with no file waiting for its store; else `trouble` says why."""
        return all([await self._says_ok(program) for program in self.gateways])

    async def healed(self, within_s: float) -> str:
        """Wait until all is healthy again; empty, or what is not after so long."""
        try:
            await until(self.is_healthy, within_s=within_s)
        except AssertionError:
            return self.trouble or "unknown"
        return ""

    async def _says_ok(self, program: Program) -> bool:
        try:
            async with program.client.session.get("/health") as response:
                health = await response.json()
        except ClientError as exc:
            self.trouble = f"a gateway does not answer: {exc}"
            return False
        oldest_s = max(region["storage"]["oldest_s"] for region in health["regions"].values())
        if health["status"] == "OK" and oldest_s < PASSING_S:
            return True
        troubled = [region for region in health["regions"].values() if region["status"] != "OK"]
        self.trouble = f"a file waits for {oldest_s} s; {json.dumps(troubled)}"
        return False


async def _is_ready(program: Program) -> bool:
    try:
        async with program.client.session.get("/health/ready", timeout=ClientTimeout(total=1)) as response:
            return response.status == 200
    except (ClientError, TimeoutError, OSError):
        return False


@asynccontextmanager
async def running_world() -> AsyncIterator[World]:
    """Start it all, migrated and synchronous, in a new folder; all of it ends with the block. What it wrote is deleted
    unless it is to be kept, or the block failed.
    """
    folder = Path(tempfile.mkdtemp(prefix="meridian-soak-"))
    ports = {shard: (free_port(), free_port()) for shard in SHARDS}
    cluster = LocalCluster(
        folder / "cluster",
        shards=[LocalShardSpec(shard, *ports[shard], DATABASE, USER, PASSWORD) for shard in SHARDS],
        search=SEARCH,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(cluster)
        nodes = {
            (shard, role): await stack.enter_async_context(Proxy(port))
            for shard, pair in ports.items()
            for role, port in zip(("PRIMARY", "REPLICA"), pair, strict=True)
        }
        redis = {}
        for region in REGIONS:
            (folder / f"redis-{region}").mkdir()
            valkey = Valkey(folder / f"redis-{region}")
            await valkey.start()
            stack.push_async_callback(valkey.kill)
            redis[region] = valkey, await stack.enter_async_context(Proxy(valkey.port))
        s3 = await stack.enter_async_context(S3Server(folder / "s3"))
        azurite = await stack.enter_async_context(Azurite(folder / "azurite"))
        s3_proxy, azurite_proxy = [await stack.enter_async_context(Proxy(server.port)) for server in (s3, azurite)]
        variables = _variables(folder, nodes, redis, s3, s3_proxy, azurite, azurite_proxy)
        settings = Settings.from_environment(variables)
        shard_map = load(folder / "shard_map.yaml", environment=variables)
        statuses = await migrations.migrate(shard_map, settings.database)
        assert not [s for found in statuses.values() for s in found if s.fault or s.pending]
        world = World(
            cluster, nodes, redis, (s3, s3_proxy), (azurite, azurite_proxy), variables, folder, shard_map, [], stack, []
        )
        for number in range(GATEWAYS):
            await world.start_gateway(number)
        for shard in SHARDS:
            await world.synchronous(shard, on=True)
        assert not await world.healed(30), f"not healthy at the start: {world.trouble}"
        balancer = asyncio.create_task(world.balance(), name="load balancer")
        stack.push_async_callback(_end, balancer)
        world.in_service = list(world.gateways)
        yield world
    if not world.keep:
        await cluster.fresh()
        await asyncio.to_thread(shutil.rmtree, folder)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _variables(
    folder: Path,
    nodes: Mapping[tuple[str, str], Proxy],
    redis: Mapping[str, tuple[Valkey, Proxy]],
    s3: S3Server,
    s3_proxy: Proxy,
    azurite: Azurite,
    azurite_proxy: Proxy,
) -> dict[str, str]:
    """The gateways' environment. `UPLOAD_FOLDER` is relative: each gateway has a spool of its own."""
    text = (ROOT / "shard_map.yaml").read_text()
    for store in (f"{{kind: S3, bucket: {BUCKET}}}", f"{{kind: Azure, bucket: {CONTAINER}}}"):
        text = text.replace("storage: {}", f"storage: {store}", 1)
    (folder / "shard_map.yaml").write_text(text)
    s3_variables = {name: value for name, value in s3.variables.items() if name != "S3_BASE_URL"}
    azure = azurite.variables["AZURE_STORAGE_CONNECTION_STRING"]
    return {
        "SHARD_MAP": str(folder / "shard_map.yaml"),
        "DB_PASSWORD": PASSWORD,
        "JWT_SECRET": SECRET,
        "SESSION_SECRET": SECRET[::-1],
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "info",
        "UPLOAD_FOLDER": "uploads",
        **s3_variables,
        "S3_ENDPOINT": s3_variables["S3_ENDPOINT"].replace(str(s3.port), str(s3_proxy.port)),
        "AZURE_STORAGE_CONNECTION_STRING": azure.replace(str(azurite.port), str(azurite_proxy.port)),
        **{f"{region.upper()}_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0" for region, (_, proxy) in redis.items()},
        **{
            f"{shard.upper().replace('-', '_')}_{role}": f"127.0.0.1:{proxy.port}"
            for (shard, role), proxy in nodes.items()
        },
    }
