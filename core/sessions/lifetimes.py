"""How long a store may believe what it holds: pure rules that every store follows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.sessions import bounds
from core.sessions.store import Session


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds a session lasts unused (`idle_s`), and a store goes without asking the row again (`recheck_s`).

    The recheck bounds what any lost revocation can cost: one that a failover of Redis forgot, or that was made in a
    process that died before it could tell Redis.
    """

    idle_s: float = bounds.IDLE_S
    recheck_s: float = bounds.RECHECK_S

    def __post_init__(self) -> None:
        if self.idle_s <= 0 or self.recheck_s <= 0:
            raise ValueError("idle_s and recheck_s must be positive")

    @property
    def idle(self) -> timedelta:
        return timedelta(seconds=self.idle_s)

    @property
    def revoked_kept(self) -> timedelta:
        """How long a revocation is remembered: it outlives every put whose row was read before it."""
        return timedelta(seconds=self.recheck_s + bounds.RELOAD_S)

    def believed_until(self, session: Session, confirmed_at: datetime) -> datetime:
        """When a session must be asked for again, however much it is used."""
        return min(session.expires_at, confirmed_at + timedelta(seconds=self.recheck_s))

    def is_live(self, session: Session, confirmed_at: datetime, now: datetime) -> bool:
        """Whether a store may still answer with this session."""
        return now < self.believed_until(session, confirmed_at) and now < session.seen_at + self.idle
