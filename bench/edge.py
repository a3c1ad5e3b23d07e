"""How fast the edge answers from its cache, beside nginx and Varnish; and what a crowd's first question costs.

    python -m bench.edge [--rounds 9] [--seconds 2] [--connections 64] [--clients 10000]

Needs wrk, and compares with nginx and varnishd where they are on PATH (apt-get install wrk nginx-light varnish). Every
cache has the same core and wrk another; the rounds alternate, so that whatever else the machine does meets all, and
what is compared are medians. Each answers the same 3 KB, which it fetched from one origin before. What a hit costs in
processor time tells the same where other programs take the core away.
"""

import argparse
import asyncio
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from aiohttp import ClientSession, web

from bench.caches import LOOPBACK, OURS, Cache, free_port, names, running
from bench.crowd import clients_possible, crowd

BODY: Final = bytes(range(32, 127)) * 33  # 3,135 bytes
CROWD: Final = "/crowd"
_TOTAL: Final = re.compile(r"^ +([0-9]+) requests in", re.MULTILINE)
_RATE: Final = re.compile(r"^Requests/sec: +([0-9.]+)", re.MULTILINE)
_PART: Final = re.compile(r"^ +(50|99)% +([0-9.]+)(us|ms|s)$", re.MULTILINE)
_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_FAULTS: Final = re.compile(r"Non-2xx|Socket errors")


@dataclass(frozen=True, slots=True)
class Load:
    """How often, how long and with how many connections wrk asks; and how large the crowd is."""

    rounds: int
    seconds: int
    connections: int
    clients: int


@dataclass(frozen=True, slots=True)
class Run:
    """What wrk saw in one round."""

    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Origin:
    """The origin: one answer for every path, good for an hour; a crowd's waits for `let_go`."""

    asked: Counter[str] = field(default_factory=Counter)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer."""
        self.asked[request.path] += 1
        if request.path == CROWD:
            await self.let_go.wait()
        fields = {"Cache-Control": "public, max-age=3600", "ETag": '"1"', "Content-Type": "application/json"}
        return web.Response(body=BODY, headers=fields)


async def main(load: Load) -> None:
    """Measure, and print small Markdown tables."""
    if shutil.which("wrk") is None:
        raise SystemExit("no wrk on PATH: apt-get install wrk")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("one core is for the cache and another for wrk: this machine has one")
    with tempfile.TemporaryDirectory(prefix="meridian-bench-") as name:
        folder, origin = Path(name), Origin()
        async with _listening(origin) as port, AsyncExitStack() as stack:
            caches = [
                await stack.enter_async_context(running(name, folder, origin=port, core=cores[0])) for name in names()
            ]
            await _measure(caches, load, core=cores[1])
            await _crowd(next(cache for cache in caches if cache.name == OURS), origin, load.clients)


@asynccontextmanager
async def _listening(origin: Origin) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/{path:.*}", origin.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


async def _measure(caches: list[Cache], load: Load, *, core: int) -> None:
    for cache in caches:
        await _warm(cache)
    runs: dict[str, list[Run]] = {cache.name: [] for cache in caches}
    for number in range(load.rounds):
        first = number % len(caches)  # each goes first as often as the others
        for cache in caches[first:] + caches[:first]:
            runs[cache.name].append(await _run(cache, load, core))
    print("| cache | hits/s | of nginx | of Varnish | CPU \u03bcs a hit | p50 ms | p99 ms |\n" + "|---" * 7 + "|")
    for name, seen in runs.items():
        ratios = [_ratio(seen, runs.get(other)) for other in ("nginx", "varnish")]
        p50, p99 = median(run.p50_ms for run in seen), median(run.p99_ms for run in seen)
        rate, cpu_us = median(run.per_s for run in seen), median(run.cpu_us for run in seen)
        print(f"| {name} | {rate:,.0f} | {' | '.join(ratios)} | {cpu_us:.1f} | {p50:.2f} | {p99:.2f} |", flush=True)


def _ratio(runs: list[Run], others: list[Run] | None) -> str:
    if others is None:
        return "-"
    return f"{median(run.per_s / other.per_s for run, other in zip(runs, others, strict=True)):.2f}"


async def _warm(cache: Cache) -> None:
    """Have it fetch the answer; the second time it must have it."""
    async with ClientSession(auto_decompress=False) as session:
        for _ in range(2):
            async with session.get(f"{cache.url}/{cache.name.partition(' ')[0]}") as response:
                body = await response.read()
                if response.status != 200 or body != BODY:
                    raise SystemExit(f"{cache.name} answers {response.status} with {len(body)} bytes")


async def _run(cache: Cache, load: Load, core: int) -> Run:
    url = f"{cache.url}/{cache.name.partition(' ')[0]}"
    options = ("-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--latency", url)
    before_s = cache.cpu_s()
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", str(core), "wrk", *options), stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    total, rate = _TOTAL.search(output), _RATE.search(output)
    if total is None or rate is None or _FAULTS.search(output):
        raise SystemExit(f"{cache.name}: {output}")
    parts = {part: float(value) * _MS[unit] for part, value, unit in _PART.findall(output)}
    cpu_us = (cache.cpu_s() - before_s) * 1e6 / int(total[1])
    return Run(float(rate[1]), cpu_us, parts["50"], parts["99"])


async def _crowd(cache: Cache, origin: Origin, wanted: int) -> None:
    clients = clients_possible(wanted)
    port = int(cache.url.rpartition(":")[2])
    outcome = await crowd(LOOPBACK, port, CROWD, clients, let_go=origin.let_go)
    fates = ", ".join(f"{count:,} {fate}" for fate, count in outcome.fates.most_common())
    print(
        f"\n{outcome.clients:,} clients ask for one thing that is not kept: the origin was asked {origin.asked[CROWD]} "
        f"time(s), {outcome.answered:,} were answered ({fates}), the last {outcome.seconds:.2f} s after the origin."
    )


def _load() -> Load:
    parser = argparse.ArgumentParser(prog="python -m bench.edge", description="How fast the edge answers hits.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--clients", type=int, default=10_000)
    chosen = parser.parse_args()
    return Load(chosen.rounds, chosen.seconds, chosen.connections, chosen.clients)


if __name__ == "__main__":
    asyncio.run(main(_load()))
