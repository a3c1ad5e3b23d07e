"""Answering with a table that is made while it is sent: constant memory, and never half a table that looks whole."""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from core.errors import MeridianError
from core.limits import DOWNLOAD_STALL_S
from gateway.caching import CACHE_CONTROL, CONTROL, Kind
from gateway.operations.downloads import Dress

MEDIA_TYPE: Final = "text/csv"
_RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "\t", "\r")
_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_log = structlog.get_logger("gateway")

Cells = Mapping[str, object]
"""One row: what stands in which column."""


@dataclass(frozen=True, slots=True)
class Csv:
    """A handler's answer that is a CSV file (RFC 4180, UTF-8): `columns` first, then the rows, batch by batch.

    `name` is what it is saved as. Each batch is asked for when the one before has been taken by the reader.
    """

    name: str
    columns: Sequence[str]
    batches: AsyncGenerator[Iterable[Cells], None]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The file's bytes: the first chunk has the header and the first batch."""
        text = io.StringIO(newline="")
        table = csv.writer(text)
        # Excel takes a CSV file without the mark for the machine's own encoding, and shows Arabic as noise.
        text.write(_BOM)
        table.writerow(self.columns)
        async with aclosing(self.batches) as batches:
            async for batch in batches:
                table.writerows([cell(row[column]) for column in self.columns] for row in batch)
                yield _taken(text)
        left = _taken(text)
        if left:
            yield left


def cell(value: object) -> str:
    """A value as a cell's text: nothing for None, and nothing that a spreadsheet would run as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_RUN_BY_SPREADSHEETS) else text


async def stream(table: Csv, request: web.Request, *, dress: Dress) -> web.StreamResponse:
    """Answer with the table. `dress` puts on the response what every answer carries.

    Raises what making the first batch raises, before anything is sent. When a later batch fails, or the reader takes
    nothing for DOWNLOAD_STALL_S, the connection is cut, so that nobody takes half a table for a whole one.
    """
    async with aclosing(table.chunks()) as chunks:
        first = await anext(chunks)
        response = web.StreamResponse(headers=_headers(table))
        dress(response)
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        await _send(response, request, first, chunks, name=table.name)
    return response


async def _send(
    response: web.StreamResponse, request: web.Request, first: bytes, more: AsyncIterator[bytes], *, name: str
) -> None:
    whole = False
    try:
        await response.prepare(request)
        await _write(response, first)
        async for chunk in more:
            await _write(response, chunk)
        async with asyncio.timeout(DOWNLOAD_STALL_S):
            await response.write_eof()
        whole = True
    except MeridianError as exc:
        _log.warning("table broke off", name=name, reason=exc.detail)
    except (ConnectionError, TimeoutError):
        _log.debug("reader went away", name=name)
    finally:
        if not whole and request.transport is not None:
            request.transport.abort()


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(DOWNLOAD_STALL_S):
        await response.write(chunk)


def _headers(table: Csv) -> dict[str, str]:
    return {
        "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{table.name}"',
        "X-Content-Type-Options": "nosniff",
        CACHE_CONTROL: CONTROL[Kind.PERSONAL],
    }


def _taken(text: io.StringIO) -> bytes:
    made = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return made
