"""SQL as values: what to read or write and how to understand its rows, with no word about where.

A statement is a pure value, so it can be built and tested without a database, retried, fanned out over shards,
and a single write can be sent together with its event and its receipt in one round trip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from core.errors import Conflict, MeridianError
from core.ids import placement_of

T = TypeVar("T")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """A read: `sql` with `$1..$n` for `args`; each row becomes `row(mapping of column to value)`."""

    sql: str
    args: tuple[object, ...]
    row: Callable[[Row], T]


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state to be told to the world: stored in the outbox, in the transaction of the write."""

    id: UUID
    kind: str
    subject: UUID
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Lock:
    """A row to lock before a write looks at anything: of `table`, by its id. That there is none is no error.

    `through` is a table and its column that names the row, for a write that knows only the id of what belongs to it;
    that column must never change.
    """

    table: str
    id: UUID
    through: tuple[str, str] | None = None

    @property
    def sql(self) -> str:
        """The statement that takes it, with `args`."""
        id = "$2"
        if self.through is not None:
            table, column = self.through
            id = f"(SELECT {column} FROM {table} WHERE bucket = $1 AND id = $2)"
        return f"SELECT FROM {self.table} WHERE bucket = $1 AND id = {id} FOR UPDATE"

    @property
    def args(self) -> tuple[object, ...]:
        """The arguments of `sql`."""
        return (placement_of(self.id).bucket, self.id)


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """One INSERT, UPDATE or DELETE with RETURNING: a transaction of its own, one round trip.

    With `lock` it is a transaction of two statements: the row is locked first, and what the write then sees is what is
    true while the lock is held. Without, a statement that waited for a row still sees the other rows as they were
    before.

    `first` is a list of `name AS (...)` common table expressions that `sql` may use, as text. `refusals` maps the name
    of a constraint to the sentence that a caller who breaks it is told (409), or to the error. `if_none` is raised when
    no row came back. Columns returned are also stored as JSON in the receipt, so return money as text and no bytea.
    """

    bucket: int
    sql: str
    args: tuple[object, ...]
    row: Callable[[Row], T]
    if_none: MeridianError = field(default_factory=lambda: Conflict("nothing was changed"))
    refusals: Mapping[str, str | MeridianError] = field(default_factory=dict)
    first: str = ""
    event: Event | None = None
    lock: Lock | None = None


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """An idempotency key as the caller gave it: whose (`owner`), and a keyed digest of the request it belongs to."""

    owner: UUID
    key: str
    fingerprint: bytes


@lru_cache(maxsize=1024)
def _composed(sql: str, first: str, count: int, with_event: bool, with_receipt: bool) -> str:
    parts = [first] if first else []
    parts.append(f"outcome AS ({sql})")
    at = count + 1
    if with_event:
        parts.append(
            "event AS (INSERT INTO meridian.outbox (bucket, id, kind, subject, body)"
            f" SELECT ${at}::smallint, ${at + 1}::uuid, ${at + 2}::text, ${at + 3}::uuid, ${at + 4}::jsonb"
            " FROM outcome)"
        )
        at += 5
    if with_receipt:
        parts.append(
            "receipt AS (INSERT INTO meridian.receipt (bucket, owner, key, fingerprint, outcome)"
            f" SELECT ${at}::smallint, ${at + 1}::uuid, ${at + 2}::text, ${at + 3}::bytea, to_jsonb(outcome)"
            " FROM outcome)"
        )
    return f"WITH {', '.join(parts)} SELECT * FROM outcome"


def compose(write: Write[Any], receipt: ReceiptKey | None) -> tuple[str, tuple[object, ...]]:
    """The SQL and arguments of a write together with its event and receipt, as one statement."""
    if not write.first and write.event is None and receipt is None:
        return write.sql, write.args
    args = write.args
    if write.event is not None:
        e = write.event
        args += (write.bucket, e.id, e.kind, e.subject, dict(e.body))
    if receipt is not None:
        args += (write.bucket, receipt.owner, receipt.key, receipt.fingerprint)
    return _composed(write.sql, write.first, len(write.args), write.event is not None, receipt is not None), args


OWNED: Final = "get_bit((SELECT buckets FROM meridian.writable), {bucket}) = 1"
"""A condition of statements over a whole shard: the bucket may be written to here. Rows of others are being moved.

The bits are read once for the statement; joining `meridian.bucket` is slow until that has been analysed.
"""

RECEIPT_SQL: Final = "SELECT fingerprint, outcome FROM meridian.receipt WHERE bucket = $1 AND owner = $2 AND key = $3"
