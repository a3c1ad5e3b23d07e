"""`meridian doctor` as an operator runs it: on a healthy system, and on one with something broken."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.blackbox.process import command
from tests.system import PASSWORD, SHARDS, System


@pytest.fixture
def variables(system: System, tmp_path: Path) -> Mapping[str, str]:
    return {
        **system.variables,
        "UPLOAD_FOLDER": str(tmp_path / "uploads"),
        "DB_POOL_MAX": "20",
        "DB_READ_POOL_MAX": "20",
    }


async def findings(variables: Mapping[str, str], folder: Path, *arguments: str) -> tuple[int, dict[str, list[str]]]:
    status, said = await command("doctor", "--json", "--ram-gb", "4", *arguments, variables=variables, folder=folder)
    found: dict[str, list[str]] = {}
    for finding in json.loads(said):
        found.setdefault(finding["level"], []).append(f"{finding['subject']}: {finding['seen']} -> {finding['remedy']}")
    return status, found


async def test_on_a_healthy_system_nothing_needs_doing(
    system: System, variables: Mapping[str, str], tmp_path: Path
) -> None:
    status, said = await command("doctor", "--ram-gb", "4", variables=variables, folder=tmp_path)
    assert status == 0, said
    assert said.strip().endswith("All is well.")
    for text in ("qa-1 schema", "sa-2 127.0.0.1:", "qa sessions", "Redis answers", "Local answers", "DB_POOL_MAX=20"):
        assert text in said
    for secret in ("DB_PASSWORD", "JWT_SECRET", "SESSION_SECRET", "REDIS_URL"):
        assert variables[secret] not in said


async def test_pools_that_do_not_fit_all_processes_are_told_with_sizes_that_do(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    status, found = await findings(variables, tmp_path, "--processes", "40")
    assert status == 1
    warnings = [line for line in found["WARN"] if "DB_POOL_MAX" in line]
    assert len(warnings) == 6, "one for each server"
    assert "40 gateways may open" in warnings[0]


async def test_pool_sizes_far_from_the_guides_table_are_told(variables: Mapping[str, str], tmp_path: Path) -> None:
    status, found = await findings({**variables, "DB_POOL_MAX": "90"}, tmp_path)
    assert status == 1
    assert any("the guide's sizes for 4 GB: DB_POOL_MAX=20 DB_POOL_MIN=5" in line for line in found["WARN"])


async def test_what_is_broken_comes_last_and_holds_nothing_up(
    system: System, variables: Mapping[str, str], tmp_path: Path
) -> None:
    replica = system.cluster.node("sa-1", "replica")
    replica.suspend()
    try:
        broken = {**variables, "REDIS_URL": "redis://127.0.0.1:1", "JWT_SECRET": "qwerty"}
        status, said = await command("doctor", "--ram-gb", "4", variables=broken, folder=tmp_path, within_s=40)
    finally:
        replica.resume()
    assert status == 2, said
    lines = said.strip().splitlines()
    assert "failure" in lines[-1]
    assert f"sa-1 127.0.0.1:{system.ports('sa-1')['replica']}" in said
    assert "no answer within" in said
    assert "Redis cannot be used" in said
    assert "JWT_SECRET" in said
    assert "qwerty" not in said
    levels = [line.split()[0] for line in lines if line[:4] in ("OK  ", "INFO", "WARN", "FAIL")]
    assert levels == sorted(levels, key=["OK", "INFO", "WARN", "FAIL"].index)


async def test_a_primary_that_hangs_is_told_with_whom_to_promote(
    system: System, variables: Mapping[str, str], tmp_path: Path
) -> None:
    primary = system.cluster.node("sa-2", "primary")
    primary.suspend()
    try:
        status, found = await findings(variables, tmp_path)
    finally:
        primary.resume()
    assert status == 2
    lost, no_primary = found["FAIL"]
    assert f"sa-2 127.0.0.1:{system.ports('sa-2')['primary']}: cannot be used: no answer within" in lost
    assert "sa-2: no writable server" in no_primary
    assert f"promote 127.0.0.1:{system.ports('sa-2')['replica']}" in no_primary


async def test_addresses_of_two_shards_swapped_are_told(variables: Mapping[str, str], tmp_path: Path) -> None:
    swapped = {
        **variables,
        "SA_1_PRIMARY": variables["SA_2_PRIMARY"],
        "SA_2_PRIMARY": variables["SA_1_PRIMARY"],
    }
    status, found = await findings(swapped, tmp_path)
    assert status == 2
    failures = " ".join(found["FAIL"])
    assert "says it is sa-2" in failures
    assert "says it is sa-1" in failures
    assert "follows another cluster" in failures


async def test_a_login_that_is_no_superuser_sees_the_same(
    system: System, variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        primaries = [await stack.enter_async_context(system.sql(shard)) for shard in SHARDS]
        for sql in primaries:
            await sql.execute(
                f"CREATE ROLE looker LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA meridian TO looker;"
                "GRANT SELECT ON meridian.shard, meridian.migration TO looker"
            )
        try:
            for shard in SHARDS:
                await system.replicated(shard)
            status, found = await findings({**variables, "DB_USER": "looker"}, tmp_path)
        finally:
            for sql in primaries:
                await sql.execute("DROP OWNED BY looker; DROP ROLE looker")
    assert status == 0, found
    assert len([line for line in found["OK"] if "streams" in line]) == len(SHARDS)
    for line in found["OK"]:
        if "primary, PostgreSQL" in line:
            assert "others have 0" not in line, "this test's own connection is one of the others"
    assert any("looker may not read where timelines were left" in line for line in found["INFO"])
