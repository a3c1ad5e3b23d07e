"""Tables as CSV: what a spreadsheet reads back, and what it must never run."""

import csv
import io
from collections.abc import AsyncGenerator, Iterable

import pytest

from core.errors import ShardUnavailable
from gateway.operations import Csv
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
