"""A region: its shards, its ownership of buckets, its session store and its files, together."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any, Generic, TypeVar

from core.changes import OnChange
from core.database.ownership import CLAIMS, INTRODUCTION, Claim, Introduction, Ownership
from core.database.settings import DatabaseSettings
from core.database.shard import Consistency, Reply, Shard, Terms
from core.database.statement import Query, ReceiptKey, Write
from core.database.token import Token, TokenEntry
from core.errors import MeridianError, ShardUnavailable, WriteLost, WrongShard
from core.ids import LoginHash, login_hash
from core.limits import DRAIN_S, FILE_STEP_S, OWNERSHIP_REFRESH_S, PROBE_TIMEOUT_S
from core.sessions import SessionStore
from core.shard_map.model import RegionSpec, ShardName, ShardSpec
from core.storage.files import Files
from core.storage.storage import Storage
from core.tasks import end

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """How a caller wants a region asked: deadline (loop seconds), consistency, and all that the caller has seen."""

    deadline: float
    consistency: Consistency
    token: Token

    def terms(self, shard: Shard) -> Terms:
        """The part of it that concerns one shard."""
        return Terms(self.deadline, self.consistency, self.token.entry(shard.name))


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A reply with the shard that gave it and the epoch of the bucket it was for."""

    reply: Reply[T]
    shard: ShardName
    epoch: int


@dataclass(frozen=True, slots=True)
class Gathered(Generic[T]):
    """Rows of a whole region in order; `missing` names the shards that did not answer in time."""

    items: list[T]
    missing: tuple[ShardName, ...]
    positions: tuple[TokenEntry, ...]


class Region:
    """The live region behind a RegionSpec. One region's pools, queues and watchers are never another's."""

    def __init__(
        self,
        spec: RegionSpec,
        *,
        settings: DatabaseSettings,
        sessions: SessionStore,
        storage: Storage,
        clock: Callable[[], float],
        on_event: OnChange,
    ) -> None:
        self.spec = spec
        self.sessions = sessions
        self.storage = storage
        self.shards = {
            shard.name: Shard(shard, settings=settings, clock=clock, buckets_changed=self.mark_stale, on_event=on_event)
            for shard in spec.shards
        }
        self.files = Files(storage, self)
        self.ownership = Ownership({})
        self.faults: dict[ShardName, str] = {}
        self._claims: dict[ShardName, list[Claim]] = {}
        self._login_key: bytes | None = None
        self._refreshing = asyncio.Lock()
        self._refreshes = 0
        self._stale = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look at every shard once (bounded), learn who owns what, and keep looking. Dead shards do not stop it."""
        await asyncio.gather(*(shard.open() for shard in self.shards.values()))
        await self.refresh()
        self._keeper = asyncio.create_task(self._keep_ownership(), name=f"ownership {self.spec.name}")
        self.files.open()

    async def close(self, timeout_s: float = DRAIN_S) -> None:
        """Stop looking and drain every shard for `timeout_s` seconds at most."""
        if self._keeper is not None:
            await end(self._keeper)
        await self.files.close()
        await asyncio.gather(*(shard.close(timeout_s) for shard in self.shards.values()))

    def login_hash(self, identifier: str) -> LoginHash:
        """Where a login identifier of this region lives. Needs one shard to have been reachable since the start."""
        if self._login_key is None:
            raise ShardUnavailable(f"region {self.spec.name} has not been reachable yet; its login key is not known")
        return login_hash(identifier, key=self._login_key)

    def owner(self, bucket: int) -> Shard:
        """The shard that holds a bucket. Raises ShardUnavailable where none that could be asked does."""
        name = self.ownership.owner(bucket)
        if name is None or name not in self.shards:
            unasked = [shard for shard in self.shards if shard not in self._claims]
            because = f"; {', '.join(unasked)} could not be asked yet" if unasked else ""
            raise ShardUnavailable(f"no shard of region {self.spec.name} is known to hold bucket {bucket}{because}")
        return self.shards[name]

    async def read(self, bucket: int, query: Query[T], ask: Ask) -> Answer[list[T]]:
        """Read from the shard that holds `bucket`."""
        shard = self.owner(bucket)
        reply = await shard.read(query, ask.terms(shard))
        return Answer(reply, shard.name, self.ownership.epoch_of(bucket))

    async def write(self, write: Write[T], ask: Ask, receipt: ReceiptKey | None = None) -> Answer[T]:
        """Write to the shard that holds the write's bucket; if it says it does not, look again and try once more."""
        shard = self.owner(write.bucket)
        try:
            reply = await shard.write(write, ask.terms(shard), receipt)
        except WrongShard:
            await self.refresh()
            shard = self.owner(write.bucket)
            reply = await shard.write(write, ask.terms(shard), receipt)
        return Answer(reply, shard.name, self.ownership.epoch_of(write.bucket))

    async def read_now(self, bucket: int, query: Query[T]) -> list[T]:
        """Read for the region's own work in the background: from the primary, within FILE_STEP_S."""
        return (await self.read(bucket, query, _own_ask())).reply.value

    async def write_now(self, write: Write[T]) -> T:
        """Write for the region's own work in the background, within FILE_STEP_S."""
        return (await self.write(write, _own_ask())).reply.value

    async def gather(
        self, query: Query[T], ask: Ask, *, key: Callable[[T], Any], limit: int, descending: bool = False
    ) -> Gathered[T]:
        """Ask every shard at once and merge by `key`, which must be the order each shard already answers in.

        A shard that fails or is late is named in `missing`; when none answers the first failure is raised. WriteLost of
        any shard is raised, so that the caller is told.
        """
        shards = list(self.shards.values())
        answers = await asyncio.gather(
            *(_bounded(shard, query, ask.terms(shard)) for shard in shards), return_exceptions=True
        )
        failed = [(shard.name, a) for shard, a in zip(shards, answers, strict=True) if isinstance(a, BaseException)]
        for _, failure in failed:
            if not isinstance(failure, MeridianError) or isinstance(failure, WriteLost):
                raise failure
        if len(failed) == len(shards):
            raise failed[0][1]
        replies = [answer for answer in answers if isinstance(answer, Reply)]
        rows = merge(*(reply.value for reply in replies), key=key, reverse=descending)
        items = [row for row, _ in zip(rows, range(limit), strict=False)]
        positions = tuple(reply.position for reply in replies if reply.position is not None)
        return Gathered(items, tuple(name for name, _ in failed), positions)

    def mark_stale(self) -> None:
        """Something about ownership may have changed: look soon."""
        self._stale.set()

    async def _keep_ownership(self) -> None:
        """Refresh ownership when told to, and now and then anyway; sooner while a shard could not be asked."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 if self.faults else OWNERSHIP_REFRESH_S):
                    await self._stale.wait()
            self._stale.clear()
            await self.refresh()

    async def refresh(self) -> None:
        """Ask every shard which buckets it owns. A shard that cannot be asked keeps its last answer.

        All who ask while one refresh is under way share the next: many refused writers are one question.
        """
        begun_before = self._refreshes
        async with self._refreshing:
            if self._refreshes > begun_before:
                return
            self._refreshes += 1
            await asyncio.gather(*(self._ask(shard) for shard in self.shards.values()))
            self.ownership = Ownership(self._claims)

    async def _ask(self, shard: Shard) -> None:
        deadline = asyncio.get_running_loop().time() + PROBE_TIMEOUT_S
        primary_if_any = Consistency.STRONG if shard.roles.primary else Consistency.EVENTUAL
        terms = Terms(deadline, primary_if_any)
        try:
            introductions = (await shard.read(INTRODUCTION, terms)).value
            claims = (await shard.read(CLAIMS, terms)).value
        except MeridianError as exc:
            self.faults[shard.name] = exc.detail
            return
        fault = self._misintroduced(shard.spec, introductions)
        if fault:
            self.faults[shard.name] = fault
            self._claims.pop(shard.name, None)
            return
        self.faults.pop(shard.name, None)
        self._login_key = introductions[0].login_key
        self._claims[shard.name] = claims

    def _misintroduced(self, spec: ShardSpec, introductions: Sequence[Introduction]) -> str:
        if not introductions:
            return f"{spec.name} is not initialised; run: meridian migrate"
        found = introductions[0]
        if (found.region, found.region_code, found.name) != (self.spec.name, self.spec.code, spec.name):
            return (
                f"the servers of {spec.name} say they are {found.name} of region {found.region} (code"
                f" {found.region_code}); correct the addresses in the shard map"
            )
        if self._login_key not in (None, found.login_key):
            return f"{spec.name} was begun apart from the other shards of {self.spec.name}: its login key differs"
        return ""


def _own_ask() -> Ask:
    return Ask(asyncio.get_running_loop().time() + FILE_STEP_S, Consistency.STRONG, Token())


async def _bounded(shard: Shard, query: Query[T], terms: Terms) -> Reply[list[T]]:
    """One shard's part of a fan-out: it gives up a little before the caller does, so that the rest can be shown."""
    now = asyncio.get_running_loop().time()
    return await shard.read(query, replace(terms, deadline=now + (terms.deadline - now) * 0.8))
