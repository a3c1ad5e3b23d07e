"""Tables as CSV: what a spreadsheet reads back, what it must never run, and what a broken one looks like."""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, web

from core.errors import ShardUnavailable
from gateway.operations import READ, Api, Call, Csv, Output, Page, PartialItems, streams
from gateway.operations.openapi import document
from gateway.operations.streams import Cells, cell


async def batches(*given: list[Cells]) -> AsyncGenerator[Iterable[Cells], None]:
    for batch in given:
        yield batch


async def text_of(table: Csv) -> str:
    return b"".join([chunk async for chunk in table.chunks()]).decode()


async def test_rows_are_read_back_as_they_were() -> None:
    given: list[list[Cells]] = [
        [{"name": 'He said "no", twice', "note": None}, {"name": "سطر\nsecond line", "note": 7}],
        [{"name": "", "note": True}],
    ]
    text = await text_of(Csv("t.csv", ["name", "note"], batches(*given)))
    assert text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}name,note\r\n")
    rows = list(csv.reader(io.StringIO(text[1:], newline="")))
    assert rows == [["name", "note"], ['He said "no", twice', ""], ["سطر\nsecond line", "7"], ["", "True"]]


async def test_a_table_without_rows_is_its_header() -> None:
    assert (await text_of(Csv("t.csv", ["a", "b"], batches())))[1:] == "a,b\r\n"
    assert (await text_of(Csv("t.csv", ["a", "b"], batches([]))))[1:] == "a,b\r\n"


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_run_is_text_to_it(begins: str) -> None:
    assert cell(f'{begins}HYPERLINK("http://evil")') == f'\'{begins}HYPERLINK("http://evil")'
    assert cell("a" + begins) == "a" + begins


async def test_the_error_of_the_first_batch_comes_before_any_byte() -> None:
    async def broken() -> AsyncGenerator[Iterable[Cells], None]:
        raise ShardUnavailable("gone")
        yield []

    with pytest.raises(ShardUnavailable):
        await anext(Csv("t.csv", ["a"], broken()).chunks())


@asynccontextmanager
async def served(table: Callable[[], Csv]) -> AsyncIterator[ClientSession]:
    """A client of a server that answers everything with the table."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await streams.stream(table(), request, dress=lambda response: None)

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        await runner.cleanup()


async def test_a_whole_table_arrives_and_head_has_its_headers_alone() -> None:
    made: list[list[Cells]] = [[{"a": 1}], [{"a": 2}]]
    async with served(lambda: Csv("t.csv", ["a"], batches(*made))) as session:
        async with session.get("/") as answer:
            assert (await answer.read()).decode("utf-8-sig") == "a\r\n1\r\n2\r\n"
        async with session.head("/") as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")


async def test_a_table_that_breaks_off_does_not_look_whole() -> None:
    async def breaking() -> AsyncGenerator[Iterable[Cells], None]:
        yield [{"a": 1}]
        raise ShardUnavailable("gone")

    async with served(lambda: Csv("t.csv", ["a"], breaking())) as session, session.get("/") as answer:
        assert answer.status == 200
        with pytest.raises(ClientError):
            await answer.read()


async def test_a_reader_who_takes_nothing_is_waited_for_in_bounded_time_and_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "DOWNLOAD_STALL_S", 0.3)
    made, closed = 0, asyncio.Event()

    async def endless() -> AsyncGenerator[Iterable[Cells], None]:
        nonlocal made
        try:
            while True:
                made += 1
                yield [{"a": "x" * 100_000}]
        finally:
            closed.set()

    async with served(lambda: Csv("t.csv", ["a"], endless())) as session, session.get("/") as answer:
        async with asyncio.timeout(20):
            await closed.wait()
        assert made * 100_000 < 64 * 1024 * 1024, "what the sockets hold, and no more"
        with pytest.raises(ClientError):
            await answer.read()


class Line(Output):
    id: int


def test_an_operation_that_may_answer_with_a_table_says_so() -> None:
    api = Api("/lines")

    @api.get("", intent=READ, longest_s=60)
    async def lines(call: Call, page: Page) -> PartialItems[Line] | Csv:
        """Lines."""
        raise NotImplementedError

    (operation,) = api.operations
    assert (operation.table, operation.result, operation.status) == (True, PartialItems[Line], 200)
    answer = document(api.operations)["paths"]["/lines"]["get"]["responses"]["200"]
    assert answer["content"].keys() == {"application/json", "text/csv"}
    assert "Content-Disposition" in answer["headers"]
