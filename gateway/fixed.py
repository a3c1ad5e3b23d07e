"""Answers that stay what they are while a process runs: documents made at the start, and an application's assets."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from edge.aio import handler
from edge.assets import Assets
from edge.messages import Fields, Request, Response
from edge.prepared import prepare, respond
from gateway.caching import CACHE_CONTROL, CONTROL, Kind
from gateway.compression import COMPRESSORS

ASSETS: Final = r"/{file:(?!(?:api|health|_edge|\.well-known)(?:/|$)).*}"
"""Where an application's assets are: everywhere but where the API is, so that its page stands at `/`."""
# An application may use what comes from here; styles and images are often written into pages by its tools.
_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final[Fields] = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
)


def fixed(content: bytes, media_type: str, kind: Kind) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of one document: compressed once, with an ETag, kept by caches as its kind is."""
    prepared = prepare(content, media_type, COMPRESSORS)
    vary: Fields = (("Vary", "Accept-Encoding"),) if prepared.codings else ()

    def answer(request: Request) -> Response:
        return respond(request, prepared, ((CACHE_CONTROL, CONTROL[kind]), *vary))

    return handler(answer)


def application_assets(folder: Path) -> Assets:
    """The assets of ASSETS_FOLDER, read once. Raises FolderTooLarge, or NotADirectoryError when there is none."""
    return Assets.of_folder(folder, headers=_HEADERS, compressors=COMPRESSORS)
