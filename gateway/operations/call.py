"""The Call: what a handler is given. It says what to read or write; where that is, the Call knows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from core.database.shard import Consistency
from core.database.statement import Query, ReceiptKey, Row, Write
from core.database.token import Token, TokenEntry
from core.errors import (
    Conflict,
    Invalid,
    MeridianError,
    NotFound,
    OutcomeUnknown,
    ShardUnavailable,
    Unauthenticated,
    WriteLost,
)
from core.ids import Placement, placement_of
from core.limits import FANOUT_ROWS_MAX, REQUEST_DEADLINE_S, STREAM_BATCH_ROWS
from core.region import Answer, Ask, Region
from core.storage import rows
from core.storage.rows import StoredFile
from gateway.credentials import User
from gateway.geography.decision import Decision
from gateway.operations.downloads import Download
from gateway.operations.operation import PartialItems
from gateway.operations.pages import Page, combined, json_values
from gateway.operations.uploads import Upload

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
        self.shown = Token()
        self.changed: list[str] = []
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
    def parts(self) -> Any:
        """What the service made for itself when the gateway started (Service.open)."""
        return self.runtime.parts

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
        self,
        query: Query[T],
        *,
        page: Page,
        key: Callable[[T], Any],
        descending: bool = False,
        combine: Callable[[T, T], T] | None = None,
    ) -> PartialItems[T]:
        """A page of a list over every shard of the region, merged by `key`; shards that do not answer are named.

        `combine` makes one row of two with the same key: groups whose parts lie on several shards. Each shard must
        answer its first `page.fetch` groups; the first of all are then whole.
        """
        rows, missing = await self._gathered(query, page.fetch, key, descending, combine)
        items = page.items(rows, key=key)
        return PartialItems[T].model_construct(
            items=items.items, next=items.next, partial=bool(missing), missing=missing
        )

    async def whole(
        self,
        query_of: Callable[[Any, int], Query[T]],
        *,
        key: Callable[[T], Any],
        descending: bool = False,
        combine: Callable[[T, T], T] | None = None,
    ) -> AsyncGenerator[list[T], None]:
        """All of a list over every shard of the region, batch by batch, for a Csv; `query_of(after, limit)` as a page.

        The first batch has the call's deadline, each further one a default deadline of its own. Raises
        ShardUnavailable when a shard does not answer: what is left out of a whole list, nobody would notice.
        """
        after: Any = None
        while True:
            query = query_of(after, STREAM_BATCH_ROWS + 1)
            rows, missing = await self._gathered(query, STREAM_BATCH_ROWS + 1, key, descending, combine)
            if missing:
                raise ShardUnavailable(f"{', '.join(missing)} did not answer, so the table would not be whole")
            yield rows[:STREAM_BATCH_ROWS]
            if len(rows) <= STREAM_BATCH_ROWS:
                return
            after = json_values(key(rows[STREAM_BATCH_ROWS - 1]))
            self.ask = replace(self.ask, deadline=asyncio.get_running_loop().time() + REQUEST_DEADLINE_S)

    async def _gathered(
        self,
        query: Query[T],
        limit: int,
        key: Callable[[T], Any],
        descending: bool,
        combine: Callable[[T, T], T] | None,
    ) -> tuple[list[T], list[str]]:
        """The first rows of a region, with what they show seen, and the shards that did not answer."""
        enough = limit if combine is None else limit * len(self.region.shards)
        found = await self.region.gather(query, self.ask, key=key, limit=enough, descending=descending)
        for position in found.positions:
            self.see(position)
        rows = found.items if combine is None else combined(found.items, key=key, combine=combine)
        return rows[:limit], list(found.missing)

    async def of_each_shard(
        self, query: Query[T], *, consistency: Consistency | None = None
    ) -> tuple[list[T], list[str]]:
        """All rows of a query from every shard of the region, in no order, and the shards that did not answer."""
        ask = self.ask if consistency is None else replace(self.ask, consistency=consistency)
        found = await self.region.gather(query, ask, key=lambda _: 0, limit=FANOUT_ROWS_MAX)
        for position in found.positions:
            self.see(position)
        return found.items, list(found.missing)

    @property
    def has_receipt(self) -> bool:
        """Whether the first write is still to come and may be sent twice, under an idempotency key."""
        return self._receipt is not None

    def take_receipt(self) -> ReceiptKey | None:
        """The idempotency key, once: it belongs to the first write of the call."""
        receipt, self._receipt = self._receipt, None
        return receipt

    def give_back(self, receipt: ReceiptKey | None) -> None:
        """The write that the key was taken for has certainly not happened."""
        self._receipt = receipt

    def note(self, answer: Answer[Any]) -> None:
        """Keep what an answer says about where it came from and what the caller has now seen."""
        self.route = Route(answer.shard, answer.reply.role, answer.epoch, answer.reply.age_s)
        self.replayed = self.replayed or answer.reply.replayed
        if answer.reply.position is not None:
            self.see(answer.reply.position)

    def see(self, position: TokenEntry) -> None:
        """Keep a position that the caller has now seen: the token of the answer carries it."""
        self.ask = replace(self.ask, token=self.ask.token.seeing(position))
        self.shown = self.shown.seeing(position)

    def changes(self, *groups: str) -> None:
        """What was written shows in shared answers of these cache groups: whoever keeps them is told."""
        self.changed.extend(groups)


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

    async def write(self, write: Write[T], *, said: bytes = b"") -> T:
        """Do one write; the call's idempotency key goes with the first one that does not fail.

        `said` is what the request said beside its body, if it must be the same when the key comes again.
        """
        receipt = key = self._call.take_receipt()
        if receipt is not None and said:
            fingerprint = self._call.runtime.receipts.digest(receipt.fingerprint + said)
            receipt = replace(receipt, fingerprint=fingerprint)
        try:
            answer = await self.region.write(write, self._call.ask, receipt)
        except OutcomeUnknown:
            raise
        except MeridianError:
            self._call.give_back(key)
            raise
        self._call.note(answer)
        return answer.reply.value

    async def change(self, write: Write[T], *, theirs: Query[Any], otherwise: MeridianError) -> T:
        """A write of something of the caller's. A Conflict becomes `otherwise` if `theirs` finds that there is none."""
        try:
            return await self.write(write)
        except Conflict:
            await self.read_one(theirs, otherwise, consistency=Consistency.STRONG)
            raise

    async def prepare(self, write: Write[T]) -> T:
        """A write before the one that the idempotency key belongs to: it must be harmless to do twice."""
        answer = await self.region.write(write, self._call.ask)
        self._call.note(answer)
        return answer.reply.value

    async def replay(self, row: Callable[[Row], T], otherwise: MeridianError) -> T:
        """The stored outcome of the call's idempotency key, or the error: for what cannot be prepared a second time."""
        if not self._call.has_receipt:
            raise otherwise
        nothing = Write(bucket=self.bucket, sql="SELECT WHERE false", args=(), row=row, if_none=otherwise)
        return await self.write(nothing)

    async def keep(self, upload: Upload, *, owner: UUID) -> StoredFile:
        """Keep a file here: received whole, its row written, and moved to the region's store if that answers in time.

        Raises what receiving raises (see Files.receive) and what a write raises; then there is no file.
        """
        id, files, with_key = self.new_id(), self.region.files, self._call.has_receipt
        contents = await files.receive(id, upload.chunks)
        insert = rows.insert(
            id, owner=owner, name=upload.name, contents=contents, spool=files.spool_name, event=self.new_id()
        )
        try:
            file = await self.write(insert, said=contents.sha256)
        except MeridianError as exc:
            if _is_without_row(exc, with_key=with_key):
                await files.discard(id)
            raise
        if file.id != id:
            await files.discard(id)  # the key was used before: that file is the answer
            return file
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._call.ask.deadline):
                return await files.settle(file)
        return file

    def download(self, file: StoredFile) -> Download:
        """A file of this place as an answer."""
        return Download(file, self.region.files)


def _is_without_row(error: MeridianError, *, with_key: bool) -> bool:
    """Whether a failed insert has certainly made no row. If it may have, its file must stay: the drain finds out.

    A write with a key is sent again when its connection breaks; then the second try's failure says nothing about the
    first, which may still be committing.
    """
    if with_key:
        return isinstance(error, Invalid | WriteLost)
    return not isinstance(error, OutcomeUnknown)
