"""Answering with a file: conditions, ranges, safe headers, and never a broken answer that looks whole (RFC 9110)."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import quote

import structlog
from aiohttp import web

from core.errors import RangeNotSatisfiable
from core.limits import DOWNLOAD_STALL_S
from core.storage.files import Files
from core.storage.rows import StoredFile
from core.storage.store import StoreUnreachable
from gateway.caching import CACHE_CONTROL, CONTROL, Kind

_SHOWN_IN_PAGES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
_SUFFIXES: Final = {
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "application/pdf": (".pdf",),
}
_RANGE: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
_DIGITS_MAX: Final = 15  # of a position: larger ones are beyond every file, whatever they are
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-site",
    CACHE_CONTROL: CONTROL[Kind.FILE],
}
Dress = Callable[[web.StreamResponse], None]
R = TypeVar("R", bound=web.StreamResponse)
_log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class Download:
    """A handler's answer that is a file: its row, and the region's files that hold its bytes."""

    file: StoredFile
    files: Files


async def send(download: Download, request: web.Request, *, dress: Dress) -> web.StreamResponse:
    """Answer with the file: 200, 206, 304, or 307 to a link where the store is open to clients.

    `dress` puts on the response what every answer carries; it must be on before the first byte goes.
    Raises RangeNotSatisfiable, StorageUnavailable or NotFound as long as nothing was sent. When the store breaks after
    that the connection is closed, so that nobody takes half a file for a whole one.
    """
    file = download.file
    headers = _headers(file)
    if _is_held(request, file, headers["ETag"]):
        return _dressed(web.Response(status=304, headers=headers), dress)
    if request.method == "GET":
        link = await download.files.link(file, disposition=headers["Content-Disposition"])
        if link is not None:
            answer = web.Response(status=307, headers={"Location": link, CACHE_CONTROL: CONTROL[Kind.STATE]})
            return _dressed(answer, dress)
    span = _span(request, file, headers["ETag"])
    size = file.contents.size
    first, last = span or (0, size - 1)
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    response = _dressed(web.StreamResponse(status=200 if span is None else 206, headers=headers), dress)
    response.content_length = last - first + 1
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    return await _stream(download, request, response, first, last)


def _dressed(response: R, dress: Dress) -> R:
    dress(response)
    return response


async def _stream(
    download: Download, request: web.Request, response: web.StreamResponse, first: int, last: int
) -> web.StreamResponse:
    left = last - first + 1
    async with download.files.content(download.file, first=first, last=last) as chunks:
        try:
            await response.prepare(request)
            async for chunk in chunks:
                async with asyncio.timeout(DOWNLOAD_STALL_S):
                    await response.write(chunk)
                left -= len(chunk)
        except StoreUnreachable as exc:
            _log.warning("download broke off", file=str(download.file.id), reason=str(exc))
        except (ConnectionError, TimeoutError):
            _log.debug("reader went away", file=str(download.file.id))
        finally:
            if left and request.transport is not None:
                request.transport.abort()
    return response


def _headers(file: StoredFile) -> dict[str, str]:
    return {
        **_SAFE,
        "Content-Type": file.contents.media_type,
        "Content-Disposition": disposition(file),
        "ETag": f'"{file.contents.sha256[:16].hex()}"',
        "Last-Modified": format_datetime(file.created_at.replace(microsecond=0), usegmt=True),
        "Accept-Ranges": "bytes",
    }


def disposition(file: StoredFile) -> str:
    """Content-Disposition (RFC 6266): images are shown, a PDF is saved; the name in both of its forms.

    The name ends as the file's type does: what is saved as `photo.html` would be run as a page, whatever it is.
    """
    media_type, name = file.contents.media_type, file.name
    how = "inline" if media_type in _SHOWN_IN_PAGES else "attachment"
    if name is None:
        return how
    if not name.lower().endswith(_SUFFIXES[media_type]):
        name += _SUFFIXES[media_type][0]
    plain = re.sub(r"[^ !#$&+.0-9A-Z^_`a-z{}~()@=,;-]", "_", name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _is_held(request: web.Request, file: StoredFile, etag: str) -> bool:
    """Whether the client has this file: by If-None-Match, or without it by If-Modified-Since (RFC 9110, 13.2.2)."""
    none_match = request.headers.get("If-None-Match")
    if none_match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in none_match.split(",")]
        return etag in tags or tags == ["*"]
    since = _date(request.headers.get("If-Modified-Since"))
    return since is not None and file.created_at.replace(microsecond=0) <= since


def _span(request: web.Request, file: StoredFile, etag: str) -> tuple[int, int] | None:
    """The first and last byte asked for; None for the whole file, which answers any range that we do not understand."""
    text = request.headers.get("Range")
    if text is None or request.method != "GET" or not _range_holds(request, file, etag):
        return None
    found = _RANGE.fullmatch(text.strip())
    start, end = found.groups() if found is not None else ("", "")
    if not start and not end:
        return None
    size = file.contents.size
    if not start:
        first, last = max(0, size - _position(end)), size - 1
    elif end and _position(end) < _position(start):
        return None
    else:
        first, last = _position(start), min(_position(end), size - 1) if end else size - 1
    if first > last:
        raise RangeNotSatisfiable(f"the file has {size} bytes; the range begins after them", size=size)
    return first, last


def _position(digits: str) -> int:
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


def _range_holds(request: web.Request, file: StoredFile, etag: str) -> bool:
    """If-Range: a part is only of use to who holds the rest of this very file (RFC 9110, 13.1.5)."""
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    return condition == etag or _date(condition) == file.created_at.replace(microsecond=0)


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo is not None else None
