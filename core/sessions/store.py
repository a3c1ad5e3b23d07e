"""What a session store is: the values that pass through it and the Protocol that every store keeps.

The truth of a session is a row in the user's PostgreSQL shard. A store answers "is this id live, and whose is it"
without asking it. It may forget: the caller then reads the row and puts it back. It must not remember wrongly: a
session revoked here stays revoked, even against a reader who saw its row just before.

    answer = await store.get(id)
    if answer is None and (row := await load(id)):
        answer = await store.put(row)
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

Clock: TypeAlias = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Session:
    """A login session; the user's id carries the region. All times are aware (UTC).

    `expires_at` is the absolute end, whatever the use. `seen_at` is the last use, from which idling counts.
    """

    id: UUID
    user: UUID
    role: str
    created_at: datetime
    expires_at: datetime
    seen_at: datetime

    def __post_init__(self) -> None:
        if None in (self.created_at.tzinfo, self.expires_at.tzinfo, self.seen_at.tzinfo):
            raise ValueError("a session's times must be aware")


@dataclass(frozen=True, slots=True)
class Revoked:
    """The store knows that this session was ended. Refuse it without asking the database."""

    id: UUID


Answer: TypeAlias = Session | Revoked | None


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What was last seen of a store; asking never opens a connection.

    `store` is the one that answers now. `connected` is true only for what was seen within EVIDENCE_AGE_MAX_S, `age_s`
    seconds ago (None: never). While memory stands in for Redis, `fallback_since` says since when and `pending` how many
    changes Redis has still to be told.
    """

    store: Literal["redis", "memory"]
    connected: bool
    detail: str
    age_s: float | None = None
    fallback_since: datetime | None = None
    pending: int = 0

    @property
    def degraded(self) -> bool:
        """Whether the store that should answer does not."""
        return self.fallback_since is not None or not self.connected


class StoreUnreachable(Exception):
    """A remote store did not answer in time, or refused. FallbackStore takes it: users of `open_sessions` never do.

    The text names the kind of failure only; addresses and credentials of the store are secrets.
    """


class SessionStore(Protocol):
    """A region's sessions. Every method is one short step: SESSION_STORE_TIMEOUT_S, and in a burst a turn before it."""

    async def get(self, id: UUID) -> Answer:
        """The live session (this counts as a use), or Revoked, or None: not known, so ask the database.

        None covers the expired, the idle for longer than `idle_s` (at most TOUCH_S early), the forgotten, and what was
        confirmed longer than `recheck_s` ago.
        """
        ...

    async def put(self, session: Session, *, confirmed_at: datetime | None = None) -> Answer:
        """Remember a session whose row was live at `confirmed_at` (now, if not given).

        Returns the session; Revoked when the store knows better than the row that was read; None when there is nothing
        left of its time. Of two puts the later confirmed wins, and the latest use is kept.
        """
        ...

    async def revoke(self, id: UUID) -> None:
        """End one session: `get` and `put` answer Revoked until no reader can still hold its row as live."""
        ...

    async def revoke_all(self, user: UUID, *, before: datetime | None = None) -> None:
        """End every session of a user created at or before `before` (now, if not given), known here or not.

        Give the database's time where sessions get their `created_at` from it: processes' clocks differ.
        """
        ...

    def health(self) -> StoreHealth:
        """What is known of the store now."""
        ...


class RemoteStore(SessionStore, Protocol):
    """A session store that can be out of reach: every method may raise StoreUnreachable."""

    async def ping(self) -> None:
        """Return if the store can be written to now; raise StoreUnreachable if not."""
        ...
