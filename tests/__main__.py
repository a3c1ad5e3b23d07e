"""`python -m tests [pytest options]`: every test, in two halves side by side, so that one computes while one waits.

Each half is a pytest with servers and ports of its own. The first half's output comes as it is said, then the other's;
the last line adds both up. The exit status is 0 if both passed, otherwise that of a half that did not.
"""

import asyncio
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import Counter
from typing import Final

APART: Final = ("tests/integration", "tests/faults")
"""The second half: about as long as all the rest."""
HALVES: Final = (
    ("12000-21999", [f"--ignore={folder}" for folder in APART]),
    ("22000-31999", [*APART, "-o", "cache_dir=.pytest_cache/second"]),
)
_CLOSING: Final = re.compile(r"\d+ \w+.* in [\d.]+s")
_COUNT: Final = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected)")


class Half:
    """One of the two runs, and what it has said so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said = bytearray()

    @classmethod
    async def started(cls, ports: str, arguments: list[str]) -> "Half":
        """Start its pytest."""
        command = [sys.executable, "-m", "pytest", *arguments]
        environment = {**os.environ, "TEST_PORTS": ports}
        return cls(await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, env=environment))

    async def listen(self) -> None:
        """Keep what it says until it ends."""
        assert self.process.stdout is not None
        while heard := await self.process.stdout.read(65_536):
            self.said += heard
        await self.process.wait()

    async def tell(self, listening: "asyncio.Task[None]") -> None:
        """Print what it said and says, until it ends."""
        told = 0
        while not (listening.done() and told == len(self.said)):
            await asyncio.wait([listening], timeout=0.2)
            sys.stdout.buffer.write(self.said[told:])
            sys.stdout.buffer.flush()
            told = len(self.said)

    def counts(self) -> Counter[str]:
        """How many passed, failed and so on, by the closing line."""
        lines = self.said.decode(errors="replace").splitlines()
        closing = next(filter(_CLOSING.search, reversed(lines)), "")
        return Counter({what: int(count) for count, what in _COUNT.findall(closing)})


async def run(arguments: list[str]) -> int:
    """Run both halves; the exit status of the whole."""
    begun = time.monotonic()
    if sys.stdout.isatty():
        arguments = ["--color=yes", *arguments]
    halves = [await Half.started(ports, [*half, *arguments]) for ports, half in HALVES]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _interrupt, halves)
    # Ctrl-C reaches both by itself; to wait for them is all that is left to do.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
    listening = [asyncio.create_task(half.listen()) for half in halves]
    for half, task in zip(halves, listening, strict=True):
        await half.tell(task)
    total: Counter[str] = sum((half.counts() for half in halves), Counter())
    said = ", ".join(f"{count} {what}" for what, count in total.items()) or "nothing ran"
    print(f"===== both halves: {said} in {time.monotonic() - begun:.0f} s =====")
    return next((half.process.returncode for half in halves if half.process.returncode), 0)


def _interrupt(halves: list[Half]) -> None:
    """Have both stop their servers and end, as on Ctrl-C."""
    for half in halves:
        if half.process.returncode is None:
            half.process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:])))
