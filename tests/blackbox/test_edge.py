"""`meridian edge` as an operator runs it: several processes that are one cache, purges, faults and its end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from gateway.edge.asking import purge_all
from tests.blackbox.edge import TOKEN, EdgeProgram, Shop, edge_program, is_gone, refuses
from tests.blackbox.process import command
from tests.edge.wire import Closed, connected, origin_on_http
from tests.system import until

CLIENTS = 24  # each with a connection of its own: that all fall to one worker of two has a chance of 1 in 8 million


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
async def edge(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeProgram]:
    """Two workers in front of the shop."""
    async with origin_on_http(shop.answer) as port:
        arguments = ("--origin", f"http://127.0.0.1:{port}")
        async with edge_program(tmp_path_factory.mktemp("edge"), *arguments, workers=2) as program:
            yield program


async def answers(edge: EdgeProgram, path: str) -> set[tuple[int, bytes]]:
    """What many clients get, one after another."""
    found = [await edge.get(path) for _ in range(CLIENTS)]
    return {(response.status, response.body) for response in found}


async def test_two_workers_are_one_cache(edge: EdgeProgram, shop: Shop) -> None:
    assert await answers(edge, "/one") == {(200, b"/one 0")}
    assert shop.asked["GET /one"] == 1
    each = (await edge.health())["workers"]["each"]
    assert [bool(worker["counts"]["hit"] and worker["entries"]) for worker in each] == [True, True]


async def test_a_change_through_any_worker_is_seen_through_all(edge: EdgeProgram, shop: Shop) -> None:
    for version in range(6):
        assert await answers(edge, "/changing") == {(200, f"/changing {version}".encode())}
        assert (await edge.get("/changing", "POST")).status == 204
    assert shop.asked["GET /changing"] == 6


async def test_a_purge_by_the_command_line_reaches_all_workers_and_says_so(edge: EdgeProgram, shop: Shop) -> None:
    assert await answers(edge, "/purged") == {(200, b"/purged 0")}
    shop.versions["/purged"] = 9
    what = ("edge", "purge", "--url", edge.base, "--path", "/purged")
    status, said = await command(*what, variables={"EDGE_PURGE_TOKEN": TOKEN}, folder=Path.cwd())
    assert (status, said) == (0, f"{edge.base}: purged 1\n")
    assert await answers(edge, "/purged") == {(200, b"/purged 9")}
    assert '"kind":"url"' in edge.said()
    assert TOKEN not in edge.said()


async def test_its_log_says_once_what_serves_and_every_line_of_a_worker_names_it(edge: EdgeProgram) -> None:
    [purged] = await purge_all([edge.base], {"group": "nobody-has-it"}, TOKEN)
    assert purged.count == 0
    [refused] = await purge_all([edge.base], {"url": "/purged"}, "another")
    assert (refused.count, refused.reason[:3]) == (None, "401")
    lines = [orjson.loads(line) for line in edge.said().splitlines()]
    [serving] = [line for line in lines if line["event"] == "serving"]
    assert "worker" not in serving
    assert serving["url"] == edge.base
    assert serving["origin"].startswith("127.0.0.1:")
    assert [serving[name] for name in ("purges", "server", "reference", "workers")] == ["on", "http1", None, 2]
    said = {line["event"] for line in lines if "worker" in line}
    assert said >= {"worker_serving", "purged", "purge_refused"}
    assert {line["event"] for line in lines if "worker" not in line} == {"serving"}
    metrics = (await edge.get("/_edge/metrics")).body.decode().splitlines()
    assert {"meridian_edge_origin_up 1", "meridian_edge_workers_answering 2"} <= set(metrics)
    counts = [line for line in metrics if line.startswith("meridian_edge_purges_refused_total")]
    assert sum(int(line.rpartition(" ")[2]) for line in counts) >= 1
    assert 'meridian_edge_evicted_total{worker="1"} 0' in metrics


async def test_a_purge_that_an_edge_does_not_understand_is_explained_in_the_words_of_the_command(
    edge: EdgeProgram,
) -> None:
    [refused] = await purge_all([edge.base], {"url": "purged"}, TOKEN)
    assert refused.reason == "422: --path: must be a path, with its query if it has one"


async def test_a_worker_killed_with_9_is_replaced_and_the_other_goes_on(edge: EdgeProgram, shop: Shop) -> None:
    await edge.get("/kept")
    killed, other = edge.workers()
    os.kill(killed, signal.SIGKILL)

    async def is_replaced() -> bool:
        try:
            health = await edge.health()
        except (Closed, OSError):
            return False  # it stood in the queue of the one that was killed
        return killed not in edge.workers() and health["workers"]["answering"] == 2

    await until(is_replaced, within_s=15, what="there are two workers again")
    assert other in edge.workers()
    assert await answers(edge, "/kept") == {(200, b"/kept 0")}
    assert "worker_died" in edge.said()


async def test_metrics_are_for_those_inside(edge: EdgeProgram) -> None:
    async def are_of_all_workers() -> bool:
        await edge.get("/one")
        lines = (await edge.get("/_edge/metrics")).body.decode().splitlines()
        hits = [int(line.rpartition(" ")[2]) for line in lines if 'outcome="hit"' in line]
        return len(hits) == 2 and sum(hits) > 0

    await until(are_of_all_workers)
    assert (await edge.get("/_edge/metrics", **{"X-Forwarded-For": "203.0.113.9"})).status == 404


async def test_with_the_origin_away_it_serves_what_it_has_and_says_so(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with origin_on_http(Shop().answer) as port:
            program = edge_program(tmp_path, "--origin", f"http://127.0.0.1:{port}")
            edge = await stack.enter_async_context(program)
            await edge.get("/kept")
            assert (await edge.health())["status"] == "OK"
        await edge.get("/kept", "POST")  # fails: it is not known what it changed, and nothing is forgotten
        assert (await edge.get("/kept")).body == b"/kept 0"
        assert (await edge.get("/other")).status == 502
        health = await edge.health()
        assert (health["status"], health["origin"]["connected"]) == ("DEGRADED", False)
        assert str(port) not in str(health["origin"]), "no address"
        assert edge.said().count("origin_down") == 1


async def test_it_ends_with_its_requests_and_its_workers_with_it(tmp_path: Path) -> None:
    shop = Shop()
    async with origin_on_http(shop.answer) as port:
        async with edge_program(tmp_path, "--origin", f"http://127.0.0.1:{port}", workers=2) as edge:
            again = ("edge", "--origin", "http://127.0.0.1:1", "--host", "127.0.0.1", "--port", str(edge.port))
            status, said = await command(*again, variables={}, folder=tmp_path)
            assert status == 1
            assert f"{edge.port}" in said
            assert "--port" in said
            assert "Traceback" not in said
            assert (await edge.health())["workers"]["answering"] == 2
            async with connected(edge.port) as wire:
                await wire.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
                await until(lambda: _was_asked(shop, "GET /slow"))
                stopping = asyncio.create_task(edge.stop())
                await until(lambda: refuses(edge.port))
                shop.go.set()
                assert (await wire.answer()).body == b"/slow 0"
            assert await stopping == 0, edge.said()
            assert "peer_silent" not in edge.said()
        async with edge_program(tmp_path, "--origin", f"http://127.0.0.1:{port}", workers=2) as edge:
            workers = edge.workers()
            assert len(workers) == 2
            await edge.stop(signal.SIGKILL)
            await until(lambda: _are_gone(workers), what="killed with 9, its workers end by themselves")


async def _was_asked(shop: Shop, what: str) -> bool:
    return shop.asked[what] > 0


async def _are_gone(pids: list[int]) -> bool:
    return all(is_gone(pid) for pid in pids)


async def test_without_an_origin_it_answers_reference_data(tmp_path: Path) -> None:
    async with edge_program(tmp_path) as edge:
        response = await edge.get("/api/v1/reference/areas", **{"X-Region": "sa"})
        assert response.status == 200
        assert orjson.loads(response.body)
        assert "detail=shipped" in (response.field("Cache-Status") or "")
        assert (await edge.get("/api/v1/requests")).status == 502
        health = await edge.health()
        assert (health["status"], health["name"], health["region"]) == ("DEGRADED", "meridian-qa", "qa")
        assert health["origin"] == {"connected": False, "since": None, "reason": "none is set"}
        assert "meridian_edge_origin_up 0" in (await edge.get("/_edge/metrics")).body.decode()
        [warning] = [orjson.loads(line) for line in edge.said().splitlines() if '"no_origin"' in line]
        assert "EDGE_ORIGIN" in warning["remedy"]
        assert "region qa" in warning["remedy"]
