"""The common rules of every call: request ids, problems, ETags, HEAD, and how recent an answer is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.limits import REQUEST_BODY_BYTES_MAX
from edge.reference import KINDS, PREFIX
from gateway.marketplace import SERVICE
from tests.integration.http.asking import REQUEST, VEHICLE, Json, is_problem, made, shard_of
from tests.system import Answer, Client, Person, Phones, System


@pytest.fixture
async def somebody(gateway: Client, phones: Phones) -> Person:
    """A customer, wherever they may be."""
    return await gateway.register(phones.saudi())


@pytest.mark.parametrize("id", ["a", "01J-abc_DEF.ghi:jkl+mno=/@", "x" * 128])
async def test_a_good_request_id_is_kept(gateway: Client, id: str) -> None:
    for path in ("/route", "/nowhere", "/health"):
        assert (await gateway.call("GET", path, headers={"X-Request-Id": id})).headers["X-Request-Id"] == id


@pytest.mark.parametrize("id", ["", "x" * 129, "two words", "é", 'a"b', "<script>"])
async def test_another_request_id_is_replaced(gateway: Client, id: str) -> None:
    first, second = [await gateway.call("GET", "/route", headers={"X-Request-Id": id}) for _ in range(2)]
    made_up = {first.headers["X-Request-Id"], second.headers["X-Request-Id"]}
    assert len(made_up) == 2
    assert all(len(each) == 32 for each in made_up)


async def test_nothing_at_a_path_is_a_problem(gateway: Client, somebody: Person) -> None:
    for path in ("/nowhere", "/api/v1", "/requests/", "/requests/a/b", "/%2e%2e/etc/passwd", "/requests/%FF%00/x"):
        is_problem(await gateway.call("GET", path, user=somebody), 404, "not_found")


async def test_a_method_that_is_not_there_names_those_that_are(gateway: Client) -> None:
    answer = await gateway.call("PUT", "/requests")
    is_problem(answer, 405, "method_not_allowed")
    assert {method.strip() for method in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}
    is_problem(await gateway.call("POST", "/health"), 405, "method_not_allowed")
    is_problem(await gateway.call("GET", "/auth/login"), 405, "method_not_allowed")


BODIES: list[tuple[Any, str, int, str]] = [
    (b"{", "application/json", 400, "malformed"),
    (b"", "application/json", 400, "malformed"),
    (b'{"car_make": "\xff"}', "application/json", 400, "malformed"),
    (b"[" * 100_000, "application/json", 400, "malformed"),
    (b" " * (REQUEST_BODY_BYTES_MAX + 1), "application/json", 413, "too_large"),
    (b"{}", "text/plain", 415, "unsupported_media"),
    (b"car_make=a", "application/x-www-form-urlencoded", 415, "unsupported_media"),
]


@pytest.mark.parametrize(("body", "kind", "status", "code"), BODIES, ids=lambda value: str(value)[:20])
async def test_a_body_that_cannot_be_read_is_a_problem(
    gateway: Client, somebody: Person, body: bytes, kind: str, status: int, code: str
) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:1]
        yield body[1:]

    for data in (body, in_chunks()):
        answer = await gateway.call("POST", "/requests", user=somebody, data=data, headers={"Content-Type": kind})
        is_problem(answer, status, code)


async def test_a_misspelt_field_is_never_silently_lost(gateway: Client, somebody: Person) -> None:
    answer = await gateway.call("POST", "/requests", user=somebody, json={**REQUEST, "part_nubmer": "1"})
    is_problem(answer, 422, "invalid", "part_nubmer")


async def test_a_fault_of_ours_is_a_problem_that_tells_nothing(
    gateway: Client, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(password: str) -> str:
        raise RuntimeError(f"the secret inside: {password}")

    assert gateway.runtime is not None
    monkeypatch.setattr(gateway.runtime.passwords, "hash", broken)
    body = {"full_name": "A", "phone_number": phones.qatar(), "password": "a-good-password", "role": "customer"}
    answer = await gateway.call("POST", "/auth/register", json=body)
    is_problem(answer, 500, "internal")
    assert "secret" not in answer.body.decode()


async def test_private_answers_are_never_cached_and_carry_no_cookie(gateway: Client, somebody: Person) -> None:
    created = await gateway.call("POST", "/vehicles", user=somebody, json=VEHICLE)
    answers = [created, *[await gateway.call("GET", p, user=somebody) for p in ("/me", "/vehicles", "/route")]]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"private, no-store"}
    problem = await gateway.call("GET", "/nowhere")
    assert problem.headers["Cache-Control"] == "no-store"
    assert not [answer for answer in (*answers, problem) if "Set-Cookie" in answer.headers]


async def test_an_etag_spares_who_has_it_already(gateway: Client, customer: Person) -> None:
    path = f"/vehicles/{(await made(gateway, customer, '/vehicles', VEHICLE))['id']}"
    first = await gateway.call("GET", path, user=customer)
    etag = first.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = await gateway.call("GET", path, user=customer, headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    await gateway.call("PATCH", path, user=customer, json={"year": 2021})
    changed = await gateway.call("GET", path, user=customer, headers={"If-None-Match": etag})
    assert (changed.status, changed.json["year"], changed.headers["ETag"] != etag) == (200, 2021, True)


async def test_head_answers_as_get_without_the_body(gateway: Client, customer: Person) -> None:
    path = f"/vehicles/{(await made(gateway, customer, '/vehicles', VEHICLE))['id']}"
    for asked, user in ((path, customer), ("/vehicles", customer), ("/route", None), ("/health/live", None)):
        got, headed = [await gateway.call(method, asked, user=user) for method in ("GET", "HEAD")]
        assert (headed.status, headed.body) == (got.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
            assert headed.headers.get(name) == got.headers.get(name), name
    assert (await gateway.call("HEAD", "/me")).status == 401


async def test_times_are_rfc_3339_in_utc(gateway: Client, customer: Person) -> None:
    created = await made(gateway, customer, "/requests", REQUEST)
    me = (await gateway.call("GET", "/me", user=customer)).json
    for time in (created["created_at"], created["expires_at"], me["created_at"]):
        assert time.endswith("Z"), time


async def renamed(client: Client, person: Person, name: str) -> Answer:
    answer = await client.call("PATCH", "/me", user=person, json={"full_name": name})
    assert answer.status == 200, answer
    return answer


async def test_who_sends_the_token_back_always_sees_their_own_write(
    gateway: Client, other_gateway: Client, customer: Person
) -> None:
    for n in range(15):
        written = await renamed(gateway, customer, f"Name {n}")
        token = written.headers["Consistency-Token"]
        reads = (
            client.call("GET", "/me", user=customer, headers={"Consistency-Token": token})
            for client in (gateway, other_gateway)
        )
        assert [answer.json["full_name"] for answer in await asyncio.gather(*reads)] == [f"Name {n}"] * 2


async def test_who_asks_for_strong_reads_the_primary_and_for_eventual_a_replica(
    gateway: Client, system: System, customer: Person
) -> None:
    shard = shard_of(gateway, customer)
    await renamed(gateway, customer, "New")
    for asked, role in (("strong", "primary"), ("eventual", "replica")):
        await system.replicated(shard)
        answer = await gateway.call("GET", "/me", user=customer, headers={"Consistency": asked})
        assert answer.headers["Meridian-Route"].startswith(f"{shard}/{role};")
        assert answer.json["full_name"] == "New"


async def test_an_operation_that_must_be_strong_is_never_weaker(gateway: Client, customer: Person) -> None:
    for asked in ("eventual", "session", "strong"):
        answer = await gateway.call("GET", "/auth/session", user=customer, headers={"Consistency": asked})
        assert "/primary;" in answer.headers["Meridian-Route"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Consistency": "quick"},
        {"Consistency": "Strong"},
        {"Consistency-Token": "nonsense"},
        {"Consistency-Token": "a.b.c"},
        {"Consistency-Token": "é"},
        {"Consistency-Token": "x" * 3000},
    ],
)
async def test_what_is_no_consistency_is_malformed(gateway: Client, somebody: Person, headers: Json) -> None:
    is_problem(await gateway.call("GET", "/me", user=somebody, headers=headers), 400, "malformed")


async def test_a_token_of_another_hand_is_malformed(gateway: Client, somebody: Person) -> None:
    body, _, mac = somebody.token.partition(".")
    forged = f"{body[:-2]}AA.{mac}"
    answer = await gateway.call("GET", "/me", user=somebody, headers={"Consistency-Token": forged})
    is_problem(answer, 400, "malformed")


async def test_the_api_document_names_every_operation_and_nothing_else(gateway: Client) -> None:
    document = (await gateway.call("GET", "/api/openapi.json")).json
    declared = {(operation.method.lower(), operation.path) for operation in SERVICE.api.operations}
    declared |= {("get", path) for path in (PREFIX, *(f"{PREFIX}/{kind.name}" for kind in KINDS))}
    documented = {
        (method, path) for path, calls in document["paths"].items() for method in calls if path.startswith("/api/v1")
    }
    assert (document["openapi"][:3], documented) == ("3.1", declared)
