"""The service: a regional spare-parts marketplace, written on the operation API alone; one module per resource."""

from importlib.resources import files

from gateway.marketplace import (
    addresses,
    auth,
    bids,
    counter_offers,
    dashboard,
    deliveries,
    disputes,
    feed,
    me,
    notifications,
    order_changes,
    order_numbers,
    orders,
    payments,
    refunds,
    reports,
    requests,
    reviews,
    route,
    search,
    sessions,
    telling,
    uploads,
    vehicles,
    webhooks,
)
from gateway.marketplace.providers.opening import open_parts
from gateway.operations import Api
from gateway.service import Service

_api = Api("/api/v1")
for _resource in (
    auth,
    me,
    vehicles,
    addresses,
    uploads,
    feed,
    requests,
    bids,
    counter_offers,
    orders,
    order_changes,
    deliveries,
    payments,
    refunds,
    webhooks,
    disputes,
    reviews,
    notifications,
    dashboard,
    reports,
    search,
    route,
):
    _api.include(_resource.api)

SERVICE = Service(
    name="marketplace",
    api=_api,
    migrations=files("gateway.marketplace") / "migrations",
    load_session=sessions.load,
    jobs=(
        *requests.JOBS,
        *counter_offers.JOBS,
        *order_numbers.JOBS,
        *order_changes.JOBS,
        *payments.JOBS,
        *refunds.JOBS,
        *telling.JOBS,
    ),
    open=open_parts,
)
"""What the gateway serves."""
