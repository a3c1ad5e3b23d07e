"""What a team brings to put its own service on Meridian: its operations, its migrations, how its sessions are read."""

from dataclasses import dataclass
from importlib.resources.abc import Traversable

from gateway.operations.api import Api
from gateway.runtime import LoadSession


@dataclass(frozen=True, slots=True)
class Service:
    """A service. `name` is its migrations' source in the ledger; `migrations` a folder of numbered .sql files."""

    name: str
    api: Api
    migrations: Traversable
    load_session: LoadSession
