"""How pools and connections are sized: the guide's DB_* settings, in the guide's units."""

from dataclasses import dataclass

from core import limits


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Sizes in connections, times in milliseconds; the defaults are the scaling guide's."""

    pool_max: int = 20
    pool_min: int = 5
    read_pool_max: int = 30
    idle_timeout_ms: int = 30_000
    connect_timeout_ms: int = 5_000
    statement_timeout_ms: int = 30_000
    lag_max_ms: int = limits.LAG_MAX_MS


@dataclass(frozen=True, slots=True)
class Login:
    """Who to log in as, and to which database."""

    database: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user}@{self.database})"
