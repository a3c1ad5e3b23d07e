"""What of the past a cluster still has, after any number of failovers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.lineage import NO_LINEAGE, Lineage, parse_history, parse_lsn

HISTORY = """1\t0/3000148\tno recovery target specified

# a comment
2\t1/0\tno recovery target specified
"""


def test_a_history_file_is_read() -> None:
    assert parse_history(3, HISTORY) == Lineage(3, ((1, 0x3000148), (2, 1 << 32)))
    assert parse_history(1, "") == Lineage(1)


@pytest.mark.parametrize("text", ["1\n", "one 0/1 reason\n", "1 3000148 reason x\nq"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_history(2, text)


@pytest.mark.parametrize(
    ("timeline", "lsn", "held"),
    [
        (1, 0x3000148, True),
        (1, 0x3000149, False),
        (2, 1 << 32, True),
        (2, (1 << 32) + 1, False),
        (3, 1 << 60, True),
        (4, 0, True),
    ],
)
def test_a_position_is_held_up_to_where_its_timeline_was_left(timeline: int, lsn: int, held: bool) -> None:
    assert parse_history(3, HISTORY).holds(timeline, lsn) is held


def test_a_timeline_that_is_no_ancestor_is_lost_whole() -> None:
    assert not Lineage(3, ((1, 100),)).holds(2, 1)


def test_as_long_as_nothing_is_known_nothing_is_lost() -> None:
    assert NO_LINEAGE.holds(1, 100)


@given(st.lists(st.integers(1, 1000), max_size=6), st.integers(1, 7), st.integers(0, 2000))
def test_a_promotion_never_brings_back_what_was_lost(forks: list[int], timeline: int, lsn: int) -> None:
    lineage = Lineage(1)
    lost = False
    for number, fork in enumerate(forks, start=2):
        lineage = lineage.promoted(number, fork)
        held = lineage.holds(timeline, lsn)
        assert not (lost and held)
        lost = not held


def test_positions_are_numbers() -> None:
    assert parse_lsn("16/B374D848") == 0x16B374D848
