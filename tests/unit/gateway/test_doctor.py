"""What the doctor concludes from what it saw, and how it tells it."""

from collections.abc import Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from core.database.inspection import NodeFacts
from core.database.settings import DatabaseSettings
from core.database.translate import NodeLost
from core.errors import PoolExhausted
from core.sessions.inspection import RedisFacts
from core.shard_map.model import Address, Secret, ShardName, ShardSpec
from gateway.doctor import report
from gateway.doctor.databases import of_lost_node, of_node, of_roles
from gateway.doctor.finding import Finding, Level, exit_status
from gateway.doctor.machine import of_files, of_pools, of_settings
from gateway.doctor.servers import of_redis
from gateway.settings import Settings

A, B, C = (Address("db", port) for port in (1, 2, 3))
SHARD = ShardSpec(ShardName("qa-1"), 1, A, (B,), "shop", "app", Secret("hidden"))
PRIMARY = NodeFacts(
    version=160_004,
    in_recovery=False,
    max_connections=100,
    reserved=3,
    others=7,
    synchronous_commit="on",
    synchronous_standby_names="",
    wal_level="replica",
    system_id=1,
    is_streaming=False,
    lsn=5000,
    lag_s=0.0,
    reads_history=True,
    shard="qa-1",
    clock_off_s=0.0,
)
REPLICA = replace(PRIMARY, in_recovery=True, is_streaming=True, lsn=4000)
SIZES = DatabaseSettings(pool_max=20, read_pool_max=30)


def told(findings: Iterable[Finding], level: Level) -> list[str]:
    return [f"{f.subject}: {f.seen} | {f.why} | {f.remedy}" for f in findings if f.level is level]


def node(facts: NodeFacts, processes: int = 1, sizes: DatabaseSettings = SIZES) -> list[Finding]:
    return list(of_node(SHARD, A, facts, sizes, processes))


def roles(facts: dict[Address, NodeFacts], shard: ShardSpec = SHARD) -> list[Finding]:
    return list(of_roles(shard, facts, lag_max_s=30.0))


def test_a_healthy_shard_needs_nothing() -> None:
    findings = [*node(PRIMARY), *node(REPLICA), *roles({A: PRIMARY, B: REPLICA})]
    assert exit_status(findings) == 0
    (loss,) = told(findings, Level.INFO)
    assert "asynchronous" in loss
    assert "write_lost" in loss


def test_pools_beyond_a_servers_connections_are_told_with_the_largest_that_fit() -> None:
    assert exit_status(node(PRIMARY, processes=2)) == 0, "2 x 31 and 7 others are within 97"
    (line,) = told(node(PRIMARY, processes=3), Level.WARN)
    assert "3 gateways may open 93 of 97 connections, others have 7" in line
    assert "DB_POOL_MAX and DB_READ_POOL_MAX to 28 at most" in line
    (line,) = told(node(PRIMARY, processes=60), Level.WARN)
    assert "not even one connection" in line


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"version": 130_012}, Level.FAIL, "PostgreSQL 13"),
        ({"synchronous_commit": "off"}, Level.FAIL, "synchronous_commit is off"),
        ({"wal_level": "minimal"}, Level.WARN, "wal_level is minimal"),
        ({"shard": "sa-1"}, Level.FAIL, "says it is sa-1"),
        ({"clock_off_s": -2.5}, Level.WARN, "its clock is -2.5 s off ours"),
    ],
)
def test_what_is_wrong_with_a_server_is_told(change: dict[str, object], level: Level, words: str) -> None:
    (line,) = told(node(replace(PRIMARY, **change)), level)  # type: ignore[arg-type]
    assert words in line


def test_a_server_that_was_not_introduced_yet_is_nobody_elses() -> None:
    assert not told(node(replace(PRIMARY, shard="")), Level.FAIL)


def test_without_a_primary_the_replica_that_has_replayed_most_is_named() -> None:
    facts = {B: REPLICA, C: replace(REPLICA, lsn=4001)}
    (line,) = told(roles(facts), Level.FAIL)
    assert "no writable server" in line
    assert "promote db:3" in line
    (line,) = told(roles({}), Level.FAIL)
    assert "promote" not in line


def test_two_writable_servers_are_both_named() -> None:
    (line,) = told(roles({A: PRIMARY, B: replace(PRIMARY, system_id=2)}), Level.FAIL)
    assert "2 writable servers: db:1 (cluster 1), db:2 (cluster 2)" in line


def test_a_promoted_replica_is_no_fault() -> None:
    findings = roles({A: REPLICA, B: PRIMARY})
    assert exit_status(findings) == 0
    assert any("db:2 leads, the map says db:1" in line for line in told(findings, Level.INFO))


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"is_streaming": False}, Level.WARN, "does not stream"),
        ({"lag_s": 31.0}, Level.WARN, "31.0 s and 0.0 MiB behind"),
        ({"system_id": 2}, Level.FAIL, "follows another cluster"),
    ],
)
def test_a_replica_that_is_no_good_is_told(change: dict[str, object], level: Level, words: str) -> None:
    (line,) = told(roles({A: PRIMARY, B: replace(REPLICA, **change)}), level)  # type: ignore[arg-type]
    assert words in line


def test_what_a_failover_can_lose_depends_on_the_standbys() -> None:
    waits = replace(PRIMARY, synchronous_standby_names="ANY 1 (b)")
    assert not told(roles({A: waits, B: REPLICA}), Level.INFO)
    (line,) = told(roles({A: PRIMARY}, replace(SHARD, replicas=())), Level.INFO)
    assert "has no replica" in line
    (line,) = told(roles({A: replace(waits, reads_history=False), B: REPLICA}), Level.INFO)
    assert "app may not read where timelines were left" in line


def test_a_server_that_does_not_answer_matters_more_when_its_shard_has_no_primary() -> None:
    lost = NodeLost("no answer within 5 s", sent=False)
    assert "nobody notices" in of_lost_node(SHARD, B, lost, leads=True).why
    assert "its shard has no primary" in of_lost_node(SHARD, A, lost, leads=False).why
    assert "accepts no more connections" in of_lost_node(SHARD, A, PoolExhausted("full"), leads=True).seen


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (RedisFacts(0.001, 50, 0, "noeviction"), Level.OK, "answers"),
        (RedisFacts(0.001, 50, 100, "noeviction"), Level.OK, "noeviction"),
        (RedisFacts(0.001, 95, 100, "noeviction"), Level.WARN, "refuses writes"),
        (RedisFacts(0.001, 50, 100, "allkeys-lru"), Level.INFO, "only slower"),
        (RedisFacts(0.3, 50, 100, "noeviction"), Level.WARN, "300 ms"),
    ],
)
def test_a_redis_is_judged_by_its_answer_and_its_memory(facts: RedisFacts, level: Level, words: str) -> None:
    (line,) = told([of_redis("qa sessions", facts)], level)
    assert words in line


def test_secrets_are_judged_and_never_shown() -> None:
    settings = Settings.from_environment({"JWT_SECRET": "s3cret"})
    weak = told(of_settings(settings), Level.WARN)
    assert [line.split(" |")[0] for line in weak] == ["JWT_SECRET: too short", "SESSION_SECRET: not set"]
    assert "s3cret" not in str(weak)


def test_an_upload_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    file = tmp_path / "uploads"
    good = Settings.from_environment({"UPLOAD_FOLDER": str(file / "made" / "later")})
    assert not told(of_files(good, 2), Level.FAIL)
    file.write_text("a file where the folder should be")
    (line,) = told(of_files(good, 2), Level.FAIL)
    assert "UPLOAD_FOLDER: cannot be written to" in line


def test_pools_larger_than_the_guides_are_a_warning_only_when_far_from_it() -> None:
    sizes = {size: Settings.from_environment({"DB_POOL_MAX": str(size)}) for size in (20, 30, 90)}
    levels = {size: next(iter(of_pools(settings, 4.0))).level for size, settings in sizes.items()}
    assert levels == {20: Level.OK, 30: Level.INFO, 90: Level.WARN}


FINDINGS = [
    Finding(Level.OK, "map", "good"),
    Finding(Level.WARN, "qa sessions", "Redis cannot be used", "slower", "start it"),
    Finding(Level.FAIL, "qa-1", "no writable server", "writes get 503", "promote one"),
]


def test_the_report_ends_with_what_is_broken() -> None:
    assert list(report.lines(FINDINGS)) == [
        "OK    map          good",
        "WARN  qa sessions  Redis cannot be used",
        "                   why: slower",
        "                   do:  start it",
        "FAIL  qa-1         no writable server",
        "                   why: writes get 503",
        "                   do:  promote one",
    ]
    assert list(report.summary(FINDINGS)) == ["1 warning: qa sessions", "1 failure: qa-1"]
    assert list(report.summary(FINDINGS[:1])) == ["All is well."]
    assert [exit_status(FINDINGS[:n]) for n in (0, 1, 2, 3)] == [0, 0, 1, 2]


def test_on_a_terminal_the_same_is_wrapped_within_its_column() -> None:
    console = Console(width=40, record=True, file=StringIO())
    console.print(report.table(FINDINGS))
    shown = console.export_text().splitlines()
    assert shown[0].rstrip() == "OK    map          good"
    assert all(len(line) <= 40 for line in shown)
    assert "why: writes get 503" in " ".join(line.strip() for line in shown)
