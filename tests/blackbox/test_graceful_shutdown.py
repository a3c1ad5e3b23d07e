"""SIGTERM under load: every request that was accepted is answered, and the program ends with 0 within its bound."""

import asyncio
from pathlib import Path

from aiohttp import ClientConnectorError, ClientSession

from tests.blackbox.process import serving
from tests.system import Phones, System, until


class Load:
    """Clients that write and read without pause, each over connections of its own, until they are refused."""

    def __init__(self, base: str, access_token: str) -> None:
        self._base = base
        self._headers = {"Authorization": f"Bearer {access_token}"}
        self.answered = 0
        self.dropped: list[str] = []

    async def client(self) -> None:
        """Send one request after another until the listener is closed."""
        body = {"car_make": "Toyota", "car_model": "Hilux", "car_year": 2020, "part_description": "Mirror"}
        async with ClientSession(self._base, headers=self._headers) as session:
            while True:
                try:
                    async with session.post("/api/v1/requests", json=body) as answer:
                        await answer.read()
                        if answer.status != 201:
                            self.dropped.append(f"status {answer.status}")
                    async with session.get("/api/v1/requests?limit=3") as answer:
                        await answer.read()
                        if answer.status != 200:
                            self.dropped.append(f"status {answer.status}")
                except ClientConnectorError:
                    return
                except Exception as exc:  # noqa: BLE001  whatever it is, a request was sent and not answered
                    self.dropped.append(repr(exc))
                    return
                self.answered += 2


async def test_no_accepted_request_is_dropped_and_the_exit_is_zero(
    system: System, phones: Phones, tmp_path: Path
) -> None:
    async with serving(tmp_path, {**system.variables, "LAME_DUCK": "0.5"}) as program:
        person = await program.client.register(phones.qatar())
        load = Load(str(program.client.session._base_url), person.access_token)
        clients = [asyncio.create_task(load.client()) for _ in range(12)]

        async def warm() -> bool:
            return load.answered > 100

        await until(warm, within_s=20, what="the load is running")
        status = await program.stop(within_s=25)
        await asyncio.gather(*clients)
        assert load.dropped == []
        assert status == 0, program.said()
        assert "stopped" in program.said()


async def test_ready_says_no_while_a_slow_request_still_finishes(
    system: System, phones: Phones, tmp_path: Path
) -> None:
    async with serving(tmp_path, {**system.variables, "LAME_DUCK": "1"}) as program:
        person = await program.client.register(phones.qatar())
        async with system.sql("qa-1") as connection, connection.transaction():
            await connection.execute("SELECT FROM marketplace.account WHERE id = $1 FOR UPDATE", person.id)
            slow = asyncio.create_task(program.client.call("PATCH", "/me", user=person, json={"full_name": "Patient"}))

            async def waits() -> bool:
                return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

            await until(waits, what="the change waits for the row")
            stopping = asyncio.create_task(program.stop())

            async def says_no() -> bool:
                return (await program.client.call("GET", "/health/ready")).status == 503

            await until(says_no, within_s=2, what="not ready while draining")
        assert (await slow).status == 200
        assert await stopping == 0
