"""GCRA by its own promises: never more than the burst and the rate in any window, and a TAT that never moves back."""

from hypothesis import given
from hypothesis import strategies as st

from core.limiter.gcra import MICROSECONDS, Limit, decide

LIMITS = st.builds(Limit, count=st.integers(1, 50), period_us=st.integers(1, 60 * MICROSECONDS))
GAPS = st.lists(st.integers(0, 5 * MICROSECONDS), min_size=1, max_size=120)
LIMIT = Limit(600, 60 * MICROSECONDS)


def admitted_at(limit: Limit, gaps: list[int]) -> list[int]:
    """When arrivals with these gaps between them are admitted."""
    now, tat, admitted = 1_000, 0, []
    for gap in gaps:
        now += gap
        tat, verdict = decide(limit, tat, now)
        if verdict.admitted:
            admitted.append(now)
    return admitted


@given(LIMITS, GAPS)
def test_no_window_admits_more_than_the_count_and_what_is_earned_back_in_it(limit: Limit, gaps: list[int]) -> None:
    admitted = admitted_at(limit, gaps)
    for first, begins in enumerate(admitted):
        for last in range(first, len(admitted)):
            window_us = admitted[last] - begins
            assert last - first + 1 <= limit.count + window_us / limit.interval_us


@given(LIMITS, st.integers(0, 10**12), st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=50))
def test_the_tat_never_moves_back_whatever_the_clock_does(limit: Limit, start: int, steps: list[int]) -> None:
    now, tat = start, 0
    for step in steps:
        now += step
        after, _ = decide(limit, tat, now)
        assert after >= tat
        tat = after


@given(LIMITS, GAPS)
def test_who_waits_as_long_as_told_is_admitted_and_not_a_microsecond_sooner(limit: Limit, gaps: list[int]) -> None:
    now, tat = 1_000, 0
    for gap in gaps:
        now += gap
        tat, verdict = decide(limit, tat, now)
        if verdict.retry_us:
            assert not verdict.admitted
            assert decide(limit, tat, now + verdict.retry_us)[1].admitted
            assert not decide(limit, tat, now + verdict.retry_us - 1)[1].admitted


@given(LIMITS, GAPS)
def test_as_many_as_are_said_to_remain_are_admitted_at_once_and_no_more(limit: Limit, gaps: list[int]) -> None:
    now, tat = 1_000, 0
    for gap in gaps:
        now += gap
        tat, verdict = decide(limit, tat, now)
    for _ in range(verdict.remaining):
        tat, more = decide(limit, tat, now)
        assert more.admitted
    assert not decide(limit, tat, now)[1].admitted


@given(LIMITS, GAPS)
def test_after_the_reset_the_whole_count_is_there_again(limit: Limit, gaps: list[int]) -> None:
    now, tat = 1_000, 0
    for gap in gaps:
        now += gap
        tat, verdict = decide(limit, tat, now)
    later = now + verdict.reset_us
    assert decide(limit, tat, later)[1].remaining == limit.count - 1


def test_a_refusal_costs_nothing() -> None:
    tat = 0
    for _ in range(600):
        tat, verdict = decide(LIMIT, tat, 0)
        assert verdict.admitted
    assert decide(LIMIT, tat, 0)[0] == tat
    assert not decide(LIMIT, tat, 0)[1].admitted
    assert decide(LIMIT, tat, LIMIT.interval_us)[1].admitted
