"""What happened while the primary store was out of reach and it has still to be told: bounded, newest per key."""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from typing import TypeAlias, TypeVar
from uuid import UUID

from core.limits import SESSIONS_IN_PROCESS_MAX
from core.sessions.store import Session

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Put:
    """A session was put, confirmed by its row at that time."""

    session: Session
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class Revoke:
    """A session was ended."""

    id: UUID


@dataclass(frozen=True, slots=True)
class RevokeAll:
    """A user's sessions created at or before a time were ended."""

    user: UUID
    before: datetime


Entry: TypeAlias = Put | Revoke | RevokeAll


class Journal:
    """Entries to be written to the primary, revocations first.

    Over its bound the oldest are dropped: a session comes back from its row, and a revocation dropped this way is
    found out when the primary's copy is next checked against the row (Lifetimes.recheck_s).
    """

    def __init__(self, entries_max: int = SESSIONS_IN_PROCESS_MAX) -> None:
        self._entries_max = entries_max
        self._puts: dict[UUID, Put] = {}
        self._revokes: dict[UUID, Revoke] = {}
        self._revoke_alls: dict[UUID, RevokeAll] = {}

    def __len__(self) -> int:
        return len(self._puts) + len(self._revokes) + len(self._revoke_alls)

    def put(self, session: Session, confirmed_at: datetime) -> None:
        """Note a session that is live."""
        self._set(self._puts, session.id, Put(session, confirmed_at))

    def used(self, session: Session) -> None:
        """Note the use of a session, if it is one of those noted here."""
        noted = self._puts.get(session.id)
        if noted is not None:
            self._puts[session.id] = replace(noted, session=session)

    def revoke(self, id: UUID) -> None:
        """Note that a session was ended."""
        self._puts.pop(id, None)
        self._set(self._revokes, id, Revoke(id))

    def revoke_all(self, user: UUID, before: datetime) -> None:
        """Note that a user's sessions were ended; puts of them are refused by the primary's mark."""
        noted = self._revoke_alls.get(user)
        self._set(self._revoke_alls, user, RevokeAll(user, max(before, noted.before) if noted else before))

    def next(self, entries_max: int) -> list[Entry]:
        """The entries to write next, in any order; none when the primary knows everything."""
        entries: chain[Entry] = chain(self._revoke_alls.values(), self._revokes.values(), self._puts.values())
        return list(islice(entries, entries_max))

    def done(self, entry: Entry) -> None:
        """Take out an entry that was written, unless it was replaced by a newer one meanwhile."""
        match entry:
            case Put(session):
                _discard(self._puts, session.id, entry)
            case Revoke(id):
                _discard(self._revokes, id, entry)
            case RevokeAll(user):
                _discard(self._revoke_alls, user, entry)

    def _set(self, entries: dict[UUID, V], key: UUID, entry: V) -> None:
        entries.pop(key, None)
        entries[key] = entry
        if len(entries) > self._entries_max:
            del entries[next(iter(entries))]


def _discard(entries: dict[UUID, V], key: UUID, entry: object) -> None:
    if entries.get(key) is entry:
        del entries[key]
