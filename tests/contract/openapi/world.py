"""The people and things that the contract test puts into the running system before it lets Schemathesis loose."""

from typing import Any, Final

from gateway.marketplace import SERVICE
from gateway.operations.operation import Operation
from tests.integration.http.asking import PASSWORD
from tests.integration.http.authority import AUTHORITY
from tests.integration.http.stage import METHOD, Stage
from tests.system import Person

_THINGS: Final = 3  # for each operation that names one: what is decided or deleted once is gone
_PDF: Final = "%PDF-1.7\n"


async def world_of(stage: Stage) -> dict[str, Any]:
    """For `hooks.py`: who calls each operation, on which things, and with which values that nobody could guess."""
    return {
        "tokens": {
            operation.name: [person.access_token for person in await _callers(stage, operation)]
            for operation in SERVICE.api.operations
            if not operation.public
        },
        "things": {
            name: [await stage.thing(rule.thing) for _ in range(1 if rule.thing == "garage" else _THINGS)]
            for name, rule in AUTHORITY.items()
            if rule.thing
        },
        "bodies": await _bodies(stage),
    }


async def _callers(stage: Stage, operation: Operation) -> list[Person]:
    rule = AUTHORITY[operation.name]
    if rule.alone:
        return [await stage.client.register(stage.phones.qatar())]
    return [stage.who(role) for role in rule.may]


async def _bodies(stage: Stage) -> dict[str, dict[str, list[Any]]]:
    """Operation -> field -> values to send in turn where a body is well formed."""
    sessions = [(await stage.client.register(stage.phones.qatar())).refresh_token for _ in range(2)]
    return {
        "auth_register": {"phone_number": [stage.phones.qatar(), "+974 3312 3456"]},
        "auth_refresh": {"refresh_token": [*sessions, "none"]},
        "me_change_password": {"current_password": [PASSWORD]},
        "me_change_phone": {"password": [PASSWORD], "phone_number": [stage.phones.qatar(), "+974 3312 3456"]},
        "uploads_create": {"file": [_PDF, "no image"]},
        "deliveries_assign": {"driver_id": [stage.who("driver").id]},
        "payments_confirm": {name: [value] for name, value in METHOD.items()},
    }
