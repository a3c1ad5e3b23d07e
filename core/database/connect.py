"""Opening one asyncpg connection: the settings that every connection of Meridian has."""

from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson
from asyncpg import Connection

from core.database.settings import DatabaseSettings, Login
from core.limits import LOCK_WAIT_MS
from core.shard_map.model import Address

Conn: TypeAlias = "Connection[asyncpg.Record]"


def encode_json(value: object) -> str:
    """JSON text for a json or jsonb argument."""
    return orjson.dumps(value, default=str).decode()


def _uuid_bytes(value: UUID | str) -> bytes:
    return value.bytes if isinstance(value, UUID) else UUID(value).bytes


async def prepare(connection: Conn) -> None:
    """Teach a new connection that json, jsonb and uuid are Python's own values.

    asyncpg's UUID is a subclass that orjson refuses to write; what leaves this package is plain.
    """
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encode_json, decoder=orjson.loads)
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", encoder=_uuid_bytes, decoder=lambda raw: UUID(bytes=bytes(raw)), format="binary"
    )


def arguments(at: Address, login: Login, settings: DatabaseSettings, application: str) -> dict[str, Any]:
    """Keyword arguments for asyncpg's connect and create_pool; passwords go nowhere else.

    The statement timeout is the server's: a lost client cannot leave a statement running for ever. The isolation is
    named because the guard's look-up needs a snapshot younger than its lock, whatever the server's default is.
    """
    return {
        "host": at.host,
        "port": at.port,
        "user": login.user,
        "password": login.password or None,
        "database": login.database,
        "timeout": settings.connect_timeout_ms / 1000,
        "server_settings": {
            "application_name": application,
            # Times are stored in receipts as text: one zone, so that a replayed answer is the same answer.
            "timezone": "UTC",
            "statement_timeout": str(settings.statement_timeout_ms),
            "lock_timeout": str(LOCK_WAIT_MS),
            "idle_in_transaction_session_timeout": str(settings.statement_timeout_ms),
            "default_transaction_isolation": "read committed",
            "jit": "off",
        },
    }
