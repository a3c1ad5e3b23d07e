"""What only the platform can show: each function is a scene, its name what it proves. Run inside Pyodide."""

import json
from dataclasses import replace
from time import time
from typing import Any

import entry  # type: ignore[import-not-found]
import host  # type: ignore[import-not-found]
import js  # type: ignore[import-not-found]

from edge.bounds import Bounds
from edge.messages import Request, joined
from edge.vouching import signature
from edge.worker.javascript import JavaScriptError, bytes_of, fields_of, options
from tests.edge.cache_contract import entry as cached
from tests.edge.pyodide.stage import CLIENT, GATEWAYS, SECRET, TOKEN, fetch, new_cache
from tests.edge.table import START, Answer

QA, SA = "https://qa.example", "https://sa.example"
FRESH = Answer(headers=(("Cache-Control", "public, max-age=600"), ("Cache-Groups", '"garage-1"')), body=b"one")
LATER = Answer(headers=FRESH.headers, body=b"two")
DONE = Answer(body=b"done")


def names() -> list[str]:
    """The scenes, in their order."""
    return [name for name, value in globals().items() if name.startswith(("a_", "the_", "an_")) and callable(value)]


async def get(path: str, *, country: str | None = "QA", **more: Any) -> tuple[int, bytes, str]:
    """Status, body and Cache-Status of a GET, after all that is done behind it."""
    answer, context = await fetch(Request("GET", path), country=country, **more)
    body = await bytes_of(answer)
    await context.settled()
    return answer.status, body, str(answer.headers.get("Cache-Status"))


async def purge(what: dict[str, object], token: str = TOKEN, **more: Any) -> tuple[int, Any]:
    """Status and JSON of a purge."""
    fields = (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"))
    answer, _ = await fetch(Request("POST", "/_edge/purge", fields, body=json.dumps(what).encode()), **more)
    return answer.status, json.loads(await bytes_of(answer))


async def the_country_and_the_client_are_signed_for_the_gateway() -> None:
    GATEWAYS.say(DONE)
    await get("/api/v1/r/a%2Fb?x=1", country="SA")
    assert GATEWAYS.places == [SA], GATEWAYS.places
    at = int(START)
    good = signature(SECRET.encode(), "SA", at, CLIENT, "/api/v1/r/a%2Fb")
    found = GATEWAYS.asked[0].field("Meridian-Country")
    assert found == f'SA; t={at}; for="{CLIENT}"; sig={good}', found


async def the_client_cannot_say_what_only_the_edge_may() -> None:
    GATEWAYS.say(DONE)
    lies = ("Meridian-Country", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "CF-IPCountry", "X-Real-IP", "Host")
    answer, _ = await fetch(Request("GET", "/lies", tuple((name, "evil.example") for name in lies)), country="SA")
    assert answer.status == 200
    assert GATEWAYS.places == [SA]
    headers = GATEWAYS.asked[0].headers
    assert not [value for _, value in headers if "evil" in value], headers
    assert joined(headers, "X-Forwarded-For") == CLIENT
    assert joined(headers, "CF-Ray") is None


async def a_request_from_nowhere_goes_to_the_default_region() -> None:
    for country in ("XX", "T1", None, "FR"):
        GATEWAYS.say(DONE)
        await get("/nowhere", country=country)
        assert GATEWAYS.places == [QA], (country, GATEWAYS.places)


async def an_explicit_region_chooses_its_gateway() -> None:
    GATEWAYS.say(DONE)
    await fetch(Request("GET", "/explicit", (("X-Region", "sa"),)))
    assert GATEWAYS.places == [SA], GATEWAYS.places


async def a_stand_in_of_the_residency_answers_while_the_own_gateway_is_away() -> None:
    GATEWAYS.say(DONE, away=frozenset({SA}))
    assert (await get("/away", country="SA"))[:2] == (200, b"done")
    assert GATEWAYS.places == [SA, QA], GATEWAYS.places


async def a_region_without_residency_has_no_stand_in() -> None:
    GATEWAYS.say(DONE, away=frozenset({QA}))
    assert (await get("/alone"))[0] == 502
    assert set(GATEWAYS.places) == {QA}, GATEWAYS.places


async def a_write_is_not_sent_to_a_second_gateway() -> None:
    GATEWAYS.say(DONE, away=frozenset({SA}))
    answer, _ = await fetch(Request("POST", "/write", body=b"x"), country="SA")
    assert (answer.status, GATEWAYS.places) == (502, [SA]), (answer.status, GATEWAYS.places)


async def a_platform_that_cannot_reach_the_gateway_is_a_gateway_that_is_away() -> None:
    GATEWAYS.say(Answer(522, body=b"error code: 522"), DONE)
    assert (await get("/cut", country="SA"))[:2] == (200, b"done")


async def a_refused_country_is_told_so_where_the_answer_depends_on_it() -> None:
    table = entry.TABLE
    entry.TABLE = replace(table, unlisted="refuse")
    try:
        GATEWAYS.say(DONE)
        status, body, _ = await get("/api/v1/reference/plans", country="FR")
        assert (status, json.loads(body)["code"]) == (421, "region_unavailable")
        assert (await get("/api/v1/route", country="FR"))[:2] == (200, b"done")
    finally:
        entry.TABLE = table


async def a_soft_purge_of_a_group_reaches_another_data_centre() -> None:
    GATEWAYS.say(FRESH, FRESH)
    elsewhere = {"EDGE_URL": "https://elsewhere.example"}
    await get("/group")
    await get("/group", **elsewhere)
    assert (await get("/group", **elsewhere))[1:] == (b"one", "meridian-test; hit; ttl=600")
    assert (await purge({"group": "garage-1"}))[0] == 200
    entry.MEMORY.clear()
    GATEWAYS.say(LATER)
    assert (await get("/group", **elsewhere))[1] == b"two"
    assert (await get("/group", **elsewhere))[1:] == (b"two", "meridian-test; hit; ttl=600")


async def a_softly_purged_answer_stands_in_while_the_gateway_is_away() -> None:
    GATEWAYS.say(FRESH)
    await get("/soft")
    await purge({"region": "qa"})
    GATEWAYS.say(away=frozenset({QA}))
    assert (await get("/soft"))[:2] == (200, b"one")


async def a_hard_purge_of_a_url_forgets_it_everywhere() -> None:
    GATEWAYS.say(FRESH, FRESH)
    elsewhere = {"EDGE_URL": "https://elsewhere.example"}
    await get("/hard?a=1")
    await get("/hard?a=1", **elsewhere)
    status, said = await purge({"url": "/hard?a=1", "hard": True})
    assert (status, said["purged"]) == (200, 1), said
    entry.MEMORY.clear()
    GATEWAYS.say(away=frozenset({QA}))
    assert (await get("/hard?a=1"))[0] == 502
    assert (await get("/hard?a=1", **elsewhere))[0] == 502


async def a_purge_needs_the_token() -> None:
    assert (await purge({"group": "x"}, token="wrong"))[0] == 401
    assert (await purge({"group": "x"}, EDGE_PURGE_TOKEN=""))[0] == 404
    assert (await purge({}))[0] == 422


async def a_purge_that_cannot_be_noted_is_not_said_to_be_done_and_answers_go_on() -> None:
    assert (await purge({"group": "x"}, PURGES=host.broken))[0] == 503
    GATEWAYS.say(FRESH)
    assert (await get("/kv", PURGES=host.broken))[1] == b"one"
    assert (await get("/kv", PURGES=host.broken))[1:] == (b"one", "meridian-test; hit; ttl=600")


async def the_answers_go_on_while_the_cache_is_away() -> None:
    caches, js.caches = js.caches, options(default=host.broken)
    try:
        GATEWAYS.say(FRESH, LATER, DONE)
        assert (await get("/uncached"))[1] == b"one"
        assert (await get("/uncached"))[1] == b"two"
        answer, _ = await fetch(Request("POST", "/uncached", body=b"x"))
        assert answer.status == 200
    finally:
        js.caches = caches


async def a_large_answer_flows_through_and_is_not_held() -> None:
    pieces, piece_bytes = 160, 64 * 1024
    flood = host.flood(pieces, piece_bytes, False)
    GATEWAYS.say(FRESH, body=flood.stream)
    answer, context = await fetch(Request("GET", "/large"))
    held = flood.sent() * piece_bytes
    assert held <= Bounds().object_bytes + 4 * piece_bytes, f"{held} bytes were taken before anyone read"
    assert len(await bytes_of(answer)) == pieces * piece_bytes
    await context.settled()
    assert "stored" not in str(answer.headers.get("Cache-Status"))


async def a_large_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    GATEWAYS.say(FRESH, body=host.flood(160, 64 * 1024, True).stream)
    answer, context = await fetch(Request("GET", "/broken"))
    try:
        await bytes_of(answer)
    except JavaScriptError:
        await context.settled()
        return
    raise AssertionError("the client saw a whole answer")


async def a_small_answer_that_breaks_off_is_a_failed_gateway() -> None:
    GATEWAYS.say(FRESH, body=host.flood(2, 100, True).stream)
    assert (await get("/cut-small"))[0] == 502


async def an_upload_flows_to_the_gateway() -> None:
    GATEWAYS.say(Answer(201))
    upload = host.flood(50, 64 * 1024, False).stream
    answer, context = await fetch(Request("POST", "/uploads"), body=upload)
    await context.settled()
    assert answer.status == 201
    assert len(GATEWAYS.asked[0].body) == 50 * 64 * 1024


async def a_cookie_for_each_name_arrives_as_it_was_sent() -> None:
    cookies = (("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"), ("Set-Cookie", "b=2"))
    GATEWAYS.say(Answer(headers=cookies))
    answer, _ = await fetch(Request("GET", "/cookies"))
    found = [value for name, value in fields_of(answer.headers) if name == "set-cookie"]
    assert found == [value for _, value in cookies], found


async def the_keys_of_paths_that_a_url_would_fold_are_apart() -> None:
    store, one = new_cache(), cached(b"one")
    keys = ("/a/../b", "/b", "/a/%2e%2e/b", "/b?", "//b")
    await store.put(keys[0], one)
    assert [len(await store.get(key)) for key in keys] == [1, 0, 0, 0, 0]


async def a_write_forgets_its_url_here_and_the_groups_it_names_everywhere() -> None:
    elsewhere = {"EDGE_URL": "https://elsewhere.example"}
    GATEWAYS.say(FRESH, FRESH)
    await get("/written")
    await get("/written", **elsewhere)
    GATEWAYS.say(Answer(headers=(("Cache-Group-Invalidation", '"garage-1"'),)), LATER, LATER)
    _, context = await fetch(Request("POST", "/written", body=b"x"))
    await context.settled()
    entry.MEMORY.clear()
    assert (await get("/written"))[1] == b"two"
    assert (await get("/written", **elsewhere))[1] == b"two"


async def the_last_scene_a_real_gateway_believes_what_the_worker_signs() -> None:
    everywhere = {name: replace(facts, gateway=host.gateway) for name, facts in entry.TABLE.regions.items()}
    entry.TABLE = replace(entry.TABLE, regions=everywhere)
    entry.gateways.cache_clear()
    host.reach()
    GATEWAYS.say(now=time())
    found = json.loads((await get("/api/v1/route?", country="SA"))[1])
    assert (found["region"], found["by"]) == ("sa", "country"), found
    assert found["seen"][0]["note"] == "decided; signed by the edge", found
    GATEWAYS.say(now=time() - 3600)
    found = json.loads((await get("/api/v1/route", country="SA"))[1])
    assert found["by"] == "default", found
    GATEWAYS.say(now=time())
    status, body, told = await get("/api/v1/reference/plans", country="SA")
    assert (status, told) == (200, "meridian-test; fwd=uri-miss; fwd-status=200; stored"), (status, told)
    assert json.loads(body)["region"] == "sa", body
    again = (await get("/api/v1/reference/plans", country="SA"))[2]
    assert again.startswith("meridian-test; hit; ttl="), again
    elsewhere = (await get("/api/v1/reference/plans", country="QA"))[2]
    assert elsewhere.startswith("meridian-test; fwd=vary-miss"), elsewhere
