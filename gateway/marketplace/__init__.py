"""The service: a regional spare-parts marketplace, written on the operation API alone; one module per resource."""

from importlib.resources import files

from gateway.marketplace import addresses, auth, me, requests, route, sessions, uploads, vehicles
from gateway.operations import Api
from gateway.service import Service

_api = Api("/api/v1")
for _resource in (auth, me, vehicles, addresses, uploads, requests, route):
    _api.include(_resource.api)

SERVICE = Service(
    name="marketplace",
    api=_api,
    migrations=files("gateway.marketplace") / "migrations",
    load_session=sessions.load,
)
"""What the gateway serves."""
