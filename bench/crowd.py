"""Many clients who ask for the same thing at once while nothing of it is kept: how often the origin is asked."""

import asyncio
import re
import resource
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

_BATCH: Final = 500  # connections opened side by side: fewer than any listener lets wait
_BOUND_S: Final = 120.0
_FILES_BESIDE: Final = 1_000
_FATE: Final = re.compile(rb"Cache-Status: [^;\r]*;([^\r]*)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the clients saw. `fates`: what Cache-Status says of how an answer came about, and how many were told so."""

    clients: int
    answered: int
    seconds: float
    fates: Counter[str]


def clients_possible(wanted: int) -> int:
    """As many as this process may have files open, after asking for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, hard if hard != resource.RLIM_INFINITY else wanted + _FILES_BESIDE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, soft - _FILES_BESIDE)


async def crowd(host: str, port: int, path: str, clients: int, *, let_go: asyncio.Event) -> Outcome:
    """Ask on so many connections; `let_go` is set when all have asked and the server answers others, so it has them.

    Whatever answers `path` should wait for it. Raises TimeoutError after two minutes.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    async with asyncio.timeout(_BOUND_S):
        wires: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        while len(wires) < clients:
            some = min(_BATCH, clients - len(wires))
            wires += await asyncio.gather(*(asyncio.open_connection(host, port) for _ in range(some)))
        for _, writer in wires:
            writer.write(request)
        await asyncio.gather(*(writer.drain() for _, writer in wires))
        await _is_up_to_date(host, port)
        begun = time.monotonic()
        let_go.set()
        answers = await asyncio.gather(*(_whole(reader) for reader, _ in wires))
        seconds = time.monotonic() - begun
        for _, writer in wires:
            writer.close()
    answered = sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    return Outcome(clients, answered, seconds, Counter(map(_fate, answers)))


async def _is_up_to_date(host: str, port: int) -> None:
    """Have the server answer somebody who asks last: what was sent before, it has read."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /_edge/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    await _whole(reader)
    writer.close()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """All of an answer, or what came of it."""
    try:
        return await reader.read(-1)
    except ConnectionError:
        return b""


def _fate(answer: bytes) -> str:
    found = _FATE.search(answer)
    if found is None:
        return "nothing"
    marks = {mark.strip().partition("=")[0] for mark in found[1].decode().split(";")}
    return next((mark for mark in ("collapsed", "hit", "stored") if mark in marks), "other")
