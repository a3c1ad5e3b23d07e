"""Sessions in this process: bounded, least recently used out first, expiring. Also what stands in for Redis."""

from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from core.limits import SESSIONS_IN_PROCESS_MAX
from core.sessions.lifetimes import Lifetimes
from core.sessions.store import Answer, Clock, Revoked, Session, StoreHealth

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Live:
    session: Session
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class _Tombstone:
    until: datetime


@dataclass(frozen=True, slots=True)
class _Mark:
    """Every session of one user created at or before `before` is revoked."""

    before: datetime
    until: datetime


class MemoryStore:
    """A SessionStore in memory. No method awaits, so each is one atomic step of the event loop."""

    def __init__(self, *, clock: Clock, lifetimes: Lifetimes, sessions_max: int = SESSIONS_IN_PROCESS_MAX) -> None:
        self._clock = clock
        self._lifetimes = lifetimes
        self._sessions_max = sessions_max
        self._held: OrderedDict[UUID, _Live | _Tombstone] = OrderedDict()
        self._of_user: dict[UUID, set[UUID]] = {}
        self._marks: OrderedDict[UUID, _Mark] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    async def get(self, id: UUID) -> Answer:
        """See SessionStore.get."""
        now = self._clock()
        held = self._current(id, now)
        if held is None:
            return None
        if isinstance(held, _Tombstone):
            return Revoked(id)
        used = replace(held.session, seen_at=max(now, held.session.seen_at))
        self._keep(id, replace(held, session=used))
        return used

    async def put(self, session: Session, *, confirmed_at: datetime | None = None) -> Answer:
        """See SessionStore.put."""
        now = self._clock()
        offered = _Live(session, confirmed_at or now)
        if not self._lifetimes.is_live(session, offered.confirmed_at, now):
            return None
        held = self._current(session.id, now)
        if isinstance(held, _Tombstone) or self._is_marked(session, now):
            return Revoked(session.id)
        self._keep(session.id, _merged(held, offered))
        return session

    async def revoke(self, id: UUID) -> None:
        """See SessionStore.revoke."""
        self._bury(id, self._clock())

    async def revoke_all(self, user: UUID, *, before: datetime | None = None) -> None:
        """See SessionStore.revoke_all."""
        now = self._clock()
        mark = _Mark(before or now, now + self._lifetimes.revoked_kept)
        known = self._marks.get(user)
        self._marks[user] = replace(mark, before=max(mark.before, known.before)) if known else mark
        self._marks.move_to_end(user)
        _trim(self._marks, self._sessions_max)
        # Buried one by one as well: a mark pushed out by the bound must not bring the sessions held here back to life.
        for id in tuple(self._of_user.get(user, ())):
            held = self._held[id]
            if isinstance(held, _Live) and held.session.created_at <= mark.before:
                self._bury(id, now)

    def health(self) -> StoreHealth:
        """Always connected: it is this process."""
        return StoreHealth("memory", connected=True, detail="redis not configured", age_s=0.0)

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._of_user.clear()
        self._marks.clear()

    def _current(self, id: UUID, now: datetime) -> _Live | _Tombstone | None:
        held = self._held.get(id)
        if held is not None and self._is_over(held, now):
            self._drop(id)
            return None
        return held

    def _is_over(self, held: _Live | _Tombstone, now: datetime) -> bool:
        if isinstance(held, _Tombstone):
            return now >= held.until
        return not self._lifetimes.is_live(held.session, held.confirmed_at, now)

    def _is_marked(self, session: Session, now: datetime) -> bool:
        mark = self._marks.get(session.user)
        return mark is not None and now < mark.until and session.created_at <= mark.before

    def _bury(self, id: UUID, now: datetime) -> None:
        self._drop(id)
        self._keep(id, _Tombstone(now + self._lifetimes.revoked_kept))

    def _keep(self, id: UUID, held: _Live | _Tombstone) -> None:
        self._held[id] = held
        self._held.move_to_end(id)
        if isinstance(held, _Live):
            self._of_user.setdefault(held.session.user, set()).add(id)
        while len(self._held) > self._sessions_max:
            self._drop(next(iter(self._held)))

    def _drop(self, id: UUID) -> None:
        held = self._held.pop(id, None)
        if not isinstance(held, _Live):
            return
        siblings = self._of_user[held.session.user]
        siblings.discard(id)
        if not siblings:
            del self._of_user[held.session.user]


def _merged(held: _Live | None, offered: _Live) -> _Live:
    if held is None:
        return offered
    newest = offered if offered.confirmed_at >= held.confirmed_at else held
    seen_at = max(held.session.seen_at, offered.session.seen_at)
    return replace(newest, session=replace(newest.session, seen_at=seen_at))


def _trim(mapping: MutableMapping[UUID, V], items_max: int) -> None:
    while len(mapping) > items_max:
        del mapping[next(iter(mapping))]
