"""The workers of one edge as one cache: what one stores, drops or purges, the others are told before it is answered.

They speak over unix sockets in a private folder: frames of a JSON header and raw bytes, each acknowledged. A worker
that does not answer in time is no longer waited for; one that missed anything forgets all before it hears more.
"""

import asyncio
import json
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final

from edge.cache import CLOCK_S, Cache, Entry, Purge
from edge.invalidation import REMEMBERED_MAX
from edge.packing import Kept, pack, unpack

Header = dict[str, Any]
Hear = Callable[[str, Header, bytes], Awaitable[Header]]
"""What a worker does about what it is told: the kind, the header, the bytes; its answer goes back."""

FORGET: Final = "forget"
_LENGTHS: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Seconds and bytes. Raises ValueError when they contradict."""

    answer_s: float = 0.25
    pause_s: float = 1.0
    """So long a worker that hung up is left alone."""
    header_bytes: int = 1024 * 1024
    body_bytes: int = 64 * 1024 * 1024
    waiting_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if not 0 < self.answer_s < self.pause_s:
            raise ValueError("0 < answer_s < pause_s must hold")


class Peers:
    """One worker's view of the others. `index` counts from 0; each has a socket in `folder`.

    `on_change` is told the name of what changed and its details, once for each change.
    """

    def __init__(
        self,
        folder: Path,
        *,
        index: int,
        count: int,
        on_change: Callable[[str, dict[str, object]], None],
        limits: PeerLimits = PeerLimits(),
    ) -> None:
        self._folder = folder
        self._index = index
        self._limits = limits
        self._on_change = on_change
        self._is_ending = False
        self._links = [_Link(_socket(folder, n), n, self._changed, limits) for n in range(count) if n != index]
        self._served: set[asyncio.StreamWriter] = set()

    @property
    def path(self) -> Path:
        """The socket on which it is told."""
        return _socket(self._folder, self._index)

    async def start(self, hear: Hear) -> None:
        """Begin to listen. What was told before is not known here."""
        self._hear = hear
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        self._caring = asyncio.get_running_loop().create_task(self._care(), name="peers")

    def expect_end(self) -> None:
        """All workers end now: that one falls silent is no news any more."""
        self._is_ending = True

    async def stop(self) -> None:
        """Close every socket."""
        self._caring.cancel()
        with suppress(asyncio.CancelledError):
            await self._caring
        self._server.close()
        for writer in list(self._served):
            writer.close()
        for link in self._links:
            link.close()

    async def tell(self, kind: str, header: Header, body: bytes = b"") -> list[Header]:
        """Tell every other worker, and wait (`answer_s` at most) for their answers; those that came."""
        if not self._links:
            return []
        answers = await asyncio.gather(*(link.tell(kind, header, body) for link in self._links))
        return [answer for answer in answers if answer is not None]

    def _changed(self, name: str, details: dict[str, object]) -> None:
        if not self._is_ending:
            self._on_change(name, details)

    async def _care(self) -> None:
        """Workers that missed something forget as soon as they can be told, not only when there is more to tell."""
        while True:
            await asyncio.sleep(self._limits.pause_s)
            await asyncio.gather(*(link.make_up() for link in self._links))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.add(writer)
        try:
            while True:
                header, body = await _read(reader, self._limits)
                answer = await self._hear(header.pop("kind"), header, body)
                writer.write(_frame({"id": header["id"], **answer}, b""))
                await writer.drain()
        except (OSError, EOFError, ValueError, KeyError, asyncio.CancelledError):
            pass  # the other side sees the socket close, and counts this worker as one that missed something
        finally:
            self._served.discard(writer)
            writer.close()


class _Link:
    """The way to one other worker. It hears in order; once it is late it is told without waiting, until it answers."""

    def __init__(
        self, path: Path, number: int, on_change: Callable[[str, dict[str, object]], None], limits: PeerLimits
    ) -> None:
        self._path = path
        self._number = number
        self._on_change = on_change
        self._limits = limits
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[Header | None]] = {}
        self._ids = 0
        self._rests_until = 0.0
        self._has_missed = False
        self._is_silent = False
        self._connecting = asyncio.Lock()

    async def tell(self, kind: str, header: Header, body: bytes) -> Header | None:
        """Its answer; None if none came in time."""
        if not await self.is_ready():
            self._has_missed = True
            return None
        answer = self._send(kind, header, body)
        if answer is None or self._is_silent:
            return None
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return await answer
        except TimeoutError:
            self._silent("it is late")
            return None

    async def is_ready(self) -> bool:
        """Whether it can be told something now: there is a connection, and on it what was missed comes first."""
        async with self._connecting:
            if self._writer is not None and self._writer.is_closing():
                self._lost("it hung up")
            if self._writer is None and not await self._connect():
                return False
            if self._has_missed:
                self._has_missed = False
                self._send(FORGET, {}, b"")
            return True

    async def make_up(self) -> None:
        """If it missed anything, have it forget as soon as it can be told."""
        if self._has_missed:
            await self.is_ready()

    def close(self) -> None:
        """Hang up."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _connect(self) -> bool:
        if asyncio.get_running_loop().time() < self._rests_until:
            return False
        try:
            async with asyncio.timeout(self._limits.answer_s):
                reader, self._writer = await asyncio.open_unix_connection(self._path)
        except (OSError, TimeoutError) as exc:
            self._lost(_reason(exc))
            return False
        self._reading = asyncio.get_running_loop().create_task(self._read_all(reader), name=f"peer {self._number}")
        return True

    def _send(self, kind: str, header: Header, body: bytes) -> asyncio.Future[Header | None] | None:
        assert self._writer is not None, "is_ready was asked"
        if self._writer.transport.get_write_buffer_size() > self._limits.waiting_bytes:
            self._lost("too much waits for it")
            return None
        self._ids += 1
        answer = self._answers[self._ids] = asyncio.get_running_loop().create_future()
        self._writer.write(_frame({"kind": kind, "id": self._ids, **header}, body))
        return answer

    async def _read_all(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                header, _ = await _read(reader, self._limits)
                answer = self._answers.pop(header.pop("id"))
                if not answer.done():
                    answer.set_result(header)
                self._heard()
        except (OSError, EOFError, ValueError, KeyError) as exc:
            self._lost(_reason(exc))

    def _lost(self, reason: str) -> None:
        self._has_missed = self._has_missed or bool(self._answers)
        self.close()
        self._rests_until = asyncio.get_running_loop().time() + self._limits.pause_s
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_result(None)
        self._silent(reason)

    def _silent(self, reason: str) -> None:
        if not self._is_silent:
            self._is_silent = True
            self._on_change("peer_silent", {"peer": self._number, "reason": reason, "level": "warning"})

    def _heard(self) -> None:
        if self._is_silent:
            self._is_silent = False
            self._on_change("peer_answers", {"peer": self._number})


class Replicated:
    """A Cache of one worker that keeps the others' like itself. The count of a purge is that of one cache.

    `forget` empties the cache. `clock` gives Unix seconds, the same to all workers.
    """

    def __init__(self, cache: Cache, peers: Peers, *, forget: Callable[[], None], clock: Callable[[], float]) -> None:
        self._cache = cache
        self._peers = peers
        self._forget = forget
        self._clock = clock
        self._purges = _Purges()

    async def get(self, key: str) -> Sequence[Entry]:
        """From this worker's own."""
        return await self._cache.get(key)

    async def put(self, key: str, entry: Entry) -> bool:
        """Keep it here and there; whether it is kept here."""
        is_kept = await self._cache.put(key, entry)
        if is_kept:
            await self._peers.tell("put", {"key": key}, pack([Kept(entry, {})]))
        return is_kept

    async def drop(self, key: str) -> int:
        """Forget it here and there."""
        now = self._clock()
        self._purges.add(Purge(url=key, hard=True), now)
        dropped = await self._cache.drop(key)
        return max([dropped, *_counts(await self._peers.tell("drop", {"key": key, "now": now}))])

    async def purge(self, purge: Purge, now: float) -> int:
        """Purge here and there; how many entries it met where it met most."""
        self._purges.add(purge, now)
        purged = await self._cache.purge(purge, now)
        asked = {"url": purge.url, "group": purge.group, "region": purge.region, "hard": purge.hard, "now": now}
        return max([purged, *_counts(await self._peers.tell("purge", asked))])

    async def hear(self, kind: str, header: Header, body: bytes, *, purged: Callable[[Purge], None]) -> Header:
        """Do what another worker tells of; how many entries it met. Raises ValueError for what is not understood.

        `purged` is told of a purge first, so that what is under way is not kept after it.
        """
        if kind == FORGET:
            self._forget()
            return {}
        if kind == "put":
            [kept] = unpack(body)
            return {"count": await self._heard(header["key"], kept.entry)}
        if kind == "drop":
            self._purges.add(Purge(url=header["key"], hard=True), header["now"])
            return {"count": await self._cache.drop(header["key"])}
        if kind == "purge":
            purge = Purge(header["url"], header["group"], header["region"], header["hard"])
            purged(purge)
            self._purges.add(purge, header["now"])
            return {"count": await self._cache.purge(purge, header["now"])}
        raise ValueError(kind)

    async def _heard(self, key: str, entry: Entry) -> int:
        # A purge of this worker may have crossed it on the way.
        return 0 if self._purges.meet(key, entry) else int(await self._cache.put(key, entry))


class _Purges:
    """The newest purges, here and elsewhere, and when. What was asked for before one is not taken over after it."""

    def __init__(self) -> None:
        self._newest: deque[tuple[float, Purge]] = deque()
        self._forgotten_at = -inf

    def add(self, purge: Purge, now: float) -> None:
        """It was done."""
        if self._newest and now < self._newest[-1][0] - CLOCK_S:  # the clock was set back: those before count no more
            self._newest.clear()
            self._forgotten_at = now
        self._newest.append((now, purge))
        if len(self._newest) > REMEMBERED_MAX:
            self._forgotten_at = max(self._forgotten_at, self._newest.popleft()[0])

    def meet(self, key: str, entry: Entry) -> bool:
        """Whether one since it was asked for is about this entry; taken to be so when it is no longer known."""
        asked_at = entry.asked_at
        return asked_at <= self._forgotten_at or any(
            asked_at <= at and purge.meets(key, entry) for at, purge in self._newest
        )


def _counts(answers: Sequence[Header]) -> list[int]:
    return [answer["count"] for answer in answers]


def _reason(error: Exception) -> str:
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return "it does not listen"
    if isinstance(error, (EOFError, ConnectionError)):
        return "it closed the connection"
    return "it is late" if isinstance(error, TimeoutError) else type(error).__name__


def _socket(folder: Path, index: int) -> Path:
    return folder / f"{index}.sock"


def _frame(header: Header, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return b"".join((_LENGTHS.pack(len(text), len(body)), text, body))


async def _read(reader: asyncio.StreamReader, limits: PeerLimits) -> tuple[Header, bytes]:
    header_bytes, body_bytes = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if header_bytes > limits.header_bytes or body_bytes > limits.body_bytes:
        raise ValueError("a frame that is too long")
    header: Header = json.loads(await reader.readexactly(header_bytes))
    return header, await reader.readexactly(body_bytes)
