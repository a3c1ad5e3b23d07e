"""`meridian demo` as anybody runs it: every step told and as it should be, or one sentence that says why not."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.account import hire
from gateway.demo.crew import CREWS, DEMO_PASSWORD
from tests.blackbox.process import Program, command, serving
from tests.system import Client, System, free_port


@pytest.fixture(scope="module")
async def program(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The real program."""
    async with serving(tmp_path_factory.mktemp("demo"), system.variables) as running:
        yield running


async def demo(folder: Path, url: str, *arguments: str) -> tuple[int, str]:
    """Play it; its exit status and what it said."""
    return await command("demo", "--url", url, "--fast", *arguments, variables={}, folder=folder, within_s=60)


def url_of(program: Program) -> str:
    base = program.client.session._base_url
    return str(base).rstrip("/")


async def test_without_staff_it_says_how_to_make_them(program: Program, tmp_path: Path) -> None:
    status, said = await demo(tmp_path, url_of(program), "--region", "sa")
    assert status == 1
    assert "failed at step 1. The staff and a driver come to work" in said
    assert "POST /auth/login" in said
    assert "401 unauthenticated" in said
    assert "request_id" in said
    assert "meridian account +966500009001 --create --role staff --name" in said


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_both_journeys_are_played_and_every_step_is_told(
    gateway: Client, program: Program, tmp_path: Path, region: str
) -> None:
    assert gateway.runtime is not None
    place = gateway.runtime.fleet.regions
    for home in place.values():
        for person in CREWS[home.spec.name]:
            await hire(
                gateway.runtime, home, person.phone, role=person.role, name=person.name, password=DEMO_PASSWORD
            )
    status, said = await demo(tmp_path, url_of(program), "--region", region)
    assert status == 0, said
    assert [int(number) for number in re.findall(r"^ +(\d+)\. ", said, re.MULTILINE)] == [*range(1, 19), *range(1, 12)]
    assert len(re.findall(rf"\b{region.upper()}-\d{{4}}-\d{{6}}\b", said)) > 0
    assert said.rstrip().endswith("Every step was as it should be.")
    assert "\x1b" not in said, "a pipe gets no colours"
    assert max(map(len, said.splitlines())) <= 100


async def test_when_nothing_answers_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert await demo(tmp_path, url) == (1, f"nothing answers at {url}; start it with: make run\n")
    for wrong in ("nowhere", "ftp://127.0.0.1"):
        sentence = f"{wrong} is no address of a gateway: give one like http://127.0.0.1:3000\n"
        assert await demo(tmp_path, wrong) == (2, sentence)
