"""Content types by file name: our own table, because the machine's differs from one machine to the next."""

from pathlib import PurePosixPath
from typing import Final

UNKNOWN: Final = "application/octet-stream"

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
_PACKED: Final = frozenset({".gif", ".jpeg", ".jpg", ".pdf", ".png", ".webp", ".woff", ".woff2"})


def type_of(path: str) -> str:
    """The content type of a file, by its ending; text says that it is UTF-8."""
    return _TYPES.get(PurePosixPath(path).suffix.lower(), UNKNOWN)


def is_packed(path: str) -> bool:
    """Whether files of this kind are compressed already, so that gzip would only cost."""
    return PurePosixPath(path).suffix.lower() in _PACKED
