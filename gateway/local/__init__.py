"""A real cluster on this machine: PostgreSQL primaries, streaming replicas and a Valkey, owned by one process.

`meridian local` and the tests run the same code. Nothing here prints, reads the environment or knows the service.
"""

from gateway.local.binaries import Search
from gateway.local.cluster import LocalCluster, LocalShardSpec
from gateway.local.errors import (
    AlreadyRunning,
    DataUnusable,
    LocalError,
    PortsTaken,
    PortUse,
    ProgramsMissing,
    ServerFailed,
)
from gateway.local.postgres import PostgresServer
from gateway.local.progress import Progress, Step
from gateway.local.shard import LocalShard, Role
from gateway.local.valkey import ValkeyServer

__all__ = [
    "AlreadyRunning",
    "DataUnusable",
    "LocalCluster",
    "LocalError",
    "LocalShard",
    "LocalShardSpec",
    "PortUse",
    "PortsTaken",
    "PostgresServer",
    "ProgramsMissing",
    "Progress",
    "Role",
    "Search",
    "ServerFailed",
    "Step",
    "ValkeyServer",
]
