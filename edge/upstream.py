"""The origin by HTTP: one fixed server, asked with aiohttp's client, which no other file of the edge knows."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    StreamReader,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from yarl import URL

from edge.fields import HOP_BY_HOP
from edge.invalidation import SAFE
from edge.messages import Fields, Request, Response, Stream
from edge.origin import OriginFailed

_OURS: Final = frozenset({"host", "expect"})
_NOT_MADE_UP: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_PIECE_BYTES: Final = 64 * 1024
_HEADS_MAX: Final = 4  # in one piece: interim ones and the final one
_END_OF_HEAD: Final = b"\r\n\r\n"
_COMPRESSING: Final = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress"})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What the origin may take: seconds, bytes, connections. Raises ValueError when they contradict."""

    connections: int = 256
    """For what may be asked again, and as many for what may not."""
    idle_s: float = 4.0
    """So long a connection is kept for a question that may be asked again. Many servers close theirs after 5 s."""
    idle_once_s: float = 1.0
    """For one that may not: nobody could say whether a server that closes just then has heard it."""
    connect_s: float = 5.0
    """To get a connection: one that becomes free, or a new one."""
    first_byte_s: float = 20.0
    """For the answer to begin, once all of the request is sent; and to take each piece of the request."""
    between_reads_s: float = 20.0
    whole_s: float = 300.0
    line_bytes: int = 8 * 1024
    field_bytes: int = 32 * 1024
    fields: int = 128
    at_once_bytes: int = 64 * 1024
    """An answer up to so long is read before it is handed on, so that one cut off can still be replaced."""
    held_bytes: int = 64 * 1024
    """So much of a request's body, or all of it, is here before it takes a connection: slow clients take none."""

    def __post_init__(self) -> None:
        if min(self.connections, self.held_bytes) < 1 or not 0 < self.connect_s <= self.first_byte_s < self.whole_s:
            raise ValueError("connections >= 1, held_bytes >= 1 and 0 < connect_s <= first_byte_s < whole_s must hold")
        if not 0 < self.idle_once_s <= self.idle_s:
            raise ValueError("0 < idle_once_s <= idle_s must hold")


@asynccontextmanager
async def upstream(
    base: str,
    *,
    name: str,
    limits: UpstreamLimits = UpstreamLimits(),
) -> AsyncIterator["Upstream"]:
    """The origin at `base`, for the length of the block. `name` stands in Via."""
    async with _session(limits, limits.idle_s) as often, _session(limits, limits.idle_once_s) as once:
        yield Upstream(often, once, base, name=name, limits=limits)


def _session(limits: UpstreamLimits, idle_s: float) -> ClientSession:
    return ClientSession(
        connector=_Connector(limit=limits.connections, ttl_dns_cache=30, keepalive_timeout=idle_s),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_NOT_MADE_UP,
        max_line_size=limits.line_bytes,
        max_field_size=limits.field_bytes,
        max_headers=limits.fields,
        timeout=ClientTimeout(
            total=limits.whole_s,
            connect=limits.connect_s,
            sock_read=limits.between_reads_s,
            sock_connect=limits.connect_s,
        ),
    )


class _Answering(ResponseHandler):
    """A connection on which one question has one answer.

    What comes beyond the end of an answer is dropped, and the connection with it: it is never taken for the answer to
    the next question (RFC 9112 6.3). aiohttp by itself would refuse an answer with more body than its length when both
    came in one piece, would take what comes later for the next answer, and would wait for the rest of a body that
    turned out to be malformed.
    """

    _answer: StreamReader | None = None

    def set_response_params(self, **params: Any) -> None:
        """A question is about to be asked."""
        self._answer = None
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer begins, or an interim one is there."""
        message, body = data
        if self._answer is not None:
            self._drop()
            return
        if message.code >= 200:
            self._answer = body
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """No more can be read; whoever reads the body is told."""
        super().set_exception(exc, exc_cause or exc)
        body = self._answer
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(ClientPayloadError("malformed"))

    def data_received(self, data: bytes) -> None:
        """Each head is read apart, so that what follows it takes nothing from it."""
        at = 0
        for _ in range(_HEADS_MAX):
            end = data.find(_END_OF_HEAD, at) + len(_END_OF_HEAD)
            if end < len(_END_OF_HEAD) or not data.startswith(b"HTTP/", at):
                break
            self._read(data[at:end])
            at = end
        if at < len(data) or not data:
            self._read(data[at:])

    def _read(self, piece: bytes) -> None:
        if self._answer is not None and self._answer.is_eof() and piece:
            self._drop()
        else:
            super().data_received(piece)

    def _drop(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()


class _Connector(TCPConnector):
    """Makes such connections."""

    def __init__(self, *, limit: int, ttl_dns_cache: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, ttl_dns_cache=ttl_dns_cache, keepalive_timeout=keepalive_timeout)
        made: Callable[..., ResponseHandler] = _Answering
        self._factory = partial(made, loop=self._loop)


class Upstream:
    """An Origin. The host of `base` is the only one ever asked; redirects are answers like others.

    A request without a body and of an idempotent method is sent once more when a connection that had been kept turns
    out to be closed (RFC 9110 9.2.2).
    """

    def __init__(
        self, often: ClientSession, once: ClientSession, base: str, *, name: str, limits: UpstreamLimits
    ) -> None:
        self._often = often
        self._once = once
        self._base = base.rstrip("/")
        self._via = f"1.1 {name}"
        self._limits = limits

    async def __call__(self, request: Request) -> Response:
        """The answer, whole or with a stream. Raises OriginFailed; so does the stream."""
        session = self._often if request.method in SAFE and request.stream is None else self._once
        if request.stream is not None:
            request = await _held(request, request.stream, self._limits)
        patience = _Patience(self._limits.connect_s + self._limits.first_byte_s)
        try:
            async with patience.timeout:
                response = await session.request(
                    request.method,
                    URL(self._base + request.url, encoded=True),
                    headers=self._fields_of(request),
                    data=patience.sent(request.stream) if request.stream is not None else (request.body or None),
                    allow_redirects=False,
                )
        except TimeoutError as exc:
            raise OriginFailed("it took too long to answer", timed_out=True) from exc
        except (ClientError, OSError, ValueError) as exc:
            raise OriginFailed(_reason(exc), by_client=patience.broke_off) from exc
        finally:
            patience.ended = True
        return await self._handed_on(request, response)

    def _fields_of(self, request: Request) -> list[tuple[str, str]]:
        dropped = HOP_BY_HOP | _OURS | _listed(request.headers)
        if request.stream is None:
            dropped |= {"content-length"}
        vias = [value for name, value in request.headers if name.lower() == "via"]
        kept = [(name, value) for name, value in request.headers if name.lower() not in dropped | {"via"}]
        return [*kept, ("Via", ", ".join([*vias, self._via]))]

    async def _handed_on(self, request: Request, response: ClientResponse) -> Response:
        fields = _fields_from(response)
        try:
            _require_sound(response.status, fields)
            length = _length(fields)
        except OriginFailed:
            response.close()
            raise
        headers = tuple(field for field in fields if field[0].lower() not in HOP_BY_HOP | _listed(fields))
        if request.method == "HEAD" or response.status in (204, 304):
            response.release()
            return Response(response.status, headers)
        pieces = _pieces(response)
        if length is None or length > self._limits.at_once_bytes:
            return Response(response.status, headers, stream=pieces)
        return Response(response.status, headers, b"".join([piece async for piece in pieces]))


class _Patience:
    """With an origin that is asked: so long to take each piece of the body, and to begin its answer after the last.

    The time that the client takes is not the origin's: that ends with the patience for the client, and with `whole_s`.
    """

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self.timeout = asyncio.timeout(lasts_s)
        self.ended = False
        self.broke_off = False

    async def sent(self, stream: Stream) -> Stream:
        """A body as it is sent."""
        self._until(None)
        try:
            async for piece in stream:
                self._until(asyncio.get_running_loop().time() + self._lasts_s)
                yield piece
                self._until(None)
        except Exception:
            self.broke_off = True
            raise
        self._until(asyncio.get_running_loop().time() + self._lasts_s)

    def _until(self, when: float | None) -> None:
        if not self.ended and not self.timeout.expired():
            self.timeout.reschedule(when)


async def _held(request: Request, stream: Stream, limits: UpstreamLimits) -> Request:
    """The request with its whole body, or with as much of it as is to be held and a stream of all of it.

    Raises OriginFailed where the body breaks off: the origin was not asked then.
    """
    held: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.whole_s):
            async for piece in stream:
                held.append(piece)
                size += len(piece)
                if size >= limits.held_bytes:
                    return replace(request, stream=_joined(held, stream))
    except Exception as exc:
        timed_out = isinstance(exc, TimeoutError)
        raise OriginFailed("the request broke off", timed_out=timed_out, by_client=True) from exc
    if (request.field("Content-Length") or str(size)) != str(size):
        raise OriginFailed("the request broke off", by_client=True)
    return replace(request, body=b"".join(held), stream=None)


async def _joined(held: list[bytes], rest: Stream) -> Stream:
    for piece in held:
        yield piece
    held.clear()
    async for piece in rest:
        yield piece


async def _pieces(response: ClientResponse) -> Stream:
    """The body as it comes. A body not read to its end costs its connection."""
    try:
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            yield piece
    except TimeoutError as exc:
        raise OriginFailed("it stopped in the middle of its answer", timed_out=True) from exc
    except (ClientError, OSError) as exc:
        raise OriginFailed("its answer was cut off") from exc
    finally:
        response.close() if not response.content.at_eof() else response.release()


def _fields_from(response: ClientResponse) -> Fields:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)


def _require_sound(status: int, fields: Fields) -> None:
    """Raises OriginFailed for a status that ends no exchange (RFC 9110 15), and for a name that is none."""
    if not 200 <= status <= 999:
        raise OriginFailed("its answer has a status that is none")
    if not all(_TOKEN.fullmatch(name) for name, _ in fields):
        raise OriginFailed("its answer has a header field whose name is none")


def _length(fields: Fields) -> int | None:
    """The Content-Length. Raises OriginFailed where the end of the body is told in two ways (RFC 9112 6.3)."""
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    if len(lengths) > 1 or (lengths and codings):
        raise OriginFailed("it told the end of its answer in two ways")
    named = [coding.strip() for value in codings for coding in value.split(",")]
    # One that nobody knows says nothing of the body, and ends here as every field of the connection does.
    if named.count("chunked") > 1 or not _COMPRESSING.isdisjoint(named):
        raise OriginFailed("its answer has a transfer coding that nobody undid")
    return int(lengths[0]) if lengths and lengths[0].isdecimal() else None


def _listed(fields: Fields) -> frozenset[str]:
    """What `Connection` names, which ends here too."""
    return frozenset(
        token.strip().lower() for name, value in fields if name.lower() == "connection" for token in value.split(",")
    )


def _reason(exc: Exception) -> str:
    """What happened, without an address: aiohttp's own words would show it."""
    return f"it could not be asked ({type(exc).__name__})"
