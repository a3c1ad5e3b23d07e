"""What region `sa` feels when region `qa` dies: its p99 before and while, at the same load, in one run.

    python -m bench.isolation [--seconds 15] [--rounds 3] [--per-second 60]

One gateway process, three shards with replicas. In both phases both regions are asked at a fixed rate (open loop), 80 %
reads and 20 % writes. Then every server of `qa` is killed, asked on, and started again for the next round.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from tests.blackbox.process import serving
from tests.system import Client, Person, Phones, System, running_system, until

REGIONS = {"qa": ("qa-1",), "sa": ("sa-1", "sa-2")}


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def ask(client: Client, person: Person, number: int, took_ms: list[float], codes: dict[int, int]) -> None:
    """One request, timed."""
    began = time.perf_counter()
    if number % 5:
        answer = await client.call("GET", "/me", user=person)
    else:
        answer = await client.call("PATCH", "/me", user=person, json={"full_name": f"Name {number}"})
    took_ms.append((time.perf_counter() - began) * 1000)
    codes[answer.status] = codes.get(answer.status, 0) + 1


async def load(
    client: Client, people: list[Person], seconds: float, per_second: float
) -> tuple[list[float], dict[int, int]]:
    """Ask at a fixed rate, whatever comes back."""
    took_ms: list[float] = []
    codes: dict[int, int] = {}
    began, asking = time.perf_counter(), set[asyncio.Task[None]]()
    for number in range(int(seconds * per_second)):
        await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
        task = asyncio.create_task(ask(client, people[number % len(people)], number, took_ms, codes))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    return took_ms, codes


async def phase(name: str, client: Client, people: dict[str, list[Person]], seconds: float, per_second: float) -> float:
    """Load both regions; print what each saw, and give the p99 of `sa`."""
    (qa, qa_codes), (sa, sa_codes) = await asyncio.gather(
        *(load(client, people[region], seconds, per_second) for region in REGIONS)
    )
    print(
        f"  {name:<10} sa p50 {percentile(sa, 0.5):6.2f} ms  p99 {percentile(sa, 0.99):6.2f} ms  {sa_codes}"
        f"   qa p99 {percentile(qa, 0.99):6.2f} ms  {qa_codes}",
        flush=True,
    )
    return percentile(sa, 0.99)


async def one_round(
    system: System, client: Client, people: dict[str, list[Person]], asked: argparse.Namespace
) -> float:
    """Before and while; the ratio of the two p99s."""
    before = await phase("before", client, people, asked.seconds, asked.per_second)
    nodes = system.cluster.shard("qa-1").nodes
    for node in nodes:
        await node.kill()
    dead = await phase("qa dead", client, people, asked.seconds, asked.per_second)
    for node in nodes:
        await node.start()

    async def back() -> bool:
        return bool((await client.call("GET", "/health")).json["status"] == "OK")

    await until(back, within_s=60)
    return dead / before


async def measure(asked: argparse.Namespace) -> None:
    """All rounds, and the median ratio."""
    async with running_system() as system:
        with tempfile.TemporaryDirectory() as folder:
            variables = {**system.variables, "LOG_LEVEL": "warning", "RATE_LIMITS": "off"}
            async with serving(Path(folder), variables) as program:
                client, phones = program.client, Phones()
                people = {
                    "qa": [await client.register(phones.qatar()) for _ in range(20)],
                    "sa": [await client.register(phones.saudi()) for _ in range(20)],
                }
                await phase("warm-up", client, people, 5, asked.per_second)
                ratios = [await one_round(system, client, people, asked) for _ in range(asked.rounds)]
    print(
        f"sa p99 with qa dead / before: {', '.join(f'{r:.2f}' for r in ratios)}; median {statistics.median(ratios):.2f}"
    )


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.isolation")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=float, default=60.0)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
