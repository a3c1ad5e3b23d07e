"""Telling people: the outbox's events become notifications, each where the account lives that it is for."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.database.statement import OWNED, Query, Row, Write
from core.errors import MeridianError, NotFound
from core.ids import Placement, make_id, placement_of
from gateway.operations import Job, Shift, throwing_away

NOTIFICATION_LIFETIME_DAYS: Final = 90
EVENTS_AT_ONCE: Final = 500
_HIDDEN: Final = frozenset({"to", "customer"})


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the outbox."""

    id: UUID
    kind: str
    subject: UUID
    body: Mapping[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> "Event":
        """An event from its row."""
        return cls(row["id"], row["kind"], row["subject"], row["body"], row["created_at"])


@dataclass(frozen=True, slots=True)
class Notification:
    """What one account is to be told. Its id says when it happened, and is the same however often it is made."""

    id: UUID
    account: UUID
    event: UUID
    kind: str
    subject: UUID
    about: Mapping[str, str]
    created_at: datetime

    @property
    def bucket(self) -> int:
        """Where it lives: with its account."""
        return placement_of(self.id).bucket


def notifications_of(event: Event) -> list[Notification]:
    """Who is told of an event: the accounts of its region that its body names in `to`; what is no such id is nobody."""
    about = {name: str(value) for name, value in event.body.items() if name not in _HIDDEN and value is not None}
    accounts = dict.fromkeys(_id(text) for text in event.body.get("to") or ())
    return [
        Notification(_id_of(event.id, account), account, event.id, event.kind, event.subject, about, event.created_at)
        for account in accounts
        if account is not None and placement_of(account).region_code == placement_of(event.id).region_code
    ]


def _id(text: object) -> UUID | None:
    """An id that carries a placement. Others are passed over: one wrong event must not stop all that come after it."""
    try:
        id = UUID(str(text))
        placement_of(id)
    except (ValueError, NotFound):
        return None
    return id


def _id_of(event: UUID, account: UUID) -> UUID:
    """An id at the account's placement, of the event's time; both ids' random bits keep it apart from all others."""
    code, bucket = placement_of(account)
    return make_id(Placement(code, bucket), now_ms=event.int >> 80, random_bits=event.int ^ account.int)


def waiting() -> Query[Event]:
    """Events of a shard that nobody was told of and whose turn it is."""
    return Query(
        f"""SELECT id, kind, subject, body, created_at FROM meridian.outbox
           WHERE relayed_at IS NULL AND due_at <= now() AND {OWNED.format(bucket="bucket")}
           ORDER BY due_at LIMIT $1""",
        (EVENTS_AT_ONCE,),
        Event.of,
    )


def tell(notifications: Sequence[Notification]) -> Write[set[int]]:
    """Store notifications for accounts of one shard, each once; the buckets that it could write to.

    In the order of their ids, so that two who tell the same never wait for each other.
    """
    given = [{"bucket": n.bucket, **{name: getattr(n, name) for name in Notification.__slots__}} for n in notifications]
    return Write(
        bucket=notifications[0].bucket,
        first=f"""given AS (
            SELECT g.* FROM jsonb_to_recordset($1::jsonb) AS g (bucket smallint, id uuid, account uuid, event uuid,
                kind text, subject uuid, about jsonb, created_at timestamptz)
            WHERE {OWNED.format(bucket="g.bucket")}),
        told AS (
            INSERT INTO marketplace.notification (bucket, id, account, event, kind, subject, about, created_at)
            SELECT bucket, id, account, event, kind, subject, about, created_at FROM given ORDER BY id
            ON CONFLICT DO NOTHING)""",
        sql="SELECT coalesce(array_agg(DISTINCT bucket), '{}') AS buckets FROM given",
        args=(given,),
        row=lambda row: set(row["buckets"]),
    )


def hand_on(events: Sequence[Event], told: set[UUID]) -> Write[int]:
    """Mark events that all were `told` of; the others wait as long again as they have waited, at most half a minute.

    How many were marked. Another process may have marked them before, or be at it: they are passed over.
    """
    return Write(
        bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
        first=f"""given AS (
            SELECT o.bucket, o.id, e.told FROM unnest($1::smallint[], $2::uuid[], $3::boolean[]) AS e (bucket, id, told)
            JOIN meridian.outbox o ON o.bucket = e.bucket AND o.id = e.id
            WHERE {OWNED.format(bucket="e.bucket")} AND o.relayed_at IS NULL
            FOR UPDATE OF o SKIP LOCKED),
        marked AS (
            UPDATE meridian.outbox o SET relayed_at = CASE WHEN given.told THEN now() END,
                due_at = now() + greatest(interval '1 second', least(interval '30 seconds', now() - o.created_at))
            FROM given WHERE (o.bucket, o.id) = (given.bucket, given.id) RETURNING 1)""",
        sql="SELECT count(*)::int AS events FROM marked",
        args=([placement_of(e.id).bucket for e in events], [e.id for e in events], [e.id in told for e in events]),
        row=lambda row: int(row["events"]),
    )


async def notify(shift: Shift) -> int:
    """Tell of what has happened on a shard; how many events were dealt with.

    At least once, and stored once: what one process tells, another may tell too. A shard that cannot be written to
    holds up only its own accounts': the event stays, and is told to them later.
    """
    events = await shift.read(waiting())
    if not events:
        return 0
    people = {event.id: notifications_of(event) for event in events}
    by_shard = _by_shard(shift, (n for told in people.values() for n in told))
    reached = set().union(*await asyncio.gather(*(_reached(shift, group) for group in by_shard.values())))
    told = {id for id, notifications in people.items() if all(n.bucket in reached for n in notifications)}
    return await shift.write(hand_on(events, told))


def _by_shard(shift: Shift, notifications: Iterable[Notification]) -> Mapping[str, list[Notification]]:
    """By the shard that is thought to hold the account; those of no known shard are left out."""
    groups: dict[str, list[Notification]] = defaultdict(list)
    for notification in notifications:
        shard = shift.region.ownership.owner(notification.bucket)
        if shard is not None:
            groups[shard].append(notification)
    return groups


async def _reached(shift: Shift, notifications: Sequence[Notification]) -> set[int]:
    try:
        return await shift.write_at(tell(notifications))
    except MeridianError:
        return set()


JOBS: Final = (
    Job("notify", every_s=1.0, batch=EVENTS_AT_ONCE, run=notify),
    throwing_away(
        "old notifications",
        "marketplace.notification",
        "bucket id",
        since="created_at",
        lifetime_s=NOTIFICATION_LIFETIME_DAYS * 24 * 3600,
    ),
)
