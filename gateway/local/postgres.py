"""A PostgreSQL server on loopback: made by initdb or cloned from another, then started, promoted, paused, stopped."""

import asyncio
import json
import re
import shutil
import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.local import files, limits
from gateway.local.binaries import PostgresPrograms
from gateway.local.errors import DataUnusable, ServerFailed
from gateway.local.ports import LOOPBACK
from gateway.local.postgres_settings import access_rules, conninfo, identifier, password_line, server_settings
from gateway.local.processes import Nursery, Resident
from gateway.local.server import Server

SLOT = "meridian_replica"

_ENSURE_SLOT = """
SELECT pg_create_physical_replication_slot('meridian_replica', true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'meridian_replica')
"""
_DROP_SLOT = """
SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = 'meridian_replica';
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'meridian_replica'
"""
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_PID_FILE_STATUS_LINE = 7


@dataclass(frozen=True, slots=True)
class Account:
    """The superuser that initdb makes, its password, and the database that the shard map names."""

    database: str
    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.password or any(char in self.password for char in "\r\n\0"):
            raise DataUnusable("A local cluster needs a database password, on one line: set DB_PASSWORD.")


@dataclass(frozen=True, slots=True)
class Control:
    """What a data folder says of itself: whose cluster it is, and the newest timeline it knows."""

    system_id: int
    timeline: int


class PostgresServer(Server):
    """One node. Whether it is a primary or a replica is what its data say (`is_standby`), not what it is called.

    `upstream` is the server that it follows while it is a standby; None follows nobody.
    """

    def __init__(
        self,
        *,
        name: str,
        folder: Path,
        port: int,
        account: Account,
        nursery: Nursery,
        programs: PostgresPrograms,
        upstream: "PostgresServer | None" = None,
    ) -> None:
        super().__init__(name=name, folder=folder, port=port, nursery=nursery)
        self.account = account
        self.upstream = upstream
        self._postgres = programs

    @property
    def is_built(self) -> bool:
        """Whether its data were made to the end; half-made data count as none."""
        return self._marker.exists()

    @property
    def is_standby(self) -> bool:
        """Whether its data will follow another server when started."""
        return (self.data_dir / "standby.signal").exists()

    async def init(self) -> None:
        """Make the data of a new primary, with a system identifier of its own."""
        await asyncio.to_thread(self._empty_data)
        secret = self.folder / "initdb-password"
        files.write(secret, self.account.password + "\n", mode=0o600, owner=self.identity)
        try:
            await self._nursery.run(
                [
                    self._postgres.tool("initdb"),
                    f"--pgdata={self.data_dir}",
                    f"--username={self.account.user}",
                    f"--pwfile={secret}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    *_locale(self._postgres.major),
                    "--no-sync",
                    "--no-instructions",
                ],
                folder=self.folder,
            )
        finally:
            secret.unlink(missing_ok=True)
        self._mark_built()

    async def clone(self, source: "PostgresServer") -> None:
        """Replace the data by a streaming replica of the running `source`, with a replication slot there."""
        await asyncio.to_thread(self._empty_data)
        await source.drop_slot()
        self.upstream = source
        await self._nursery.run(
            [
                self._postgres.tool("pg_basebackup"),
                f"--dbname={self._conninfo_to(source)}",
                f"--pgdata={self.data_dir}",
                "--create-slot",
                f"--slot={SLOT}",
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
            ],
            folder=self.folder,
        )
        self._mark_built()

    async def control(self) -> Control:
        """Read the data's system identifier and timeline; the server need not run."""
        text = await self._nursery.run(
            [self._postgres.tool("pg_controldata"), str(self.data_dir)], folder=self.folder, as_server=False
        )
        values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
        history = (_HISTORY.fullmatch(file.name) for file in (self.data_dir / "pg_wal").glob("*.history"))
        # After a crash the control file may be older than the promotion that the history file proves.
        timelines = [int(match.group(1), 16) for match in history if match]
        timelines.append(int(values["Latest checkpoint's TimeLineID"]))
        return Control(system_id=int(values["Database system identifier"]), timeline=max(timelines))

    async def sql(self, query: str, *, database: str = "postgres", limit_s: float = limits.SQL_S) -> str:
        """Run SQL as the superuser and return its rows, one a line, columns separated by `|`."""
        target = conninfo(
            host=LOOPBACK,
            port=self.port,
            user=self.account.user,
            dbname=database,
            passfile=str(self._password_file),
            connect_timeout=limits.SQL_CONNECT_S,
            application_name="meridian-local",
        )
        command = [self._postgres.tool("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", target, "-c", query]
        try:
            return await self._nursery.run(command, folder=self.folder, as_server=False, limit_s=limit_s)
        except ServerFailed as exc:
            if "password authentication failed" in str(exc):
                raise DataUnusable(
                    f"The data of {self.name} were made with another DB_USER or DB_PASSWORD than today's. "
                    "Set the old ones again, or start over with --fresh."
                ) from exc
            raise

    async def ensure_database(self) -> None:
        """Make the account's database if it is missing."""
        names = (await self.sql("SELECT datname FROM pg_database")).splitlines()
        if self.account.database not in names:
            await self.sql(f"CREATE DATABASE {identifier(self.account.database)}")

    async def ensure_slot(self) -> None:
        """Make the replica's slot if it is missing."""
        await self.sql(_ENSURE_SLOT)

    async def drop_slot(self) -> None:
        """Remove the replica's slot, ending whatever streams from it."""
        await self.sql(_DROP_SLOT)

    async def is_followed_by(self, other: "PostgresServer") -> bool:
        """Whether `other` streams from this server now."""
        rows = await self.sql("SELECT application_name, state FROM pg_stat_replication")
        return any(row in (f"{other.name}|catchup", f"{other.name}|streaming") for row in rows.splitlines())

    async def promote(self) -> None:
        """Make a standby a primary on a new timeline, and wait until it takes writes."""
        if await self.sql(f"SELECT pg_promote(true, {limits.PROMOTE_S})", limit_s=limits.PROMOTE_S + 5) != "t":
            raise ServerFailed(f"{self.name} was not promoted within {limits.PROMOTE_S} s", self.log_tail())

    async def pause_replay(self) -> None:
        """Let a standby receive but not apply; returns when replay has really stopped."""
        await self.sql("SELECT pg_wal_replay_pause()")
        deadline = asyncio.get_running_loop().time() + limits.REPLAY_PAUSE_S
        while await self.sql("SELECT pg_get_wal_replay_pause_state()") != "paused":
            if asyncio.get_running_loop().time() >= deadline:
                raise ServerFailed(f"{self.name} did not pause its replay within {limits.REPLAY_PAUSE_S:g} s")
            await asyncio.sleep(limits.POLL_S)

    async def resume_replay(self) -> None:
        """End `pause_replay`."""
        await self.sql("SELECT pg_wal_replay_resume()")

    def set_aside(self) -> None:
        """Keep the data as `data.cut-off`, for they hold what no other node has; blocks."""
        self._marker.unlink(missing_ok=True)
        kept = self.folder / "data.cut-off"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(mode=0o700)
        self.identity.own(kept)
        for entry in self.data_dir.iterdir():
            entry.rename(kept / entry.name)

    @property
    def _marker(self) -> Path:
        return self.folder / "ready"

    @property
    def _password_file(self) -> Path:
        return self.folder / "passfile"

    @property
    def _programs(self) -> Sequence[str]:
        return ("postgres", "initdb", "pg_basebackup")

    @property
    def _stop_signals(self) -> Sequence[signal.Signals]:
        return (signal.SIGINT, signal.SIGQUIT)

    def _chiefs(self, found: Sequence[Resident]) -> Collection[int]:
        # Never a child whose postmaster died: to a checkpointer SIGINT means "write the last checkpoint".
        lines = self._pid_file_lines()
        return [resident.pid for resident in found if lines and str(resident.pid) == lines[0]]

    def _command(self) -> list[str]:
        command = [self._postgres.tool("postgres"), "-D", str(self.data_dir), f"--config_file={self._settings_file}"]
        # On the command line, for what pg_basebackup wrote into the data names yesterday's port.
        if self.upstream is None:
            return [*command, "-c", "primary_conninfo=", "-c", "primary_slot_name="]
        return [
            *command,
            "-c",
            f"primary_conninfo={self._conninfo_to(self.upstream)}",
            "-c",
            f"primary_slot_name={SLOT}",
        ]

    @property
    def _settings_file(self) -> Path:
        return self.folder / "postgresql.conf"

    def _prepare(self) -> None:
        access_file = self.folder / "pg_hba.conf"
        settings = server_settings(name=self.name, port=self.port, major=self._postgres.major, access_file=access_file)
        files.write(self._settings_file, settings)
        files.write(access_file, access_rules())
        self._write_password_file()
        # Nobody lives here (`evict` has seen to it): a pid file left by a crash could only mislead, for its
        # number may belong to another server of the same user by now.
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    async def _is_ready(self) -> bool:
        lines = self._pid_file_lines()
        return (
            len(lines) > _PID_FILE_STATUS_LINE
            and lines[0] == str(self.pid)
            and lines[_PID_FILE_STATUS_LINE].strip() == "ready"
        )

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _conninfo_to(self, source: "PostgresServer") -> str:
        return conninfo(
            host=LOOPBACK,
            port=source.port,
            user=self.account.user,
            passfile=str(self._password_file),
            application_name=self.name,
        )

    def _empty_data(self) -> None:
        self._marker.unlink(missing_ok=True)
        files.make_folder(self.folder, self.identity)
        if self.data_dir.exists():
            # The folder itself stays: by its inode the next server finds, and frees, the shared memory of one that
            # was killed here.
            files.empty(self.data_dir)
        else:
            self.data_dir.mkdir()
        self.data_dir.chmod(0o700)
        self.identity.own(self.data_dir)
        self._write_password_file()

    def _write_password_file(self) -> None:
        line = password_line(self.account.user, self.account.password)
        files.write(self._password_file, line, mode=0o600, owner=self.identity)

    def _mark_built(self) -> None:
        files.write(self._marker, json.dumps({"postgresql": self._postgres.major}) + "\n")


def _locale(major: int) -> list[str]:
    """C.UTF-8, from PostgreSQL itself where it has it: then the machine's libraries do not matter."""
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8"]
