"""`meridian map` as an operator meets it: what it prints and how it exits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.shard_map import json_schema
from gateway.cli import map as command
from tests.unit.shard_map.samples import ENVIRONMENT, GOOD

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setattr(command, "environment", lambda: ENVIRONMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run_command(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit:
            command.app(words)
        code = exit.value.code
        assert isinstance(code, int)
        return code, capsys.readouterr().out

    return run_command


def write(name: str, text: str) -> str:
    Path(name).write_text(text, "utf-8")
    return name


def test_a_good_map_is_one_line_and_exit_0(run: Run) -> None:
    write("shard_map.yaml", GOOD)
    assert run("check") == (0, "shard_map.yaml: OK. Version 1: 2 regions, 3 shards, 4 servers; default region qa\n")


def test_a_bad_map_is_one_line_for_each_fault_and_exit_1(run: Run) -> None:
    write("bad.yaml", GOOD.replace("code: 2", "code: 1").replace("weight: 1", "weight: 0"))
    code, printed = run("check", "bad.yaml")
    assert code == 1
    assert [line.split(": ")[:2] for line in printed.splitlines()] == [
        ["bad.yaml:18:17", "regions.qa.shards.qa-1.weight"],
        ["bad.yaml:24:11", "regions.sa.code"],
        ["bad.yaml:46:17", "regions.sa.shards.sa-2.weight"],
    ]


def test_a_missing_map_is_exit_1(run: Run) -> None:
    code, printed = run("check")
    assert (code, "no such file" in printed) == (1, True)


def test_a_map_is_shown_within_80_columns(run: Run) -> None:
    write("shard_map.yaml", GOOD)
    code, printed = run("show")
    assert code == 0
    assert max(map(len, printed.splitlines())) <= 80
    for word in ("qa  code 1  Qatar", "sa-2", "10.0.1.1:5511", "[2001:db8::1]:5432", "none", "100 %"):
        assert word in printed
    assert "s3cret" not in printed


def test_the_difference_of_maps_is_told_in_words(run: Run) -> None:
    write("old.yaml", GOOD)
    write("allowed.yaml", GOOD.replace("[SA]", "[SA, BH]"))
    write("refused.yaml", GOOD.replace("code: 2", "code: 3"))
    write("bad.yaml", "version: 1")
    code, printed = run("diff", "old.yaml", "allowed.yaml")
    assert (code, "region sa: country BH added" in printed) == (0, True)
    code, printed = run("diff", "old.yaml", "refused.yaml")
    assert (code, "refused  region sa: code 2 -> 3" in printed) == (1, True)
    assert run("diff", "old.yaml", "bad.yaml")[0] == 1
    assert run("diff", "old.yaml", "old.yaml") == (0, "The maps say the same.\n")


def test_the_schema_is_printed_as_json(run: Run) -> None:
    code, printed = run("schema")
    assert (code, json.loads(printed)) == (0, json_schema())
