"""Several processes as one server: started, watched, started again when they die, and ended together.

The workers are forked before any loop or thread exists. Each holds the reading end of a pipe whose writing end is the
parent's alone: however the parent ends, they see it and end too.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

EARLY_S: Final = 2.0
EARLY_DEATHS_MAX: Final = 5
PAUSE_S: Final = 0.5
_LOOK_S: Final = 0.05
_WAITED_FOR: Final = frozenset((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGALRM))
_log = structlog.get_logger("edge")


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the processes. It ends when `lifeline` can be read, and calls `serves` when it has begun to serve."""

    index: int
    lifeline: int | None
    serves: Callable[[], None]


def run_workers(
    count: int, work: Callable[[Worker], int], *, stop_s: float, on_serving: Callable[[], None] = lambda: None
) -> int:
    """Run `work` in `count` processes until SIGTERM or SIGINT; the exit status.

    One worker is this process itself. `on_serving` is called once, when all have begun to serve. A worker that dies is
    started again; if several in a row live less than `EARLY_S` seconds, all end with status 1. Told to end, they have
    `stop_s` seconds before they are killed.
    """
    if count == 1:
        return work(Worker(0, None, on_serving))
    return _Workers(count, work, stop_s, on_serving).run()


class _Workers:
    def __init__(
        self, count: int, work: Callable[[Worker], int], stop_s: float, on_serving: Callable[[], None]
    ) -> None:
        self._count = count
        self._work = work
        self._stop_s = stop_s
        self._on_serving = on_serving
        self._serving: set[int] = set()
        self._born: dict[int, tuple[int, float]] = {}
        self._early_deaths = 0
        self._status = 0

    def run(self) -> int:
        self._lifeline, self._hold = os.pipe()
        self._heard, self._say = os.pipe()
        os.set_blocking(self._say, False)
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
        for index in range(self._count):
            self._start(index)
        is_ending = False
        while self._born:
            number = self._next_signal()
            if number == signal.SIGCHLD:
                self._bury(is_ending=is_ending)
            elif number == signal.SIGALRM:
                self._signal(signal.SIGKILL)
            elif not is_ending:
                is_ending = True
                self._end()
            if self._status and not is_ending:
                is_ending = True
                self._end()
        return self._status

    def _next_signal(self) -> int:
        """Wait for a signal; until all serve for the first time, for that too."""
        while len(self._serving) < self._count and not signal.sigpending() & _WAITED_FOR:
            if select.select([self._heard], [], [], _LOOK_S)[0]:
                self._serving.update(os.read(self._heard, self._count))
                if len(self._serving) == self._count:
                    self._on_serving()
        return signal.sigwait(_WAITED_FOR)

    def _serves(self, index: int) -> None:
        with suppress(OSError):  # nobody listens any more
            os.write(self._say, bytes((index,)))

    def _start(self, index: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._born[pid] = (index, time.monotonic())
            return
        status = 1
        try:
            os.close(self._hold)
            os.close(self._heard)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)
            status = self._work(Worker(index, self._lifeline, lambda: self._serves(index)))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _bury(self, *, is_ending: bool) -> None:
        while self._born:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid not in self._born:
                continue
            index, born_at = self._born.pop(pid)
            if is_ending:
                self._status = self._status or int(status != 0)
                continue
            self._replace(index, os.waitstatus_to_exitcode(status), time.monotonic() - born_at)

    def _replace(self, index: int, status: int, lived_s: float) -> None:
        _log.error("worker_died", worker=index, status=status)
        self._early_deaths = self._early_deaths + 1 if lived_s < EARLY_S else 0
        if self._early_deaths >= EARLY_DEATHS_MAX or (self._early_deaths and status == 2):
            self._status = 1
            return
        if self._early_deaths:
            time.sleep(PAUSE_S)
        self._start(index)

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, self._stop_s)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._born:
            os.kill(pid, number)
