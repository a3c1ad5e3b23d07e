"""The breaker's promise over every sequence of events: bounded failures, one trial at a time, and a way back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.breaker import Breaker, BreakerState


def test_it_opens_after_enough_failures_in_a_row_and_admits_one_trial_after_the_pause() -> None:
    breaker = Breaker(failures_max=2, pause_s=1.0, trial_s=5.0)
    breaker = breaker.failed(0.0).succeeded(0.1).failed(0.2)
    assert breaker.state is BreakerState.CLOSED, "an answer between two failures forgives the first"
    breaker = breaker.failed(0.3)
    assert breaker.state is BreakerState.OPEN
    assert (breaker.since, breaker.admits(1.2), breaker.admits(1.3)) == (0.3, False, True)
    breaker = breaker.asked(1.3)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.admits(1.4), "one trial at a time"
    closed = breaker.succeeded(1.5)
    assert (closed.state, closed.since, closed.admits(1.5)) == (BreakerState.CLOSED, 1.5, True)


def test_each_failed_trial_doubles_the_pause_up_to_its_bound() -> None:
    breaker = Breaker(failures_max=1, pause_s=1.0, pause_max_s=3.0).failed(0.0)
    pauses = []
    for _ in range(4):
        now = breaker.next_at
        breaker = breaker.asked(now).failed(now)
        pauses.append(breaker.next_at - now)
    assert pauses == [2.0, 3.0, 3.0, 3.0]


def test_a_trial_of_which_nothing_is_heard_makes_room_for_another() -> None:
    breaker = Breaker(failures_max=1, pause_s=1.0, trial_s=5.0).failed(0.0).asked(1.0)
    assert (breaker.admits(5.9), breaker.admits(6.0)) == (False, True)


def test_an_answer_to_a_call_made_before_it_opened_does_not_close_it() -> None:
    assert Breaker(failures_max=1).failed(0.0).succeeded(0.1).state is BreakerState.OPEN


@given(st.lists(st.tuples(st.sampled_from(["succeeded", "failed"]), st.floats(0.01, 10.0)), max_size=60))
def test_whatever_happens_a_server_that_answers_again_is_used_again(events: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for event, passed_s in events:
        now += passed_s
        if breaker.admits(now):
            breaker = getattr(breaker.asked(now), event)(now)
    now = max(now, breaker.next_at)
    assert breaker.admits(now)
    assert breaker.asked(now).succeeded(now).state is BreakerState.CLOSED


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=60))
def test_while_it_is_not_closed_no_two_calls_are_admitted_within_the_pause(gaps: list[float]) -> None:
    breaker = Breaker(failures_max=1, pause_s=0.5, trial_s=0.5).failed(0.0)
    now, admitted = 0.0, []
    for gap in gaps:
        now += gap
        if breaker.admits(now):
            admitted.append(now)
            breaker = breaker.asked(now).failed(now)
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(admitted))
