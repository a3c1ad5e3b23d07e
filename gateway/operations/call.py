"""The Call: what a handler is given. It says what to read or write; where that is, the Call knows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from core.database.shard import Consistency
from core.database.statement import Query, ReceiptKey, Write
from core.database.token import TokenEntry
from core.errors import MeridianError, NotFound, Unauthenticated
from core.ids import Placement, placement_of
from core.region import Answer, Ask, Region
from gateway.credentials import User
from gateway.geography.decision import Decision
from gateway.operations.operation import PartialItems
from gateway.operations.pages import Page

if TYPE_CHECKING:
    from gateway.runtime import Runtime

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set: the session's, for `max_age_s` seconds (0 removes it)."""

    value: str
    max_age_s: int


@dataclass(frozen=True, slots=True)
class Route:
    """Which shard gave the last answer, in which role, for which epoch of the bucket; `age_s` as in core's Reply."""

    shard: str
    role: str
    epoch: int
    age_s: int | None = None


class Call:
    """One request to one operation: who asks, from where it was decided, and doors to the places that hold data."""

    def __init__(
        self,
        runtime: "Runtime",
        *,
        user: User | None,
        decision: Decision,
        ask: Ask,
        receipt: ReceiptKey | None,
    ) -> None:
        self.runtime = runtime
        self.decision = decision
        self.replayed = False
        self.cookie: Cookie | None = None
        self.route: Route | None = None
        self.ask = ask
        self._user = user
        self._receipt = receipt

    @property
    def user(self) -> User:
        """The verified caller; only a public operation can be called without one."""
        if self._user is None:
            raise Unauthenticated("log in first")
        return self._user

    @property
    def caller(self) -> User | None:
        """The verified caller, if there is one."""
        return self._user

    @property
    def region(self) -> Region:
        """The live region that geography decided on."""
        return self.runtime.fleet.regions[self.decision.region.name]

    @property
    def home(self) -> "Place":
        """The caller's own placement: where their account and what belongs to it live."""
        return self.at(self.user.id)

    def at(self, id: UUID) -> "Place":
        """The placement that an id carries. Raises NotFound for an id of no region on the map."""
        placement = placement_of(id)
        region = self.runtime.fleet.by_code.get(placement.region_code)
        if region is None:
            raise NotFound(f"no region of this system has code {placement.region_code}")
        return Place(self, region, placement.bucket)

    def place(self, region: Region, bucket: int) -> "Place":
        """A placement not yet carried by an id, as for a new account."""
        return Place(self, region, bucket)

    async def across(
        self, query: Query[T], *, page: Page, key: Callable[[T], Any], descending: bool = False
    ) -> PartialItems[T]:
        """A page of a list over every shard of the region, merged by `key`; shards that do not answer are named."""
        found = await self.region.gather(query, self.ask, key=key, limit=page.fetch, descending=descending)
        for position in found.positions:
            self.see(position)
        items = page.items(found.items, key=key)
        return PartialItems[T].model_construct(
            items=items.items, next=items.next, partial=bool(found.missing), missing=list(found.missing)
        )

    def take_receipt(self) -> ReceiptKey | None:
        """The idempotency key, once: it belongs to the first write of the call."""
        receipt, self._receipt = self._receipt, None
        return receipt

    def note(self, answer: Answer[Any]) -> None:
        """Keep what an answer says about where it came from and what the caller has now seen."""
        self.route = Route(answer.shard, answer.reply.role, answer.epoch, answer.reply.age_s)
        self.replayed = self.replayed or answer.reply.replayed
        if answer.reply.position is not None:
            self.see(answer.reply.position)

    def see(self, position: TokenEntry) -> None:
        """Keep a position that the caller has now seen: the token of the answer carries it."""
        self.ask = replace(self.ask, token=self.ask.token.seeing(position))


class Place:
    """One bucket of one region, as a call reads and writes it."""

    __slots__ = ("_call", "bucket", "region")

    def __init__(self, call: Call, region: Region, bucket: int) -> None:
        self._call = call
        self.region = region
        self.bucket = bucket

    def new_id(self) -> UUID:
        """An id for something new that lives here."""
        return self._call.runtime.new_id(Placement(self.region.spec.code, self.bucket))

    async def read(self, query: Query[T], *, consistency: Consistency | None = None) -> list[T]:
        """All rows of a query, as recent as the call asks, or as said here."""
        ask = self._call.ask
        if consistency is not None:
            ask = replace(ask, consistency=consistency)
        answer = await self.region.read(self.bucket, query, ask)
        self._call.note(answer)
        return answer.reply.value

    async def read_one(self, query: Query[T], if_none: MeridianError, *, consistency: Consistency | None = None) -> T:
        """The first row of a query, or the error that its absence means."""
        rows = await self.read(query, consistency=consistency)
        if not rows:
            raise if_none
        return rows[0]

    async def write(self, write: Write[T]) -> T:
        """Do one write; the call's idempotency key goes with the first one."""
        answer = await self.region.write(write, self._call.ask, self._call.take_receipt())
        self._call.note(answer)
        return answer.reply.value
