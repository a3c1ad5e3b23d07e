"""The origin by HTTP: one fixed server, asked with aiohttp's client, which no other file of the edge knows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from edge.messages import Fields, Request, Response, Stream
from edge.origin import OriginFailed

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS: Final = frozenset({"host", "expect"})
_NOT_MADE_UP: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_PIECE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What the origin may take: seconds, bytes, connections. Raises ValueError when they contradict."""

    connections: int = 256
    connect_s: float = 5.0
    """To get a connection: one that becomes free, or a new one."""
    first_byte_s: float = 20.0
    between_reads_s: float = 20.0
    whole_s: float = 300.0
    line_bytes: int = 8 * 1024
    field_bytes: int = 32 * 1024
    fields: int = 128
    at_once_bytes: int = 64 * 1024
    """An answer up to so long is read before it is handed on, so that one cut off can still be replaced."""

    def __post_init__(self) -> None:
        if self.connections < 1 or not 0 < self.connect_s <= self.first_byte_s < self.whole_s:
            raise ValueError("connections >= 1 and 0 < connect_s <= first_byte_s < whole_s must hold")


@asynccontextmanager
async def upstream(
    base: str,
    *,
    name: str,
    limits: UpstreamLimits = UpstreamLimits(),
) -> AsyncIterator["Upstream"]:
    """The origin at `base`, for the length of the block. `name` stands in Via."""
    connector = TCPConnector(limit=limits.connections, ttl_dns_cache=30, keepalive_timeout=30.0)
    async with ClientSession(
        connector=connector,
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
    ) as session:
        yield Upstream(session, base, name=name, limits=limits)


class Upstream:
    """An Origin. The host of `base` is the only one ever asked; redirects are answers like others.

    A request without a body and of an idempotent method is sent once more when a connection that had been kept turns
    out to be closed (RFC 9110 9.2.2).
    """

    def __init__(self, session: ClientSession, base: str, *, name: str, limits: UpstreamLimits) -> None:
        self._session = session
        self._base = base.rstrip("/")
        self._via = f"1.1 {name}"
        self._limits = limits

    async def __call__(self, request: Request) -> Response:
        """The answer, whole or with a stream. Raises OriginFailed; so does the stream."""
        try:
            async with asyncio.timeout(self._limits.connect_s + self._limits.first_byte_s):
                response = await self._session.request(
                    request.method,
                    URL(self._base + request.url, encoded=True),
                    headers=self._fields_of(request),
                    data=request.stream if request.stream is not None else (request.body or None),
                    allow_redirects=False,
                )
        except TimeoutError as exc:
            raise OriginFailed("it took too long to answer", timed_out=True) from exc
        except (ClientError, OSError, ValueError) as exc:
            raise OriginFailed(_reason(exc)) from exc
        return await self._handed_on(request, response)

    def _fields_of(self, request: Request) -> list[tuple[str, str]]:
        dropped = _HOP_BY_HOP | _OURS | _listed(request.headers)
        if request.stream is None:
            dropped |= {"content-length"}
        vias = [value for name, value in request.headers if name.lower() == "via"]
        kept = [(name, value) for name, value in request.headers if name.lower() not in dropped | {"via"}]
        return [*kept, ("Via", ", ".join([*vias, self._via]))]

    async def _handed_on(self, request: Request, response: ClientResponse) -> Response:
        fields = _fields_from(response)
        try:
            length = _length(fields)
        except OriginFailed:
            response.close()
            raise
        headers = tuple(field for field in fields if field[0].lower() not in _HOP_BY_HOP | _listed(fields))
        if request.method == "HEAD" or response.status in (204, 304):
            response.release()
            return Response(response.status, headers)
        pieces = _pieces(response)
        if length is None or length > self._limits.at_once_bytes:
            return Response(response.status, headers, stream=pieces)
        return Response(response.status, headers, b"".join([piece async for piece in pieces]))


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


def _length(fields: Fields) -> int | None:
    """The Content-Length. Raises OriginFailed where the end of the body is told in two ways (RFC 9112 6.3)."""
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    chunked = any(name.lower() == "transfer-encoding" for name, _ in fields)
    if len(lengths) > 1 or (lengths and chunked):
        raise OriginFailed("it told the end of its answer in two ways")
    return int(lengths[0]) if lengths and lengths[0].isdecimal() else None


def _listed(fields: Fields) -> frozenset[str]:
    """What `Connection` names, which ends here too."""
    return frozenset(
        token.strip().lower() for name, value in fields if name.lower() == "connection" for token in value.split(",")
    )


def _reason(exc: Exception) -> str:
    """What happened, without an address: aiohttp's own words would show it."""
    return f"it could not be asked ({type(exc).__name__})"
