"""The browsable page of the API document, at /api/docs: everything it needs comes from here, nothing from a CDN."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from edge.aio import handler
from edge.assets import Assets
from edge.folder import read_folder
from edge.messages import Fields
from edge.prepared import fingerprint_of
from gateway.boundary import CONTEXT
from gateway.compression import COMPRESSORS

DOCS: Final = "/api/docs"
_FOLDER: Final = Path(__file__).parent / "static" / "docs"
_INDEX: Final = "index.html"
# swagger-ui writes style attributes and shows its icons as data: images; scripts and calls stay on this origin.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final[Fields] = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


def add_docs(app: web.Application) -> None:
    """Mount GET and HEAD of `/api/docs` and of the files below it."""
    answer = handler(page_assets().handle)

    async def docs(request: web.Request) -> web.StreamResponse:
        context = request.get(CONTEXT)
        if context is not None:
            context.operation = "docs"
        return await answer(request)

    app.router.add_get(DOCS, docs)
    app.router.add_get(DOCS + "/{file:.*}", docs)


def page_assets() -> Assets:
    """The page's files; the page names the others by their fingerprints, so that they are fetched once a release."""
    files = read_folder(_FOLDER)
    files[_INDEX] = _with_fingerprints(files[_INDEX].decode(), files).encode()
    return Assets(files, prefix=DOCS, index=_INDEX, headers=_HEADERS, compressors=COMPRESSORS)


def _with_fingerprints(page: str, files: Mapping[str, bytes]) -> str:
    for name, body in files.items():
        page = page.replace(f'"{DOCS}/{name}"', f'"{DOCS}/{name}?v={fingerprint_of(body)}"')
    return page
