"""A file that is being sent: one field of a multipart/form-data body, read as it comes."""

import re
import unicodedata
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from core.errors import FieldError, Invalid, Malformed, TooLarge, UnsupportedMedia
from core.limits import FILE_BYTES_MAX, FILE_CHUNK_BYTES

FIELD: Final = "file"
NAME_CHARS_MAX: Final = 120
_FRAME_BYTES_MAX: Final = 64 * 1024  # boundaries and headers: what a body has before the file, and again around it
_BODY_BYTES_MAX: Final = FILE_BYTES_MAX + _FRAME_BYTES_MAX
_JOINERS: Final = "\u200c\u200d"  # Persian words and emoji are spelt with them
_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
# What aiohttp raises for a body that is not what it should be; RuntimeError for a `_charset_` field that is none.
_BROKEN: Final = (
    ValueError,
    AssertionError,
    RuntimeError,
    HttpProcessingError,
    ConnectionError,
    web.RequestPayloadError,
)


@dataclass(frozen=True, slots=True)
class Upload:
    """The file of a request: its name without folders (None if there is none), and its bytes, to be read once.

    Reading raises Malformed when the body ends too early, Invalid when more than the file comes, TooLarge when the body
    goes on and on.
    """

    name: str | None
    chunks: AsyncIterator[bytes] = field(repr=False)


async def open_upload(request: web.Request) -> Upload:
    """The file that a request sends. Raises UnsupportedMedia, TooLarge, Malformed, or Invalid naming the field."""
    if request.content_type != "multipart/form-data":
        raise UnsupportedMedia(f"send the file as multipart/form-data, in the field `{FIELD}`")
    if (request.content_length or 0) > _BODY_BYTES_MAX:
        raise _too_large()
    try:
        body = _Bounded(request.content, _FRAME_BYTES_MAX)
        reader = MultipartReader(request.headers, cast("StreamReader", body))
        part = await reader.next()
    except _BROKEN as exc:
        raise Malformed("the body is not well-formed multipart/form-data") from exc
    if not isinstance(part, BodyPartReader) or part.name != FIELD:
        raise Invalid([FieldError(FIELD, f"is missing: send one file, in the field `{FIELD}`")])
    body.allow(_BODY_BYTES_MAX)
    return Upload(clean_name(part.filename), _chunks(reader, part))


def clean_name(name: str | None) -> str | None:
    """A client's file name as it may be shown: the last part of its path, one line, not too long; None for nothing.

    Characters that cannot be seen go: those that turn the direction of writing make `exe.gnp` of `png.exe`.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    shown = "".join(char for char in last if char in _JOINERS or unicodedata.category(char) not in _UNSHOWN)
    return shown.strip().strip(".")[-NAME_CHARS_MAX:].strip() or None


class _Bounded:
    """A body as far as MultipartReader reads one; reading more than is allowed raises TooLarge.

    Content-Length proves nothing: a body can come in chunks, or compressed. And what stands before the file is read
    line by line, so megabytes of it would keep the loop busy for seconds.
    """

    def __init__(self, content: StreamReader, bytes_max: int) -> None:
        self._content = content
        self._left = bytes_max

    def allow(self, bytes_max: int) -> None:
        """Allow so many bytes from now on."""
        self._left = bytes_max

    async def read(self, size: int = -1) -> bytes:
        return self._counted(await self._content.read(size))

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        return self._counted(await self._content.readline(max_line_length=max_line_length))

    def unread_data(self, data: bytes) -> None:
        self._left += len(data)
        with warnings.catch_warnings():  # aiohttp's own reader still needs what aiohttp calls deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            self._content.unread_data(data)

    def at_eof(self) -> bool:
        return self._content.at_eof()

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise _too_large()
        return data


def _too_large() -> TooLarge:
    return TooLarge(f"a file may have {FILE_BYTES_MAX} bytes at most")


async def _chunks(reader: MultipartReader, part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await part.read_chunk(FILE_CHUNK_BYTES):
            yield bytes(chunk)
        more = await reader.next()
    except _BROKEN as exc:
        raise Malformed("the body ended before the file was whole") from exc
    if more is not None:
        name = clean_name(getattr(more, "name", None)) or FIELD
        raise Invalid([FieldError(name, "is not expected: send one file and no more")])
