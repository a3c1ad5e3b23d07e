"""The people and things that the contract test puts into the running system before it lets Schemathesis loose."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.marketplace import SERVICE
from tests.integration.http.asking import ADDRESS, PASSWORD, REQUEST, VEHICLE, made
from tests.system import Client, Person, Phones

PNG = b"\x89PNG\r\n\x1a\n" + bytes(92)
LAST_LOGIN = ("auth_log_out", "auth_log_out_everywhere", "me_change_password", "me_change_phone")
"""What ends or changes a login: done by somebody whom nobody else needs."""

BODIES: Mapping[str, Mapping[str, list[Any]]] = {
    "me_change_password": {"current_password": [PASSWORD]},
    "me_change_phone": {"password": [PASSWORD]},
    "uploads_create": {"file": [PNG.hex(), b"no image".hex()]},
}
"""Operation -> field -> values to send in turn where a body is well formed: what nobody could guess."""

THINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "vehicle_id": ("/vehicles", VEHICLE),
    "vehicles_remove.vehicle_id": ("/vehicles", VEHICLE),
    "address_id": ("/addresses", ADDRESS),
    "addresses_remove.address_id": ("/addresses", ADDRESS),
    "upload_id": ("/uploads", {}),
    "uploads_delete.upload_id": ("/uploads", {}),
    "request_id": ("/requests", REQUEST),
    "requests_cancel.request_id": ("/requests", REQUEST),
}


async def write_world(client: Client, phones: Phones, file: Path, seen: Path) -> None:
    """Register the people, make their things and write all of it down for `hooks.py`."""
    customer = await client.register(phones.qatar())
    tokens = {
        operation.name: (await _caller(client, phones, operation.name, customer)).access_token
        for operation in SERVICE.api.operations
        if not operation.public
    }
    refreshed = [(await client.register(phones.qatar())).refresh_token for _ in range(2)]
    things = {
        name: [(await made(client, customer, path, body))["id"] for _ in range(2)]
        for name, (path, body) in THINGS.items()
    }
    bodies = BODIES | {
        "auth_refresh": {"refresh_token": [*refreshed, "none"]},
        "me_change_phone": {"password": [PASSWORD], "phone_number": [phones.qatar(), "+974 3312 3456"]},
    }
    file.write_text(json.dumps({"tokens": tokens, "things": things, "bodies": bodies, "seen": str(seen)}))


async def _caller(client: Client, phones: Phones, operation: str, customer: Person) -> Person:
    return await client.register(phones.qatar()) if operation in LAST_LOGIN else customer
