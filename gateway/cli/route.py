"""`meridian route`: where a request would go, and why. Needs the map only, no database."""

import sys
from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from core.errors import MeridianError
from core.shard_map import ring_table
from gateway.cli.running import settings_and_map
from gateway.geography.imagined import IMAGINED_TRUST, imagine
from gateway.geography.resolve import Geography
from gateway.geography.view import RouteView
from gateway.settings import environment


def route(
    *,
    country: str | None = None,
    id: UUID | None = None,
    phone: str | None = None,
    ip: Annotated[str | None, Parameter(name="--ip")] = None,
    region: str | None = None,
) -> int:
    """Say which region and shard a user would be served by, with every signal that was looked at.

    The shard is where the map says the bucket should live; a running gateway answers where it does (GET /api/v1/route).

    Parameters
    ----------
    country
        A country code, as an edge would send it.
    id
        Any id of the API.
    phone
        A phone number in international form.
    ip
        A client's address.
    region
        An explicit X-Region.
    """
    found = settings_and_map(environment())
    if found is None:
        return 2
    geography = Geography(found[1], trusted=IMAGINED_TRUST)
    try:
        decision = geography.decide(imagine(country=country, id=id, phone=phone, address=ip, explicit=region))
    except MeridianError as exc:
        print(f"{exc.code}: {exc.detail}", file=sys.stderr)
        return 1
    shard = None if decision.bucket is None else ring_table(decision.region)[decision.bucket]
    _show(RouteView.from_decision(decision, geography.explain(decision), shard=shard))
    return 0


def _show(view: RouteView) -> None:
    print(f"region {view.region}, decided by {view.by}")
    if view.bucket is not None:
        print(f"bucket {view.bucket}, which the map gives to shard {view.shard}")
    for seen in view.seen:
        print(f"  {seen.signal:<9} {seen.value:<24} -> {seen.region or '-':<6} {seen.note}")
