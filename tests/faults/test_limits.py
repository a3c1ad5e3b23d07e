"""Redis goes and comes back under a gateway with limits: requests go on, limits still hold, and health tells it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.sessions.valkey import Valkey
from tests.system import Client, Phones, System, until

LIMITS = {"RATE_LIMITS": "on", "RATE_LIMIT_USER": "20/600s"}


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    server = Valkey(tmp_path)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


async def limits_of(client: Client) -> dict[str, Any]:
    health = (await client.call("GET", "/health")).json
    return {name: region["limits"] for name, region in health["regions"].items()}


async def shared(client: Client, *, expected: bool) -> None:
    async def seen() -> bool:
        return all(limits["shared"] is expected for limits in (await limits_of(client)).values())

    await until(seen, within_s=20, what=f"limits are shared: {expected}")


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_limits_hold_in_each_server_while_redis_is_away(
    system: System, phones: Phones, valkey: Valkey, fault: str
) -> None:
    async with system.gateway(None, REDIS_URL=valkey.url, **LIMITS) as client:
        await shared(client, expected=True)
        person = await client.register(phones.qatar())
        await valkey.kill() if fault == "killed" else valkey.pause()
        statuses = [(await client.call("GET", "/me", user=person)).status for _ in range(21)]
        assert statuses == [200] * 20 + [429]
        await shared(client, expected=False)
        assert all(limits["since"] for limits in (await limits_of(client)).values())
        assert (await client.call("GET", "/health")).json["status"] == "DEGRADED"
        await valkey.start() if fault == "killed" else valkey.resume()
        await shared(client, expected=True)
        assert all(limits["since"] is None for limits in (await limits_of(client)).values())
        async with system.gateway(None, REDIS_URL=valkey.url, **LIMITS) as other:

            async def refused() -> bool:
                return (await other.call("GET", "/me", user=person)).status == 429

            await until(refused, what="another server knows what was used meanwhile")
