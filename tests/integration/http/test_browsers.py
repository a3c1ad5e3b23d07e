"""What browsers are told: cross-origin permission, security headers, and problems even for what is no HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.integration.http.asking import cookies_of, is_problem, log_in
from tests.system import SECRET, Client, Phones, System

APP, SIBLING = "https://app.qscrap.qa", "https://blog.qscrap.qa"
SESSION = "meridian_session"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-region"}


@pytest.fixture(scope="module")
async def open_to_app(system: System) -> AsyncIterator[Client]:
    async with system.gateway(CORS_ORIGINS=f"{APP}, http://localhost:5173") as client:
        yield client


async def test_a_listed_origins_preflight_is_answered(open_to_app: Client) -> None:
    for path in ("/me", "/auth/login", "/no/such/thing"):
        answer = await open_to_app.call("OPTIONS", path, headers=PREFLIGHT)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]


async def test_another_origins_preflight_is_what_it_is_without_cors(open_to_app: Client, gateway: Client) -> None:
    other = {**PREFLIGHT, "Origin": SIBLING}
    assert is_problem(await open_to_app.call("OPTIONS", "/me", headers=other), 405, "method_not_allowed")
    answer = await gateway.call("OPTIONS", "/me", headers=PREFLIGHT)
    assert is_problem(answer, 405, "method_not_allowed")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_answers_and_problems_can_be_read_by_a_listed_origin(open_to_app: Client, phones: Phones) -> None:
    person = await open_to_app.register(phones.qatar())
    good = await open_to_app.call("GET", "/me", user=person, headers={"Origin": APP})
    bad = await open_to_app.call("GET", "/me", headers={"Origin": APP})
    nowhere = await open_to_app.call("GET", "/no/such/thing", headers={"Origin": APP})
    for answer, status in ((good, 200), (bad, 401), (nowhere, 404)):
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Consistency-Token" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]


async def test_without_an_origin_caches_are_still_told(open_to_app: Client, gateway: Client) -> None:
    answer = await open_to_app.call("GET", "/api/openapi.json")
    assert answer.headers["Vary"] == "Accept-Encoding, Origin"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert (await gateway.call("GET", "/api/openapi.json")).headers["Vary"] == "Accept-Encoding"


CSRF: list[tuple[Mapping[str, str], int]] = [
    ({"Origin": APP, "Sec-Fetch-Site": "same-site"}, 200),
    ({"Origin": APP, "Sec-Fetch-Site": "cross-site"}, 200),
    ({"Origin": APP}, 200),
    ({"Origin": SIBLING, "Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": SIBLING, "Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"X-Requested-With": "fetch"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), CSRF)
async def test_once_origins_are_listed_a_cookie_changes_things_for_them_alone(
    open_to_app: Client, phones: Phones, headers: Mapping[str, str], status: int
) -> None:
    person = await open_to_app.register(phones.qatar())
    cookie = cookies_of(await log_in(open_to_app, person.phone, cookie=True))[SESSION].value
    answer = await open_to_app.call(
        "PATCH", "/me", json={"full_name": "New"}, headers={**headers, "Cookie": f"{SESSION}={cookie}"}
    )
    assert answer.status == status


async def test_any_origin_is_allowed_without_cookies(system: System) -> None:
    async with system.gateway(CORS_ORIGINS="*") as client:
        answer = await client.call("GET", "/route", headers={"Origin": "https://anybody.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_every_answer_of_the_api_is_no_page_no_frame_and_not_sniffed(gateway: Client, phones: Phones) -> None:
    person = await gateway.register(phones.qatar())
    for path in ("/me", "/no/such/thing", "/health", "/api/openapi.json"):
        answer = await gateway.call("GET", path, user=person)
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Server"] == "Meridian"
        assert "Strict-Transport-Security" not in answer.headers


async def test_the_docs_page_keeps_its_own_policy(gateway: Client) -> None:
    answer = await gateway.call("GET", "/api/docs")
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Server"] == "Meridian"


async def test_in_production_the_host_is_for_https_only(system: System) -> None:
    async with system.gateway(NODE_ENV="production", SESSION_SECRET=SECRET) as client:
        answer = await client.call("GET", "/health/live")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api/v1/route HTTP/9.9\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : a-secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a-secret" * 2000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_a_problem_that_repeats_none_of_it(gateway: Client, sent: bytes) -> None:
    assert gateway.runtime is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.runtime.settings.port)
    writer.write(sent)
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0], received
    for header in (b"application/problem+json", b"Server: Meridian", b"default-src 'none'"):
        assert header in head
    assert b'"code":"malformed"' in body
    assert b"a-secret" not in received


async def test_the_admin_port_is_for_no_other_origin(open_to_app: Client) -> None:
    assert open_to_app.runtime is not None
    admin = f"http://127.0.0.1:{open_to_app.runtime.settings.admin_port}/metrics"
    async with open_to_app.session.get(admin, headers={"Origin": APP}) as response:
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Server"] == "Meridian"
