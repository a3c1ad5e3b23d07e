"""One shard's two nodes: finds out which one leads, and brings the other to follow it."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from gateway.local import limits
from gateway.local.errors import LocalError, ServerFailed
from gateway.local.postgres import PostgresServer
from gateway.local.progress import Progress, Step

# What a replica writes (in English: `lc_messages` is C) when waiting cannot help it.
_HOPELESS = (
    "has already been removed",
    "has been invalidated",
    "is not in this server's history",
    "is behind recovery timeline",
    "identifier differs between the primary and standby",
)

Role = Literal["primary", "replica"]


@dataclass(slots=True)
class LocalShard:
    """A primary and a replica at fixed ports.

    `primary` and `replica` are the nodes at the addresses that the map gives to these roles. After a promotion the
    roles are the other way round, and they stay so over restarts: the data decide who leads, for the promoted node
    holds writes that the other does not.
    """

    name: str
    primary: PostgresServer
    replica: PostgresServer
    progress: Progress

    @property
    def nodes(self) -> tuple[PostgresServer, PostgresServer]:
        """Both nodes, the declared primary first."""
        return self.primary, self.replica

    def node(self, role: Role) -> PostgresServer:
        """The node at the address declared for `role`."""
        return self.primary if role == "primary" else self.replica

    async def start(self) -> None:
        """Make what is missing, start both nodes, and return when one follows the other. Raises LocalError."""
        leader = await self._choose_leader()
        follower = self._other(leader)
        fits = await self._fits(follower, leader)
        if not leader.is_built:
            self._tell(leader, "initialising")
            await leader.init()
        leader.upstream = None
        follower.upstream = leader
        starting_follower = asyncio.create_task(self._try_start(follower)) if fits else None
        try:
            await self._start_leader(leader)
            if starting_follower is None or not await starting_follower or not await self._follows(follower, leader):
                await self.rebuild(follower, leader)
        finally:
            if starting_follower is not None and not starting_follower.done():
                starting_follower.cancel()
                await asyncio.gather(starting_follower, return_exceptions=True)
        self._tell(follower, f"follows {leader.name}")

    async def stop(self) -> None:
        """Stop the leader first, so that its last words still reach the follower; then the follower."""
        for node in self.nodes:
            node.resume()
        for node in sorted(self.nodes, key=lambda node: node.is_standby):
            await node.stop()

    async def rebuild(self, node: PostgresServer, source: PostgresServer | None = None) -> None:
        """Throw away a node's data and make it a replica of the other, which must run as a primary."""
        source = source or self._other(node)
        await node.stop()
        await node.evict()
        self._tell(node, f"copying {source.name}")
        await node.clone(source)
        await node.start()
        if not await self._is_streaming(node, source):
            raise ServerFailed(f"{node.name} does not follow {source.name}", node.log_tail())

    async def _choose_leader(self) -> PostgresServer:
        """Whose data are the truth: a built node over none, then a primary over a standby, then the newest timeline."""
        built = [node for node in self.nodes if node.is_built]
        if not built:
            return self.primary
        writers = [node for node in built if not node.is_standby] or built[:1]
        if len(writers) == 1:
            return writers[0]
        controls = [await node.control() for node in writers]
        leader = max(zip(writers, controls, strict=True), key=lambda pair: pair[1].timeline)[0]
        loser = self._other(leader)
        self._tell(loser, "was cut off by a promotion: its data are kept aside as data.cut-off")
        await asyncio.to_thread(loser.set_aside)
        return leader

    async def _fits(self, follower: PostgresServer, leader: PostgresServer) -> bool:
        """Whether the follower's data may be able to follow the leader's; if not they are made anew."""
        if not (leader.is_built and follower.is_built and follower.is_standby):
            return False
        theirs, ours = await asyncio.gather(follower.control(), leader.control())
        return theirs.system_id == ours.system_id and theirs.timeline <= ours.timeline

    async def _start_leader(self, leader: PostgresServer) -> None:
        self._tell(leader, "starting")
        await leader.start()
        if leader.is_standby:
            self._tell(leader, "promoting, for the other node's data are gone")
            await leader.promote()
        await leader.ensure_database()
        await leader.ensure_slot()

    async def _try_start(self, follower: PostgresServer) -> bool:
        self._tell(follower, "starting")
        try:
            await follower.start()
        except LocalError as exc:
            self._tell(follower, f"cannot start as it is: {str(exc).splitlines()[0]}")
            return False
        return True

    async def _follows(self, follower: PostgresServer, leader: PostgresServer) -> bool:
        if await self._is_streaming(follower, leader):
            return True
        self._tell(follower, "cannot follow as it is")
        return False

    async def _is_streaming(self, follower: PostgresServer, leader: PostgresServer) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.FOLLOW_S
        while not await leader.is_followed_by(follower):
            hopeless = any(phrase in follower.log_tail() for phrase in _HOPELESS)
            if hopeless or not follower.is_running or loop.time() >= deadline:
                return False
            await asyncio.sleep(limits.POLL_S)
        return True

    def _other(self, node: PostgresServer) -> PostgresServer:
        return self.replica if node is self.primary else self.primary

    def _tell(self, node: PostgresServer, what: str) -> None:
        self.progress(Step(node.name, what))
