"""Who may see what beside its owners: the region's own staff. All else is decided in each query, by the owner."""

from uuid import UUID

from core.errors import MeridianError
from gateway.marketplace.roles import ADMIN, STAFF
from gateway.operations import Call


def oversees(call: Call, id: UUID) -> bool:
    """Whether the caller is of the staff of the region where `id` lives."""
    return call.user.role in (STAFF, ADMIN) and is_at_home(call, id)


def is_at_home(call: Call, id: UUID) -> bool:
    """Whether `id` lives in the caller's own region. Raises NotFound for an id of no region."""
    return call.at(id).region.spec.name == call.user.region


def require_home(call: Call, id: UUID, otherwise: MeridianError) -> None:
    """Raise `otherwise` for an id of another region: garages, drivers and staff work in their own alone."""
    if not is_at_home(call, id):
        raise otherwise
