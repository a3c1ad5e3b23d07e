"""A gateway that dies or hangs behind an edge: what is kept goes on being served, and refreshes when it is back."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from gateway.routes import API_DOCUMENT
from tests.blackbox.edge import TOKEN, EdgeProgram, edge_program
from tests.blackbox.process import Program, serving
from tests.system import Client, Phones, System, free_port, until

READERS = 8
WITHOUT_ORIGIN = 100  # answers of each path while it is away
_TTL = re.compile(r"^meridian-qa; hit; ttl=(-?[0-9]+)")


@dataclass(frozen=True)
class Seen:
    """One answer as a reader saw it; status 0 is none."""

    status: int
    body: bytes
    age_s: int
    ttl_s: int | None


@dataclass
class Readers:
    """Who asks an edge for the same paths again and again, and what they were last answered."""

    session: ClientSession
    paths: list[str]
    first: dict[str, Seen] = field(default_factory=dict)
    last: dict[str, Seen] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    errors: list[tuple[str, Seen]] = field(default_factory=list)

    async def ask(self, path: str) -> Seen:
        """Once."""
        try:
            async with self.session.get(path, headers={"Accept-Language": "ar"}) as response:
                ttl = _TTL.match(response.headers.get("Cache-Status", ""))
                age_s = int(response.headers.get("Age", "0"))
                return Seen(response.status, await response.read(), age_s, int(ttl[1]) if ttl else None)
        except (ClientError, TimeoutError):
            return Seen(0, b"", 0, None)

    async def read(self) -> None:
        """Until cancelled."""
        while True:
            for path in self.paths:
                seen = self.last[path] = await self.ask(path)
                self.answers[path] = self.answers.get(path, 0) + 1
                if (seen.status, seen.body) != (200, self.first[path].body):
                    self.errors.append((path, seen))

    async def go_on(self) -> None:
        """Wait until each path has been answered so many times more."""
        wanted = {path: count + WITHOUT_ORIGIN for path, count in self.answers.items()}

        async def are_answered() -> bool:
            return all(self.answers[path] >= count for path, count in wanted.items())

        await until(are_answered, within_s=30, what="readers go on")


@asynccontextmanager
async def reading(edge: EdgeProgram, paths: list[str]) -> AsyncIterator[Readers]:
    """Readers of paths that the edge keeps, for the length of the block."""
    async with ClientSession(edge.base) as session:
        readers = Readers(session, paths)
        for path in paths:
            await readers.ask(path)
            readers.first[path] = await readers.ask(path)
            assert readers.first[path].ttl_s, (path, readers.first[path])
        tasks = [asyncio.create_task(readers.read()) for _ in range(READERS)]
        try:
            await until(lambda: _have_begun(readers), what="readers read")
            yield readers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _have_begun(readers: Readers) -> bool:
    return readers.answers.keys() == readers.first.keys()


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_readers_of_what_is_kept_notice_nothing(
    system: System, phones: Phones, tmp_path: Path, fault: str
) -> None:
    variables = {**system.variables, "NODE_ENV": "production"}
    port = free_port()
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(serving(tmp_path, variables, port=port))
        program = edge_program(tmp_path, "--origin", f"http://127.0.0.1:{port}", "--region", "qa")
        edge = await stack.enter_async_context(program)
        paths = [await reviews_of_a_garage(gateway.client, phones), API_DOCUMENT]
        paths += [f"/api/v1/reference/{name}" for name in ("makes", "areas", "plans")]
        async with reading(edge, paths) as readers:
            await take_away(gateway, fault)
            purged = await purge_all(readers.session)
            assert purged >= len(paths)
            await readers.go_on()
            assert [path for path in paths if (readers.last[path].ttl_s or 0) > 0] == [], "all are stale"
            if fault == "killed":
                await nothing_else_is_answered(readers.session)
                assert not await is_well(edge)
                await stack.enter_async_context(serving(tmp_path, variables, port=port))
            else:
                gateway.process.send_signal(signal.SIGCONT)

            async def are_fresh() -> bool:
                return all((readers.last[path].ttl_s or 0) > 0 for path in paths)

            await until(are_fresh, within_s=20, what="all are fresh again")
            await until(lambda: is_well(edge), within_s=20, what="the edge says that it is well")
            assert readers.errors == []


async def reviews_of_a_garage(client: Client, phones: Phones) -> str:
    """The path of what everybody may read of a garage."""

    async def is_up() -> bool:
        return (await client.call("GET", "/health")).status == 200

    await until(is_up, within_s=20, what="every database is seen")
    garage = await client.register(phones.qatar(), "garage")
    return f"/api/v1/garages/{garage.id}/reviews"


async def take_away(gateway: Program, fault: str) -> None:
    """Kill it, or stop it where it stands."""
    if fault == "killed":
        await gateway.stop(signal.SIGKILL)
    else:
        gateway.process.send_signal(signal.SIGSTOP)


async def purge_all(session: ClientSession) -> int:
    """Make everything stale at once, as time would."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with session.post("/_edge/purge", json={"region": "qa"}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["purged"])


async def nothing_else_is_answered(session: ClientSession) -> None:
    """What only the gateway can say is refused, with when to come again."""
    async with session.post("/api/v1/auth/login", json={}) as refused:
        assert (refused.status, refused.content_type) == (502, "application/problem+json")
        assert int(refused.headers["Retry-After"]) > 0


async def is_well(edge: EdgeProgram) -> bool:
    """What the edge says of itself and its origin."""
    health = await edge.health()
    said = (health["status"], health["origin"]["connected"])
    assert said in (("OK", True), ("DEGRADED", False)), health
    return bool(health["status"] == "OK")
