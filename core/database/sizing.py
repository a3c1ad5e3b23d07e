"""How large pools should be: the scaling guide's table by RAM, and what all processes together ask of a server."""

from dataclasses import dataclass
from typing import Final

from core.database.settings import DatabaseSettings


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """DB_POOL_MAX and DB_POOL_MIN for a server with `ram_gb`."""

    ram_gb: int
    pool_max: int
    pool_min: int


BY_RAM: Final = (PoolSizes(2, 10, 2), PoolSizes(4, 20, 5), PoolSizes(8, 40, 10), PoolSizes(16, 80, 20))
"""The scaling guide, "Connection Pool Settings by Server Size"."""

_SOLD_AS: Final = 0.9  # a machine sold as 16 GB has a little less left for us


def suggested(ram_gb: float) -> PoolSizes:
    """The row of the largest server that is not larger than this one; the first for a smaller one.

    Beyond the table the last row stays: PostgreSQL gains nothing from more connections than its processors can serve.
    """
    fitting = [row for row in BY_RAM if row.ram_gb * _SOLD_AS <= ram_gb]
    return fitting[-1] if fitting else BY_RAM[0]


@dataclass(frozen=True, slots=True)
class Room:
    """The connections of one server: `allowed` for roles like ours (max_connections less the reserved ones), `others`
    in use by somebody else, and what our processes may open in its present role and, after a failover, in the other.
    """

    allowed: int
    others: int
    needed_as_primary: int
    needed_as_replica: int

    @property
    def needed(self) -> int:
        """The most that we may open in either role: a failover swaps them."""
        return max(self.needed_as_primary, self.needed_as_replica)

    @property
    def fits(self) -> bool:
        """Whether all of it fits beside the others."""
        return self.needed + self.others <= self.allowed


def room(settings: DatabaseSettings, *, processes: int, allowed: int, others: int) -> Room:
    """What `processes` gateways ask of a server: for each a pool and one watcher; on a primary one migration too."""
    return Room(
        allowed=allowed,
        others=others,
        needed_as_primary=processes * (settings.pool_max + 1) + 1,
        needed_as_replica=processes * (settings.read_pool_max + 1),
    )


def largest_pool(*, processes: int, allowed: int, others: int) -> int:
    """The largest pool with which `processes` gateways fit a server; 0 if not even one connection each does."""
    return max(0, (allowed - others - 1) // processes - 1)
