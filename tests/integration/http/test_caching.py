"""What caches are told, of every route that there is: the table below is the promise, whatever the code says.

A route that is not in it fails the test. In production a CDN may be put before the gateway with no other setting.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Final

import pytest
from aiohttp import web

from core.ids import Placement, make_id
from core.shard_map import Address
from edge.prepared import fingerprint_of
from gateway.routes import add_public
from tests.integration.http.asking import is_problem, new_person
from tests.integration.http.authority import AUTHORITY
from tests.integration.http.stage import Stage
from tests.integration.http.test_authorization import NOTHING, OPERATIONS, ask
from tests.integration.http.trade import accepted, at_status, done, post
from tests.servers.purged_edge import TOKEN, PurgedEdge
from tests.system import Answer, Client, Person, Phones, System, free_port, until

APP: Final = "https://app.qscrap.qa"
SCRIPT: Final = b"console.log('Doha');\n" * 50
NOTHING_AT_ALL: Final = "no-store"
PERSONAL: Final = "private, no-store"
SHORT: Final = "max-age=60, must-revalidate"
YEAR: Final = "max-age=31536000, immutable"
MISSING: Final = "max-age=10"
LIST: Final = "max-age=30, stale-while-revalidate=30, stale-if-error=86400"
EDGE_LIST: Final = "public, max-age=300, stale-while-revalidate=30, stale-if-error=86400"
DOCUMENT: Final = "max-age=60, stale-while-revalidate=60, stale-if-error=86400"
REFERENCE: Final = "max-age=60, stale-while-revalidate=600, stale-if-error=86400"
OF_OPERATIONS: Final[Mapping[str, str]] = {"uploads_content": "private, no-cache", "reviews_of_garage": LIST}
"""The operations whose answers are not just for the one who asked, now."""
OF_THE_CALLER: Final = ("X-Request-Id", "RateLimit", "RateLimit-Policy", "Meridian-Route", "Set-Cookie")

Asked = tuple[str, Mapping[str, str], int, str]
QATAR: Final = {"X-Region": "qa"}
OTHERS: Final[Mapping[str, list[Asked]]] = {
    "/health": [("/health", {}, 200, NOTHING_AT_ALL)],
    "/health/live": [("/health/live", {}, 200, NOTHING_AT_ALL)],
    "/health/ready": [("/health/ready", {}, 200, NOTHING_AT_ALL)],
    "/health/regions/{region}": [
        ("/health/regions/qa", {}, 200, NOTHING_AT_ALL),
        ("/health/regions/xx", {}, 404, NOTHING_AT_ALL),
    ],
    "/api/openapi.json": [("/api/openapi.json", {}, 200, DOCUMENT)],
    "/.well-known/jwks.json": [
        ("/.well-known/jwks.json", {}, 200, "max-age=300, stale-while-revalidate=60, stale-if-error=3600")
    ],
    "/api/docs": [("/api/docs", {}, 200, SHORT)],
    "/api/docs/{file}": [
        ("/api/docs/init.js", {}, 200, SHORT),
        ("/api/docs/init.js?v=0123456789abcdef", {}, 200, SHORT),
        ("/api/docs/none.js", {}, 404, MISSING),
    ],
    "/api/v1/reference": [("/api/v1/reference", QATAR, 200, REFERENCE)],
    **{
        f"/api/v1/reference/{name}": [(f"/api/v1/reference/{name}", QATAR, 200, REFERENCE)]
        for name in ("makes", "categories", "plans", "delivery-zones", "statuses")
    },
    "/api/v1/reference/areas": [
        ("/api/v1/reference/areas", QATAR, 200, REFERENCE),
        ("/api/v1/reference/areas", {}, 200, f"private, {REFERENCE}"),
        ("/api/v1/reference/areas", {"X-Region": "nowhere"}, 400, NOTHING_AT_ALL),
    ],
    "/api/v1/reference/{set}": [("/api/v1/reference/none", QATAR, 404, NOTHING_AT_ALL)],
    "/{file}": [
        ("/", {}, 200, SHORT),
        ("/app.js", {}, 200, SHORT),
        (f"/app.js?v={fingerprint_of(SCRIPT)}", {}, 200, YEAR),
        (f"/app.{fingerprint_of(SCRIPT)}.js", {}, 200, YEAR),
        ("/app.0123456789abcdef.js", {}, 404, MISSING),
        ("/api", {}, 404, NOTHING_AT_ALL),
        ("/api/v1/nothing", {}, 404, NOTHING_AT_ALL),
        ("/health/nothing", {}, 404, NOTHING_AT_ALL),
        ("/.well-known/nothing", {}, 404, NOTHING_AT_ALL),
    ],
}
"""Route -> what is asked of it, with which headers, and the status and Cache-Control that it is answered with."""
ASKED: Final = [(route, *asked) for route, all_asked in OTHERS.items() for asked in all_asked]


@pytest.fixture(scope="module")
async def edge() -> AsyncIterator[PurgedEdge]:
    """An edge that is told of changes."""
    edge = PurgedEdge()
    await edge.start()
    try:
        yield edge
    finally:
        await edge.stop()


@pytest.fixture(scope="module")
async def production(
    system: System, edge: PurgedEdge, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """A gateway as in production, with all that answers something."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "app.js").write_bytes(SCRIPT)
    (folder / "index.html").write_text("<!doctype html><title>QScrap</title>")
    async with system.gateway(
        NODE_ENV="production",
        CORS_ORIGINS=APP,
        RATE_LIMITS="on",
        ASSETS_FOLDER=str(folder),
        EDGE_URLS=edge.url,
        EDGE_PURGE_TOKEN=TOKEN,
    ) as client:

        async def up() -> bool:
            return (await client.call("GET", "/health")).status == 200

        await until(up, what="every database is seen")
        yield client


@pytest.fixture(scope="module")
async def here(stage: Stage, production: Client) -> Stage:
    """The people of the stage, at the gateway of production."""
    return replace(stage, client=production)


async def got(client: Client, path: str, method: str = "GET", **headers: str) -> Answer:
    """A request for a path as it is, also outside of the API."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.session.request(method, path, headers=sent, allow_redirects=False) as response:
        return await Answer.of(response)


def is_shared(control: str) -> bool:
    """Whether an answer with this Cache-Control may be handed to others."""
    return "private" not in control and "no-store" not in control


def fits(answer: Answer, control: str, *, authorized: bool = False) -> None:
    """The answer says this of caches, and carries no more than may be kept under it.

    Asked with Authorization (`authorized`) it must say `public`, or no cache may share it (RFC 9111, 3.5).
    """
    assert answer.headers["Cache-Control"] == (f"public, {control}" if authorized and is_shared(control) else control)
    assert len(answer.headers.getall("Cache-Control")) == 1  # type: ignore[attr-defined]  # a mapping of more values
    if not is_shared(control):
        assert "Meridian-CDN-Cache-Control" not in answer.headers
        return
    assert [name for name in OF_THE_CALLER if name in answer.headers] == []
    varies = [name.strip() for name in answer.headers["Vary"].split(",")]
    assert "Origin" in varies, "the permission for another origin's page is in it"
    assert len(set(varies)) == len(varies)


def routes(client: Client) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the public listener."""
    assert client.runtime is not None
    app = web.Application()
    add_public(app, client.runtime)
    for route in app.router.routes():
        assert route.resource is not None
        yield route.method, route.resource.canonical


def test_of_every_route_it_is_said_what_caches_may_do(production: Client) -> None:
    operations = {(operation.method, operation.path) for operation in OPERATIONS.values()}
    others = {(method, path) for path in OTHERS for method in ("GET", "HEAD")}
    heads = {("HEAD", path) for method, path in operations if method == "GET"}
    assert set(routes(production)) == operations | heads | others


@pytest.mark.parametrize(("route", "path", "headers", "status", "control"), ASKED, ids=lambda value: str(value))
async def test_what_is_no_operation_is_kept_as_it_says(
    production: Client, route: str, path: str, headers: Mapping[str, str], status: int, control: str
) -> None:
    for method in ("GET", "HEAD"):
        answer = await got(production, path, method, **headers)
        assert answer.status == status, answer
        fits(answer, control)
        if (tag := answer.headers.get("ETag")) and status == 200:
            same = await got(production, path, method, If_None_Match=tag, **headers)
            assert (same.status, same.body) == (304, b"")
            fits(same, control)
            assert same.headers["Vary"] == answer.headers["Vary"]


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"auth_register", "auth_log_in", "auth_refresh"}))
async def test_an_operation_is_kept_by_nobody_unless_it_is_said(here: Stage, name: str) -> None:
    operation, rule = OPERATIONS[name], AUTHORITY[name]
    control = OF_OPERATIONS.get(name, PERSONAL)
    if not (rule.public or rule.alone or name in ("webhooks_payments",)):
        thing = await here.thing(rule.thing) if rule.thing else ""
        answer = await ask(here, name, here.who(rule.may[0]), rule.may[0], thing)
        assert answer.status < 300, answer
        fits(answer, control, authorized=True)
    refused = await ask(here, name, None, rule.may[0], NOTHING[-1] if operation.public else NOTHING[0])
    if refused.status >= 400:
        fits(refused, NOTHING_AT_ALL)
    odd = await ask(here, name, None, rule.may[0], NOTHING[0], Authorization="Bearer nonsense")
    is_problem(odd, 401, "unauthenticated")
    fits(odd, NOTHING_AT_ALL)


async def test_a_table_is_kept_by_nobody(here: Stage) -> None:
    query = {"from": "2026-11-01", "to": "2026-11-24", "format": "csv"}
    answer = await here.client.call("GET", "/reports/orders", user=here.who("staff"), params=query)
    assert answer.headers["Content-Type"].startswith("text/csv")
    fits(answer, PERSONAL)


async def test_what_no_route_answers_is_kept_by_nobody(production: Client) -> None:
    preflight = {"Origin": APP, "Access-Control-Request-Method": "PATCH"}
    for path in ("/api/v1/me", "/api/v1/reference/makes", "/app.js", "/no/such/thing"):
        fits(await got(production, path, "OPTIONS", **preflight), NOTHING_AT_ALL)
        fits(await got(production, path, "PUT"), NOTHING_AT_ALL)


async def test_the_admin_port_is_kept_by_nobody(production: Client) -> None:
    assert production.runtime is not None
    port = production.runtime.settings.admin_port
    for path in ("/metrics", "/map", "/health", "/nothing"):
        async with production.session.get(f"http://127.0.0.1:{port}{path}") as response:
            fits(await Answer.of(response), NOTHING_AT_ALL)


SHARED: Final = sorted({(path, tuple(headers.items())) for _, path, headers, _, control in ASKED if is_shared(control)})


def kept_of(answer: Answer) -> Mapping[str, str]:
    """What a cache keeps and hands on, but for what is another each time it is asked for."""
    kept = {name: value for name, value in answer.headers.items() if name not in ("Date", "Consistency-Token")}
    return {**kept, "Cache-Control": kept["Cache-Control"].removeprefix("public, ")}


async def test_what_is_shared_is_the_same_whoever_asks(here: Stage) -> None:
    customer = here.who("customer")
    paths = [*SHARED, (f"/api/v1/garages/{here.who('garage').id}/reviews", ())]
    for path, headers in paths:
        first = await got(here.client, path, **dict(headers))
        for more in (
            {"Authorization": f"Bearer {customer.access_token}"},
            {"X-Request-Id": "mine", "User-Agent": "mine", "Accept-Charset": "x", "CF-IPCountry": "SA"},
            {"Cookie": "meridian_session=mine; meridian_consistency=mine", "Referer": "https://mine.example/"},
            {"X-Request-Timeout": "5", "Idempotency-Key": "mine", "Origin": "https://other.example"},
        ):
            other = await got(here.client, path, **dict(headers), **more)
            assert (other.status, other.body) == (first.status, first.body), path
            assert kept_of(other) == kept_of(first), path
            assert other.headers["Cache-Control"].startswith("public, ") is ("Authorization" in more)


async def test_a_shared_list_says_what_it_is_of_and_is_not_sent_twice(here: Stage) -> None:
    garage = here.who("garage")
    path = f"/garages/{garage.id}/reviews"
    first = await here.client.call("GET", path)
    fits(first, LIST)
    assert first.headers["Meridian-CDN-Cache-Control"] == EDGE_LIST
    assert first.headers["Cache-Groups"] == f'"garage-{garage.id}"'
    assert first.headers["Vary"] == "Consistency, Origin"
    again = await here.client.call("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    for name in ("Cache-Control", "Meridian-CDN-Cache-Control", "Cache-Groups", "Vary", "ETag"):
        assert again.headers[name] == first.headers[name]


async def test_a_shared_list_shows_what_it_shows_and_not_what_its_caller_has_seen(
    here: Stage, production: Client, phones: Phones
) -> None:
    garage, near = here.who("garage"), await new_person(production, phones, "qa-1")
    path = f"/garages/{garage.id}/reviews"
    answer = await production.call("GET", path, headers={"Consistency-Token": near.token})
    fits(answer, LIST)
    assert production.runtime is not None
    (shown,) = production.runtime.tokens.parse(answer.headers["Consistency-Token"]).entries
    (seen,) = production.runtime.tokens.parse(near.token).entries
    assert shown.shard == "qa-1"
    assert (shown.timeline, shown.lsn) >= (seen.timeline, seen.lsn)

    far = await new_person(production, phones, "sa-1")
    unlike = await production.call("GET", path, headers={"Consistency-Token": far.token})
    fits(unlike, PERSONAL)
    kept = {entry.shard for entry in production.runtime.tokens.parse(unlike.headers["Consistency-Token"]).entries}
    assert kept == {"qa-1", "sa-1"}, "what they have seen elsewhere is not forgotten"


async def test_who_asks_for_the_primary_is_answered_alone(here: Stage) -> None:
    path = f"/garages/{here.who('garage').id}/reviews"
    fits(await here.client.call("GET", path, headers={"Consistency": "strong"}), PERSONAL)
    fits(await here.client.call("GET", path, headers={"Consistency": "eventual"}), LIST)


async def test_what_is_kept_promises_https_only_over_https(here: Stage) -> None:
    for path, is_promised in (("/app.js", False), ("/api/v1/reference/areas", False), ("/health", True)):
        answer = await got(here.client, path)
        assert ("Strict-Transport-Security" in answer.headers) is is_promised
        answer = await got(here.client, path, X_Forwarded_Proto="https")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_a_list_that_a_shard_is_missing_from_is_kept_by_nobody(system: System, here: Stage) -> None:
    def without(name: str) -> Iterator[object]:
        for region in system.shard_map.regions:
            shards = (
                replace(shard, primary=Address("127.0.0.1", free_port()), replicas=()) if shard.name == name else shard
                for shard in region.shards
            )
            yield replace(region, shards=tuple(shards))

    shard_map = replace(system.shard_map, regions=tuple(without("sa-1")))  # type: ignore[arg-type]  # regions they are
    path = f"/garages/{here.mine['sa-2', 'garage'].id}/reviews"
    async with system.gateway(shard_map, NODE_ENV="production") as client:
        answer = await client.call("GET", path)
        assert answer.json["missing"] == ["sa-1"]
        fits(answer, PERSONAL)


async def test_in_development_shared_lists_are_asked_for_again(gateway: Client, here: Stage) -> None:
    answer = await gateway.call("GET", f"/garages/{here.who('garage').id}/reviews")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Meridian-CDN-Cache-Control" not in answer.headers
    assert answer.headers["ETag"]


async def reviewed(here: Stage, system: System, garage: Person) -> str:
    """A review of the garage that waits for the staff; its id."""
    customer = await new_person(here.client, here.phones, "qa-1")
    deal = await accepted(here.client, customer, garage)
    await at_status(system, here.client, deal, "completed")
    return str((await done(here.client, customer, f"/orders/{deal.order['id']}/review", {"rating": 5}))["id"])


async def test_a_published_review_is_told_to_caches_and_edges_and_a_rejected_one_to_nobody(
    here: Stage, system: System, production: Client, edge: PurgedEdge
) -> None:
    garage = await new_person(production, here.phones, "qa-1", "garage")
    rejected, published = [await reviewed(here, system, garage) for _ in range(2)]
    staff = here.who("staff")
    answer = await post(production, staff, f"/reviews/{rejected}/moderate", {"decision": "reject"})
    assert "Cache-Group-Invalidation" not in answer.headers
    answer = await post(production, staff, f"/reviews/{published}/moderate", {"decision": "publish"})
    assert answer.headers["Cache-Group-Invalidation"] == f'"garage-{garage.id}"'
    fits(answer, PERSONAL)

    async def told() -> bool:
        return edge.told.count(f"garage-{garage.id}") == 1

    await until(told, what="the edge is told")
    (health,) = (await production.call("GET", "/health")).json["edges"]
    assert (health["connected"], health["since"]) == (True, None)
    again = await post(production, staff, f"/reviews/{published}/moderate", {"decision": "publish"})
    is_problem(again, 409, "conflict")
    assert "Cache-Group-Invalidation" not in again.headers


async def test_an_id_of_no_garage_is_shared_and_one_of_no_region_is_not(production: Client) -> None:
    nothing = make_id(Placement(1, 7), now_ms=1, random_bits=1)
    fits(await production.call("GET", f"/garages/{nothing}/reviews"), LIST)
    nowhere = make_id(Placement(9, 7), now_ms=1, random_bits=1)
    fits(await production.call("GET", f"/garages/{nowhere}/reviews"), NOTHING_AT_ALL)
    fits(await production.call("GET", f"/garages/{nothing}/reviews?limit=0"), NOTHING_AT_ALL)
