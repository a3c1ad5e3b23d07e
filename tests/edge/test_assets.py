"""Assets: the table of cases on the pure handler and over a real server, and what holds for every answer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from yarl import URL

from edge.aio import handler
from edge.assets import Assets
from edge.folder import FolderTooLarge, read_folder
from edge.messages import Request, Response
from edge.prepared import COMPRESSORS
from tests.edge.cases import ASSETS, CASES, FILES, GZIPPED, SCRIPT, Case, V

_OF_THE_SERVER = frozenset({"date", "server", "connection"})
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler(ASSETS.handle))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def check(case: Case, response: Response) -> None:
    assert response.status == case.status
    if case.body is not None:
        assert response.body == case.body
    for name, value in case.has.items():
        assert response.field(name) == value
    for name in case.lacks:
        assert response.field(name) is None
    assert response.field("Set-Cookie") is None
    assert response.field("Cache-Control") is not None
    assert response.field("X-Content-Type-Options") == "nosniff"


async def sent(server: str, request: Request) -> Response:
    target = URL(server + request.path + (f"?{request.query}" if request.query else ""), encoded=True)
    async with (
        ClientSession(
            auto_decompress=False, skip_auto_headers=("Accept-Encoding", "User-Agent"), cookie_jar=DummyCookieJar()
        ) as session,
        session.request(request.method, target, headers=request.headers) as response,
    ):
        fields = tuple((k, v) for k, v in response.headers.items() if k.lower() not in _OF_THE_SERVER)
        return Response(response.status, fields, await response.read())


@every_case
def test_the_pure_handler_answers(case: Case) -> None:
    check(case, ASSETS.handle(case.request))


@every_case
async def test_a_real_server_answers_the_same(case: Case, server: str) -> None:
    over_http, pure = await sent(server, case.request), ASSETS.handle(case.request)
    check(case, over_http)
    assert over_http.body == pure.body
    assert sorted((k.lower(), v) for k, v in over_http.headers) == sorted((k.lower(), v) for k, v in pure.headers)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_what_was_answered_is_held(name: str, encoding: str) -> None:
    asked = (("Accept-Encoding", encoding),)
    first = ASSETS.handle(Request("GET", f"/static/{name}", asked))
    again = ASSETS.handle(Request("GET", f"/static/{name}", (*asked, ("If-None-Match", first.field("ETag") or ""))))
    assert (again.status, again.body) == (304, b"")
    assert again.field("ETag") == first.field("ETag")
    assert again.field("Vary") == first.field("Vary")


def test_brotli_is_preferred_where_there_is_a_compressor_for_it() -> None:
    assets = Assets(FILES, prefix="/static", compressors={"br": lambda body: body[: len(body) // 2], **COMPRESSORS})
    for asked, coding in (("gzip, br", "br"), ("gzip", "gzip"), ("br;q=0.1, gzip", "gzip"), ("deflate", None)):
        answer = assets.handle(Request("GET", "/static/app.js", (("Accept-Encoding", asked),)))
        assert answer.field("Content-Encoding") == coding
        assert answer.field("ETag") == (f'"{V}-{coding}"' if coding else f'"{V}"')
    assert (
        assets.handle(Request("GET", "/static/fonts/naskh.woff2", (("Accept-Encoding", "br"),))).field("Vary") is None
    )


def test_a_part_of_a_packed_asset_is_one_of_its_packed_form() -> None:
    asked = (("Accept-Encoding", "gzip"), ("Range", "bytes=0-9"), ("If-Range", f'"{V}-gzip"'))
    part = ASSETS.handle(Request("GET", "/static/app.js", asked))
    assert (part.status, part.body, part.field("Content-Encoding")) == (206, GZIPPED[:10], "gzip")
    assert part.field("Content-Range") == f"bytes 0-9/{len(GZIPPED)}"
    whole = ASSETS.handle(Request("GET", "/static/app.js", (*asked[1:], ("Accept-Encoding", "identity"))))
    assert (whole.status, whole.body) == (200, SCRIPT), "another form is held, so the whole is sent"


def test_the_url_of_an_asset_is_immutable() -> None:
    path, _, query = ASSETS.url("app.js").partition("?")
    assert query == f"v={V}"
    assert "immutable" in (ASSETS.handle(Request("GET", path, (), query)).field("Cache-Control") or "")


def test_a_client_may_send_a_field_twice() -> None:
    twice = (("If-None-Match", '"old"'), ("if-none-match", f'"{V}"'))
    assert ASSETS.handle(Request("GET", "/static/app.js", twice)).status == 304


def test_the_same_content_has_the_same_tag_everywhere() -> None:
    other = Assets({"other.js": SCRIPT})
    for encoding in ("identity", "gzip"):
        asked = (("Accept-Encoding", encoding),)
        one = ASSETS.handle(Request("GET", "/static/app.js", asked))
        two = other.handle(Request("GET", "/other.js", asked))
        assert (one.field("ETag"), one.body) == (two.field("ETag"), two.body)


def test_a_folder_is_read_whole_without_links_and_hidden_files(tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    folder = tmp_path / "static"
    (folder / "css").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    (folder / ".env").write_text("x")
    (folder / "css" / "page.css").write_text("body {}")
    (folder / "link.txt").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    assert read_folder(folder) == {"css/page.css": b"body {}"}
    assert Assets.of_folder(folder).handle(Request("GET", "/css/page.css")).body == b"body {}"


def test_a_folder_is_read_within_bounds(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"12345")
    assert len(read_folder(tmp_path, files_max=2, bytes_max=10)) == 2
    with pytest.raises(FolderTooLarge, match="9 bytes"):
        read_folder(tmp_path, bytes_max=9)
    with pytest.raises(FolderTooLarge, match="1 files"):
        read_folder(tmp_path, files_max=1)
    with pytest.raises(NotADirectoryError):
        read_folder(tmp_path / "none")
