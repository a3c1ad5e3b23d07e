"""The state machine of the fallback, without a clock."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from core.sessions.availability import Availability, Event, Mode, Rhythm, Sighting

RHYTHM = Rhythm(interval_s=1.0, first_s=0.1, longest_s=2.0)
START = Availability(RHYTHM)


def after(*events: Event, state: Availability = START, now: float = 10.0) -> Availability:
    return reduce(lambda seen, event: seen.after(event, now), events, state)


def test_it_begins_with_the_primary_and_looks_at_once() -> None:
    assert START.uses_primary
    assert START.rest_s(0.0) == 0.0


def test_the_first_failure_leaves_the_primary_and_looks_again_soon() -> None:
    for event in (Event.CALL_FAILED, Event.PROBE_FAILED):
        state = after(event)
        assert (state.mode, state.since, state.probe_at) == (Mode.FALLBACK, 10.0, 10.1)


def test_calls_that_fail_late_change_nothing() -> None:
    fallen = after(Event.CALL_FAILED)
    assert fallen.after(Event.CALL_FAILED, 99.0) == fallen
    restoring = fallen.after(Event.PROBE_ANSWERED, 11.0)
    assert restoring.after(Event.CALL_FAILED, 99.0) == restoring


def test_failed_probes_wait_longer_up_to_a_bound() -> None:
    state, pauses = after(Event.CALL_FAILED), []
    for _ in range(6):
        state = state.after(Event.PROBE_FAILED, 20.0)
        pauses.append(round(state.rest_s(20.0), 3))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert state.since == 10.0


def test_an_answer_alone_does_not_bring_the_primary_back() -> None:
    state = after(Event.CALL_FAILED, Event.PROBE_ANSWERED)
    assert state.mode is Mode.RESTORING
    assert not state.uses_primary
    assert state.since == 10.0


def test_everything_written_brings_the_primary_back() -> None:
    state = after(Event.CALL_FAILED, Event.PROBE_FAILED, Event.PROBE_ANSWERED, Event.RESTORED, now=12.0)
    assert (state.mode, state.failures, state.since, state.probe_at) == (Mode.PRIMARY, 0, 12.0, 13.0)


def test_a_write_that_fails_while_restoring_is_a_failed_probe() -> None:
    state = after(Event.CALL_FAILED, Event.PROBE_ANSWERED, Event.PROBE_FAILED)
    assert (state.mode, state.failures) == (Mode.FALLBACK, 1)


def test_a_healthy_primary_is_looked_at_regularly() -> None:
    assert after(Event.PROBE_ANSWERED).rest_s(10.0) == 1.0


@given(st.lists(st.tuples(st.sampled_from(Event), st.floats(0, 5)), max_size=60))
def test_the_primary_is_used_again_only_after_a_restore(steps: list[tuple[Event, float]]) -> None:
    state, now = START, 0.0
    for event, passed in steps:
        now += passed
        before, state = state, state.after(event, now)
        if state.uses_primary and not before.uses_primary:
            assert (before.mode, event) == (Mode.RESTORING, Event.RESTORED)
        if before.uses_primary and not state.uses_primary:
            assert event in (Event.CALL_FAILED, Event.PROBE_FAILED)
        if not before.uses_primary and not state.uses_primary:
            assert state.since == before.since
        assert state.rest_s(now) <= RHYTHM.longest_s + 1e-6


def test_a_sighting_is_believed_only_while_fresh() -> None:
    assert Sighting(answered=True, at=10.0, detail="").is_connected(15.0)
    assert not Sighting(answered=True, at=10.0, detail="").is_connected(15.1)
    assert not Sighting(answered=False, at=10.0, detail="").is_connected(10.0)
