"""A whole local cluster, all of it owned by this process: every shard's primary and replica, and a Valkey."""

import asyncio
import json
import shutil
import signal
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.local import home
from gateway.local.binaries import REDIS_NAMES, PostgresPrograms, RedisProgram, Search, find_postgres, find_redis
from gateway.local.errors import LocalError, PortUse
from gateway.local.identity import Identity
from gateway.local.lock import OwnerLock
from gateway.local.ports import require_free
from gateway.local.postgres import Account, PostgresServer
from gateway.local.processes import Nursery, Resident, evict
from gateway.local.progress import Progress, Step, silent
from gateway.local.server import Server
from gateway.local.shard import LocalShard, Role
from gateway.local.valkey import ValkeyServer

SERVER_NAMES = ("postgres", "initdb", "pg_basebackup", *REDIS_NAMES)


@dataclass(frozen=True, slots=True)
class LocalShardSpec:
    """A shard to run: its name, the ports of its two nodes, its database and the superuser to make.

    The settings are named when a port is taken; by default `QA_1_PRIMARY` and `QA_1_REPLICA` for shard `qa-1`.
    """

    name: str
    primary_port: int
    replica_port: int
    database: str
    user: str
    password: str = field(repr=False)
    primary_setting: str = ""
    replica_setting: str = ""

    def ports(self) -> tuple[PortUse, PortUse]:
        """Both ports, with what they are for."""
        stem = self.name.upper().replace("-", "_")
        return (
            PortUse(self.primary_port, f"the primary of shard {self.name}", self.primary_setting or f"{stem}_PRIMARY"),
            PortUse(self.replica_port, f"the replica of shard {self.name}", self.replica_setting or f"{stem}_REPLICA"),
        )


class LocalCluster:
    """Runs the shards and, if `redis_port` is given, a Valkey, with their data below `root`.

    One owner at a time. The servers end with this process, however it ends; what is left half-made or still running
    by then is set right by the next `start`. `other_ports` are checked together with the servers' own.
    """

    def __init__(
        self,
        root: Path,
        *,
        shards: Sequence[LocalShardSpec],
        redis_port: int | None = None,
        search: Search | None = None,
        progress: Progress = silent,
        other_ports: Iterable[PortUse] = (),
        redis_setting: str = "REDIS_URL",
        shelter: Path = home.SHELTER,
    ) -> None:
        self.root = root.resolve()
        self._specs = tuple(shards)
        self._redis_port = redis_port
        self._redis_setting = redis_setting
        self._search = search or Search()
        self._progress = progress
        self._other_ports = tuple(other_ports)
        self._shelter = shelter
        self._lock = OwnerLock(self.root)
        self._nursery: Nursery | None = None
        self._shards: dict[str, LocalShard] = {}
        self._valkey: ValkeyServer | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def shards(self) -> tuple[LocalShard, ...]:
        """The running shards, in the order given."""
        return tuple(self._shards.values())

    @property
    def valkey(self) -> ValkeyServer:
        """The Valkey server. Raises LocalError if there is none."""
        if self._valkey is None:
            raise LocalError("this cluster runs no Valkey")
        return self._valkey

    def shard(self, name: str) -> LocalShard:
        """The shard of that name. Raises LocalError."""
        if name not in self._shards:
            raise LocalError(f"this cluster runs no shard {name}")
        return self._shards[name]

    def node(self, shard: str, role: Role) -> PostgresServer:
        """The node at the address that the map declares for `role`; after a promotion it plays the other part."""
        return self.shard(shard).node(role)

    async def start(self, *, fresh: bool = False) -> None:
        """Start everything at once, from nothing or from what an earlier owner left; `fresh` deletes that first.

        Raises AlreadyRunning, ProgramsMissing, PortsTaken, DataUnusable or ServerFailed, and then nothing runs.
        """
        self._lock.acquire()
        try:
            if fresh:
                await self._remove_data()
            await self._sweep(home.unlinked(self.root, shelter=self._shelter))
            await self._open()
            # After opening: a root that was moved has taken its data over by now.
            await self._sweep(*home.abandoned(shelter=self._shelter))
            # Own leftovers have their ports; they are stopped before the ports are looked at.
            await asyncio.gather(*(server.evict() for server in self._servers()))
            require_free(self._ports())
            await _together(self._starts())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything in order, in bounded time; every server is tried even if one fails. Raises that failure."""
        stops: list[Coroutine[None, None, None]] = [shard.stop() for shard in self._shards.values()]
        if self._valkey is not None:
            stops.append(self._valkey.stop())
        results = await asyncio.gather(*stops, return_exceptions=True)
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
        self._lock.release()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def fresh(self) -> None:
        """Delete all data of a cluster that does not run, wherever they lie. Raises AlreadyRunning."""
        self._lock.acquire()
        try:
            await self._remove_data()
        finally:
            self._lock.release()

    async def pause_replay(self, shard: str) -> None:
        """Let the shard's replica fall behind: it receives, but shows nothing new."""
        await self._follower(shard).pause_replay()

    async def resume_replay(self, shard: str) -> None:
        """End `pause_replay`."""
        await self._follower(shard).resume_replay()

    async def rebuild(self, shard: str, role: Role) -> None:
        """Make a node anew as a replica of the shard's other node, as after a failover."""
        await self.shard(shard).rebuild(self.node(shard, role))

    def _follower(self, shard: str) -> PostgresServer:
        nodes = self.shard(shard).nodes
        return next((node for node in nodes if node.is_standby), nodes[1])

    async def _open(self) -> None:
        place = home.open_home(self.root, shelter=self._shelter)
        postgres, redis = await asyncio.gather(
            asyncio.to_thread(self._find_postgres, place), asyncio.to_thread(self._find_redis, place.identity)
        )
        self._nursery = Nursery(place.identity)
        self._shards = {
            spec.name: self._make_shard(spec, place.folder, self._nursery, postgres) for spec in self._specs
        }
        self._valkey = None
        if redis is not None and self._redis_port is not None:
            self._valkey = ValkeyServer(
                name="valkey",
                folder=place.folder / "stores" / "valkey",
                port=self._redis_port,
                nursery=self._nursery,
                program=redis,
            )

    def _make_shard(
        self, spec: LocalShardSpec, folder: Path, nursery: Nursery, programs: PostgresPrograms
    ) -> LocalShard:
        account = Account(database=spec.database, user=spec.user, password=spec.password)

        def node(role: Role, port: int) -> PostgresServer:
            return PostgresServer(
                name=f"{spec.name}-{role}",
                folder=folder / spec.name / role,
                port=port,
                account=account,
                nursery=nursery,
                programs=programs,
            )

        primary, replica = node("primary", spec.primary_port), node("replica", spec.replica_port)
        return LocalShard(name=spec.name, primary=primary, replica=replica, progress=self._progress)

    def _find_postgres(self, place: home.Home) -> PostgresPrograms:
        majors = {
            json.loads(marker.read_text())["postgresql"]
            for spec in self._specs
            for marker in (place.folder / spec.name).glob("*/ready")
        }
        return find_postgres(self._search, place.identity, shelter=self._shelter, major=min(majors) if majors else None)

    def _find_redis(self, identity: Identity) -> RedisProgram | None:
        if self._redis_port is None:
            return None
        return find_redis(self._search, identity, shelter=self._shelter)

    def _servers(self) -> list[Server]:
        nodes: list[Server] = [node for shard in self._shards.values() for node in shard.nodes]
        return nodes if self._valkey is None else [*nodes, self._valkey]

    def _ports(self) -> list[PortUse]:
        uses = [use for spec in self._specs for use in spec.ports()]
        if self._redis_port is not None:
            uses.append(PortUse(self._redis_port, "the session store (Valkey)", self._redis_setting))
        return [*uses, *self._other_ports]

    def _starts(self) -> list[Coroutine[None, None, None]]:
        starts: list[Coroutine[None, None, None]] = [shard.start() for shard in self._shards.values()]
        if self._valkey is not None:
            self._progress(Step("valkey", "starting"))
            starts.append(self._valkey.start())
        return starts

    async def _remove_data(self) -> None:
        folder = home.locate(self.root, shelter=self._shelter)
        if folder is not None:
            self._progress(Step("data", "deleting"))
            await _evict_all(folder)
        await asyncio.to_thread(home.remove, self.root, shelter=self._shelter)

    async def _sweep(self, *folders: Path | None) -> None:
        """Delete sheltered data whose root, or whose link, somebody deleted to be rid of them."""
        for folder in folders:
            if folder is not None:
                await _evict_all(folder)
                await asyncio.to_thread(shutil.rmtree, folder)


async def _together(starts: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all; at the first failure cancel the rest and raise that failure itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _evict_all(folder: Path) -> None:
    """Stop whatever servers live anywhere in `folder`, which is about to be deleted."""

    def roots(found: Sequence[Resident]) -> list[int]:
        pids = {resident.pid for resident in found}
        return [resident.pid for resident in found if resident.parent not in pids]

    await evict(folder, SERVER_NAMES, chiefs=roots, polite=(signal.SIGINT, signal.SIGQUIT))
