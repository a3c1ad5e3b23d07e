"""`meridian demo` as anybody runs it: every step told and as it should be, or one sentence that says why not."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.shard_map.model import RegionName
from gateway.cli import demo as cli_demo
from gateway.cli.account import hire
from gateway.demo.crew import CREWS, DEMO_PASSWORD
from tests.blackbox.process import MERIDIAN, Program, command, serving
from tests.system import Client, System, free_port


@pytest.fixture(scope="module")
async def program(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The real program."""
    async with serving(tmp_path_factory.mktemp("demo"), system.variables) as running:
        yield running


async def demo(folder: Path, url: str, *arguments: str) -> tuple[int, str]:
    """Play it; its exit status and what it said."""
    return await command("demo", "--url", url, "--fast", *arguments, variables={}, folder=folder, within_s=60)


async def url_of(program: Program) -> str:
    """Its address."""
    async with program.client.session.get("/health/live") as answer:
        return str(answer.url.origin())


def is_whole(said: str, order_prefix: str) -> bool:
    """Assert that both journeys were told to their ends."""
    assert [int(step) for step in re.findall(r"^ +(\d+)\. ", said, re.MULTILINE)] == [*range(1, 20), *range(1, 13)]
    assert len(set(re.findall(rf"\b{order_prefix}-\d{{4}}-\d{{6,}}\b", said))) == 4
    assert said.endswith("\nEvery step was as it should be.\n")
    assert "\x1b" not in said, "a pipe gets no colours"
    return True


async def test_both_journeys_are_played_in_doha(gateway: Client, program: Program, tmp_path: Path) -> None:
    assert gateway.runtime is not None
    home = gateway.runtime.fleet.regions[RegionName("qa")]
    for person in CREWS["qa"]:
        await hire(gateway.runtime, home, person.phone, role=person.role, name=person.name, password=DEMO_PASSWORD)
    status, said = await demo(tmp_path, await url_of(program))
    assert status == 0, said
    assert is_whole(said, "QA")


async def test_without_staff_it_says_how_to_make_them_and_then_both_journeys_are_played_in_riyadh(
    system: System, program: Program, tmp_path: Path
) -> None:
    url = await url_of(program)
    status, said = await demo(tmp_path, url, "--region", "sa")
    assert status == 1
    told = said[said.index("failed at") :].splitlines()
    assert told[:2] == ["failed at step 1. The staff and a driver come to work", "  POST /auth/login"]
    assert told[2].startswith("  401 unauthenticated: ")
    assert told[3].startswith("  request_id ")
    assert [line.partition(": ")[0] for line in told[4:]] == [
        "  the staff is not known here; make them with",
        "  the driver is not known here; make them with",
    ]
    await asyncio.gather(*(typed(line.partition(": ")[2], system, tmp_path) for line in told[4:]))
    status, said = await demo(tmp_path, url, "--region", "sa")
    assert status == 0, said
    assert is_whole(said, "SA")


async def typed(line: str, system: System, folder: Path) -> None:
    """Do what was printed, as an operator would."""
    path = f"{Path(MERIDIAN).parent}:/usr/bin:/bin"
    shell = await asyncio.create_subprocess_shell(line, cwd=folder, env={**system.variables, "PATH": path})
    async with asyncio.timeout(30):
        assert await shell.wait() == 0, line


async def test_when_nothing_answers_it_says_so_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert await demo(tmp_path, url) == (1, f"nothing answers at {url}; start it with: make run\n")
    for wrong in ("nowhere", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"):
        assert cli_demo.demo(url=wrong) == 2
        said = capsys.readouterr().err
        assert said == f"{wrong} is no address of a gateway: give one like http://127.0.0.1:3000\n"


async def test_another_server_is_told_from_a_gateway(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        status, said = await demo(tmp_path, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert status == 1
    assert said.endswith("  the answer is without 'user': is this a Meridian gateway?\n")
    assert "Traceback" not in said
