"""The docs page: whole, from here alone, and safe."""

import re

import pytest
from aiohttp import ClientSession, web

from edge.messages import Request
from gateway.docs_page import DOCS, add_docs, page_assets

ASSETS = page_assets()
PAGE = ASSETS.handle(Request("GET", DOCS)).body.decode()
OWN = ("index.html", "init.js", "page.css")


def test_everything_the_page_names_is_there_and_immutable() -> None:
    named = re.findall(r'(?:src|href)="(/api/docs/[^"]+)"', PAGE)
    assert len(named) == 4
    for address in named:
        path, _, query = address.partition("?")
        answer = ASSETS.handle(Request("GET", path, (), query))
        assert answer.status == 200
        assert "immutable" in (answer.field("Cache-Control") or "")


def test_nothing_is_fetched_from_elsewhere_and_no_script_is_inline() -> None:
    for name in OWN:
        text = ASSETS.handle(Request("GET", f"{DOCS}/{name}")).body.decode()
        assert "://" not in text
    assert re.findall(r"<script(?![^>]* src=)", PAGE) == []
    assert re.findall(r"\son\w+=", PAGE) == []
    assert "<title>Meridian API</title>" in PAGE


@pytest.mark.parametrize("path", ["", "/init.js", "/swagger-ui.css", "/none"])
def test_every_answer_is_under_a_strict_policy(path: str) -> None:
    answer = ASSETS.handle(Request("GET", DOCS + path))
    policy = (answer.field("Content-Security-Policy") or "").split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.field("X-Content-Type-Options") == "nosniff"


def test_the_licences_of_what_is_vendored_are_there() -> None:
    for name in ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"):
        assert ASSETS.handle(Request("GET", f"{DOCS}/{name}")).status == 200


async def test_the_gateway_serves_it() -> None:
    app = web.Application()
    add_docs(app)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(f"http://{host}:{port}") as session:
            for method, path, status in (
                ("GET", DOCS, 200),
                ("GET", DOCS + "/", 200),
                ("HEAD", DOCS + "/init.js", 200),
                ("GET", DOCS + "/none", 404),
                ("POST", DOCS, 405),
            ):
                async with session.request(method, path) as answer:
                    assert answer.status == status
    finally:
        await runner.cleanup()
