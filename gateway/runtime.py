"""All that a running gateway is made of, in one value: handed to whoever needs it, made only in `gateway.app`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from core.database.token import TokenSigner
from core.fleet import Fleet
from core.ids import Placement
from core.sessions import Session
from core.shard_map.model import ShardMap
from edge.assets import Assets
from gateway.admission import Admission
from gateway.credentials import Credentials
from gateway.edges import Edges
from gateway.geography.resolve import Geography
from gateway.jwks import Issuer
from gateway.metrics import Metrics
from gateway.operations.operation import Operation
from gateway.passwords import Passwords
from gateway.reference import References
from gateway.settings import Settings
from gateway.signing import Signer


class LoadSession(Protocol):
    """How a service's own record of a login session is read, when the session store does not know the id."""

    def __call__(self, runtime: "Runtime", id: UUID) -> Awaitable[Session | None]: ...


@dataclass(frozen=True, slots=True)
class MapInForce:
    """The shard map that is served, the geography made from it, and why a newer file was refused, if one was."""

    shard_map: ShardMap
    geography: Geography
    refused: str = ""


class Runtime:
    """The wired parts. `map` is replaced as a whole when the map changes; everything else stays for life."""

    def __init__(
        self,
        *,
        settings: Settings,
        fleet: Fleet,
        map_in_force: MapInForce,
        operations: tuple[Operation, ...],
        credentials: Credentials,
        tokens: TokenSigner,
        cursors: Signer,
        cookies: Signer,
        receipts: Signer,
        passwords: Passwords,
        metrics: Metrics,
        admission: Admission,
        issuer: Issuer | None,
        edges: Edges,
        assets: Assets | None,
        references: References,
        new_id: Callable[[Placement], UUID],
        load_session: LoadSession,
        parts: Any,
        now: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.fleet = fleet
        self.map = map_in_force
        self.operations = operations
        self.credentials = credentials
        self.tokens = tokens
        self.cursors = cursors
        self.cookies = cookies
        self.receipts = receipts
        self.passwords = passwords
        self.metrics = metrics
        self.admission = admission
        self.issuer = issuer
        self.edges = edges
        self.assets = assets
        self.references = references
        self.cors = settings.cors
        self.new_id = new_id
        self.load_session = load_session
        self.parts = parts
        self.now = now
        self.started_at = now()
        self.draining = False
        self.failing_jobs: set[tuple[str, str]] = set()
        self.migration_faults: dict[str, str] = {}
