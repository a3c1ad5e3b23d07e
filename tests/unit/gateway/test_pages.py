"""Pages: a bounded limit, and a cursor that only its own list gave out."""

from heapq import merge
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from gateway.operations.pages import Page, combined, parse_page
from gateway.signing import Signer

SIGNER = Signer([b"k" * 32], purpose="cursor")


def page(limit: str | None = None, cursor: str | None = None, operation: str = "requests_own") -> Page:
    return parse_page(limit, cursor, operation=operation, signer=SIGNER)


def refused(limit: str | None = None, cursor: str | None = None, operation: str = "requests_own") -> list[str]:
    with pytest.raises(Invalid) as caught:
        page(limit, cursor, operation)
    return [fault.field for fault in caught.value.fields]


def cursor_after(last: int) -> str:
    answer = page("1").items([UUID(int=last), UUID(int=0)], key=lambda id: id)
    assert answer.next is not None
    return answer.next


def test_limits_are_the_contracts() -> None:
    assert (page().limit, page("1").limit, page("100").limit) == (20, 1, 100)
    assert (PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX) == (20, 100)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "", "1.5", "ten", " 5", "٥", "²", "9" * 5000, "1\x00"])
def test_another_limit_is_refused(limit: str) -> None:
    assert refused(limit) == ["limit"]


def test_a_full_page_leads_on_from_its_last_row_and_the_last_page_to_nothing() -> None:
    rows = [UUID(int=n) for n in (5, 4, 3)]
    first = page("2").items(rows, key=lambda id: id)
    assert first.items == rows[:2]
    assert page("2", first.next).after == str(UUID(int=4))
    assert page("3").items(rows, key=lambda id: id).next is None
    assert page("3").items([], key=lambda id: id).items == []


def test_one_row_too_many_is_asked_for() -> None:
    assert page("7").fetch == 8


def test_a_cursor_is_good_for_its_own_list_only() -> None:
    assert refused(cursor=cursor_after(1), operation="vehicles_own") == ["cursor"]


@pytest.mark.parametrize("cursor", ["", "x", "W10", "é", "A" * 4000])
def test_what_was_never_given_out_is_refused(cursor: str) -> None:
    assert refused(cursor=cursor) == ["cursor"]


def test_a_tampered_cursor_is_refused() -> None:
    good = cursor_after(1)
    assert refused(cursor=("B" if good[0] == "A" else "A") + good[1:]) == ["cursor"]
    assert refused(cursor=Signer([b"f" * 32], purpose="cursor").sign(b'["requests_own","x"]')) == ["cursor"]


def test_limit_and_cursor_are_both_named() -> None:
    assert refused("0", "x") == ["limit", "cursor"]


Group = tuple[int, int]


@given(
    st.lists(st.dictionaries(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_groups_that_lie_on_several_shards_are_whole_on_every_page(shards: list[dict[int, int]], limit: int) -> None:
    expected = {key: sum(shard.get(key, 0) for shard in shards) for shard in shards for key in shard}
    found: list[Group] = []
    while True:
        after = found[-1][0] if found else -1
        parts = [sorted(item for item in shard.items() if item[0] > after)[: limit + 1] for shard in shards]
        rows = combined(list(merge(*parts)), key=lambda row: row[0], combine=lambda a, b: (a[0], a[1] + b[1]))
        found += rows[:limit]
        if len(rows) <= limit:
            break
    assert found == sorted(expected.items())
