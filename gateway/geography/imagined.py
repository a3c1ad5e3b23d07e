"""Questions about requests nobody sent: `GET /route?country=` and `meridian route --country`.

An imagined request comes from a trusted edge on the loopback address, so that every signal it names counts.
"""

from typing import Final
from uuid import UUID

from gateway.geography.decision import Signals
from gateway.geography.trust import TrustedProxies

_EDGE: Final = "127.0.0.1"

IMAGINED_TRUST: Final = TrustedProxies.parse(_EDGE)
"""For the Geography that answers such questions; never for the one that routes requests."""


def imagine(
    *,
    id: UUID | None = None,
    explicit: str | None = None,
    phone: str | None = None,
    country: str | None = None,
    address: str | None = None,
) -> Signals:
    """The signals of a request that a trusted edge would have sent with these values."""
    peer = None if country is None and address is None else _EDGE
    return Signals(id=id, explicit=explicit, phone=phone, country=country, peer=peer, forwarded_for=address)
