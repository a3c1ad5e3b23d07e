"""Starts servers and tools as processes that do not outlive their owner, and finds those that live in a folder."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gateway.local import launch, limits
from gateway.local.errors import ServerFailed
from gateway.local.identity import Identity

# Nothing of the caller's environment reaches a server: PGHOST or LC_ALL of a shell must not change what it does.
_ENVIRONMENT: dict[str, str] = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_COMM_LENGTH = 15


class Nursery:
    """Starts processes under `identity` that get a signal from the kernel when this process ends, however it ends.

    The kernel watches the *thread* that started them, so one thread of its own starts them all. Close it last.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="meridian-local-nursery")

    def close(self) -> None:
        """Let the thread end; whatever still runs gets its death signal."""
        self._thread.shutdown(wait=False)

    async def start(
        self, command: Sequence[str], *, folder: Path, output: IO[bytes], death_signal: signal.Signals
    ) -> subprocess.Popen[bytes]:
        """Start `command` in `folder`, in a session of its own so that the terminal's Ctrl-C does not reach it."""
        who = (self.identity.uid, self.identity.gid) if self.identity.switch else (-1, -1)
        launcher = [sys.executable, "-I", "-S", launch.__file__]
        terms = [str(number) for number in (os.getpid(), int(death_signal), *who)]
        return await self._spawn([*launcher, *terms, *command], folder=folder, output=output, extra={})

    async def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        as_server: bool = True,
        limit_s: float = limits.TOOL_S,
    ) -> str:
        """Run a tool to its end and return what it wrote. Raises ServerFailed with that text.

        `as_server` runs it under the servers' identity and bound to this process's life; otherwise it runs as we do.
        """
        with tempfile.TemporaryFile() as output:
            if as_server:
                process = await self.start(command, folder=folder, output=output, death_signal=signal.SIGKILL)
            else:
                process = await self._spawn(command, folder=folder, output=output, extra=environment or {})
            ended = False
            try:
                ended = await until(lambda: process.poll() is not None, limit_s)
            finally:
                if not ended:
                    await _kill(process)
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        tool = Path(command[0]).name
        if not ended:
            raise ServerFailed(f"{tool} took longer than {limit_s:g} s and was stopped", text)
        if process.returncode != 0:
            raise ServerFailed(f"{tool} failed (exit {process.returncode})", text)
        return text

    async def _spawn(
        self, command: Sequence[str], *, folder: Path, output: IO[bytes], extra: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                cwd=folder,
                env={**_ENVIRONMENT, **extra},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        started = asyncio.get_running_loop().run_in_executor(self._thread, start)
        try:
            return await asyncio.shield(started)
        except asyncio.CancelledError:
            # The thread may have started it all the same; nobody else would ever know of it.
            await _kill(await started)
            raise


async def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and take note of its end, so that it is no zombie."""
    process.kill()
    await until(lambda: process.poll() is not None, limits.STOP_KILLED_S)


async def until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait for a quick condition; False if it did not come true within `limit_s` seconds."""
    deadline = asyncio.get_running_loop().time() + limit_s
    while not condition():
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(limits.POLL_S)
    return True


@dataclass(frozen=True, slots=True)
class Resident:
    """A process whose working folder is somewhere below a node's folder."""

    pid: int
    parent: int


def residents(folder: Path, programs: Collection[str]) -> list[Resident]:
    """The processes named in `programs` that work below `folder`.

    The working folder is what proves that a server is this node's and not a stranger's: pids are reused, ports are
    not telling, but a server stays in its data folder. The name spares a person's shell that happens to stand there.
    Read from /proc; on a system without it, none are found.
    """
    home = folder.resolve()
    return [
        Resident(pid=pid, parent=_parent(pid))
        for pid, comm, place in _working_folders()
        if (place == home or home in place.parents) and _is_one_of(comm, programs)
    ]


def send(pids: Collection[int], number: signal.Signals) -> None:
    """Signal each of `pids` that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def evict(
    folder: Path,
    programs: Collection[str],
    *,
    chiefs: Callable[[Sequence[Resident]], Collection[int]],
    polite: Sequence[signal.Signals],
) -> int:
    """Stop what still lives in `folder`. Returns how many there were; raises ServerFailed if one survives SIGKILL.

    The main processes that `chiefs` picks are asked with each of `polite` in turn; at last SIGKILL goes to all.
    """
    found = residents(folder, programs)
    if not found:
        return 0
    # A suspended server would never hear the polite request.
    send([resident.pid for resident in found], signal.SIGCONT)
    for number in polite:
        send(chiefs(residents(folder, programs)), number)
        if await until(lambda: not residents(folder, programs), limits.STOP_FIRM_S):
            return len(found)
    send([resident.pid for resident in residents(folder, programs)], signal.SIGKILL)
    if not await until(lambda: not residents(folder, programs), limits.STOP_KILLED_S):
        raise ServerFailed(f"processes left over in {folder} could not be stopped")
    return len(found)


def _is_one_of(comm: str, programs: Collection[str]) -> bool:
    return any(comm == program[:_COMM_LENGTH] for program in programs)


def _working_folders() -> Iterator[tuple[int, str, Path]]:
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes end while we look, and those of other users do not show their folder.
        with contextlib.suppress(OSError):
            yield int(entry.name), (entry / "comm").read_text().strip(), (entry / "cwd").readlink()


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("PPid:"):
                return int(line.split()[1])
    return 0
