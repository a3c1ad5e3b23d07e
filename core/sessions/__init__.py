"""A region's sessions: one Protocol, Redis and memory behind it, one fallback rule."""

from core.sessions.availability import Availability, Event, Mode, Rhythm
from core.sessions.fallback import FallbackStore
from core.sessions.lifetimes import Lifetimes
from core.sessions.memory import MemoryStore
from core.sessions.opening import open_sessions
from core.sessions.redis import RedisStore
from core.sessions.store import (
    Answer,
    Clock,
    RemoteStore,
    Revoked,
    Session,
    SessionStore,
    StoreHealth,
    StoreUnreachable,
)

__all__ = [
    "Answer",
    "Availability",
    "Clock",
    "Event",
    "FallbackStore",
    "Lifetimes",
    "MemoryStore",
    "Mode",
    "RedisStore",
    "RemoteStore",
    "Revoked",
    "Rhythm",
    "Session",
    "SessionStore",
    "StoreHealth",
    "StoreUnreachable",
    "open_sessions",
]
