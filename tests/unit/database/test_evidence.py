"""Roles from evidence: never two primaries, never a stranger, never an older timeline, never stale evidence."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.evidence import Evidence, LagClock, NodeState, Reach, Roles, assign
from core.database.lineage import Lineage
from core.limits import EVIDENCE_AGE_MAX_S, LAG_MAX_MS, LAG_SAMPLE_S, POSITION_SAMPLES_MAX
from core.shard_map.model import Address

NOW = 1000.0
A, B, C = (Address(f"10.0.0.{n}", 5432) for n in (1, 2, 3))
OURS, THEIRS = 7, 8
KNOWN = Roles(A, (B,), OURS, Lineage(2, ((1, 50),)))


def seen(
    *, recovering: bool = False, timeline: int = 2, system_id: int = OURS, age_s: float = 0.0, lsn: int = 100
) -> NodeState:
    """A node that answered `age_s` seconds ago."""
    return NodeState().observed(Evidence(system_id, timeline, recovering, lsn, NOW - age_s))


PRIMARY, REPLICA = seen(), seen(recovering=True)
SILENT = PRIMARY.failed("no answer in time", NOW)


@pytest.mark.parametrize(
    ("before", "states", "primary", "replicas"),
    [
        pytest.param(Roles(), {}, None, (), id="nothing is known of nodes never seen"),
        pytest.param(Roles(), {A: NodeState(), B: NodeState()}, None, (), id="an unknown node has no role"),
        pytest.param(Roles(), {A: PRIMARY, B: REPLICA}, A, (B,), id="roles are what was observed"),
        pytest.param(Roles(), {A: REPLICA, B: PRIMARY}, B, (A,), id="not what the map says"),
        pytest.param(Roles(), {A: REPLICA, B: REPLICA}, None, (A, B), id="two replicas make no primary"),
        pytest.param(KNOWN, {A: SILENT, B: REPLICA}, None, (B,), id="a primary that does not answer is none"),
        pytest.param(KNOWN, {A: SILENT, B: seen(timeline=3)}, B, (), id="a promoted replica takes over"),
        pytest.param(KNOWN, {A: seen(age_s=EVIDENCE_AGE_MAX_S)}, A, (), id="evidence holds for a while"),
        pytest.param(KNOWN, {A: seen(age_s=EVIDENCE_AGE_MAX_S + 0.01)}, None, (), id="stale evidence is not believed"),
        pytest.param(KNOWN, {A: seen(timeline=1)}, None, (), id="an older timeline never becomes primary"),
        pytest.param(KNOWN, {A: seen(timeline=1), B: seen(timeline=3)}, B, (), id="the newer timeline wins"),
        pytest.param(KNOWN, {A: PRIMARY, B: seen(timeline=3)}, None, (), id="two writable nodes stop all writes"),
        pytest.param(KNOWN, {A: seen(system_id=THEIRS)}, None, (), id="another cluster is never primary"),
        pytest.param(
            KNOWN, {A: PRIMARY, B: seen(recovering=True, system_id=THEIRS)}, A, (), id="nor is it a replica of ours"
        ),
    ],
)
def test_roles_follow_from_what_was_seen(
    before: Roles, states: Mapping[Address, NodeState], primary: Address | None, replicas: tuple[Address, ...]
) -> None:
    roles = assign(before, states, NOW)
    assert (roles.primary, roles.replicas) == (primary, replicas)


@pytest.mark.parametrize(
    ("states", "alarm"),
    [
        ({A: PRIMARY, B: REPLICA}, ""),
        ({A: SILENT, B: REPLICA}, ""),
        (
            {A: PRIMARY, B: PRIMARY},
            f"2 writable nodes at once ({A}, {B}): writes are stopped until one is fenced",
        ),
        (
            {A: seen(timeline=1), B: seen(timeline=2)},
            f"{A} is writable on an older timeline: a former primary that must be fenced",
        ),
        (
            {A: PRIMARY, B: seen(system_id=THEIRS)},
            f"{B} belongs to another PostgreSQL cluster (system id differs): not used",
        ),
    ],
    ids=["healthy", "primary silent", "two primaries", "former primary", "stranger"],
)
def test_the_alarm_says_what_a_person_must_do(states: Mapping[Address, NodeState], alarm: str) -> None:
    assert assign(KNOWN, states, NOW).alarm == alarm


def test_the_first_cluster_seen_stays_the_shards_own() -> None:
    roles = assign(Roles(), {A: PRIMARY}, NOW)
    for states in ({}, {A: SILENT}, {B: seen(system_id=THEIRS, timeline=9)}):
        roles = assign(roles, states, NOW)
        assert (roles.system_id, roles.primary, roles.timeline) == (OURS, None, 2)
    assert assign(roles, {A: PRIMARY}, NOW).primary == A


def test_a_primary_decides_whose_cluster_it_is_when_several_answer_at_first() -> None:
    roles = assign(Roles(), {A: seen(recovering=True, system_id=THEIRS), B: PRIMARY}, NOW)
    assert (roles.system_id, roles.primary, roles.replicas) == (OURS, B, ())


def test_a_replica_of_another_cluster_that_answers_first_decides_nothing() -> None:
    roles = assign(Roles(), {A: seen(recovering=True, system_id=THEIRS)}, NOW)
    roles = assign(roles, {A: seen(recovering=True, system_id=THEIRS), B: PRIMARY}, NOW)
    assert (roles.system_id, roles.primary, roles.replicas) == (OURS, B, ())


node_states = st.one_of(
    st.just(NodeState()),
    st.builds(
        lambda evidence, reach: replace(NodeState().observed(evidence), reach=reach),
        st.builds(
            Evidence,
            st.sampled_from([OURS, THEIRS]),
            st.integers(1, 4),
            st.booleans(),
            st.integers(0, 100),
            st.floats(NOW - 2 * EVIDENCE_AGE_MAX_S, NOW),
        ),
        st.sampled_from(Reach),
    ),
)


@given(st.lists(st.fixed_dictionaries({A: node_states, B: node_states, C: node_states}), max_size=8))
def test_whatever_is_seen_there_is_one_primary_at_most_and_never_a_wrong_one(
    history: list[dict[Address, NodeState]],
) -> None:
    before = Roles()
    for states in history:
        roles = assign(before, states, NOW)
        used = [*roles.replicas, *([roles.primary] if roles.primary else [])]
        assert len(set(used)) == len(used)
        for at in used:
            evidence = states[at].evidence
            assert evidence is not None
            assert states[at].is_fresh(NOW)
            assert evidence.system_id == roles.system_id
            assert evidence.in_recovery == (at != roles.primary)
        writable = [
            at
            for at, state in states.items()
            if state.is_fresh(NOW)
            and state.evidence is not None
            and not state.evidence.in_recovery
            and state.evidence.system_id == roles.system_id
            and state.evidence.timeline >= before.timeline
        ]
        assert roles.primary == (writable[0] if len(writable) == 1 else None)
        assert roles.timeline >= before.timeline
        assert before.system_id in (None, roles.system_id) or not before.timeline
        assert bool(roles.alarm) or len(writable) < 2
        before = roles


def test_a_node_state_remembers_since_when_and_what_was_last_said() -> None:
    up = NodeState().observed(Evidence(OURS, 1, False, 10, 5.0))
    assert (up.reach, up.since) == (Reach.UP, 5.0)
    assert up.observed(Evidence(OURS, 1, False, 11, 6.0)).since == 5.0
    down = up.failed("connection refused", 7.0)
    assert (down.reach, down.since, down.reason, down.evidence) == (
        Reach.UNREACHABLE,
        7.0,
        "connection refused",
        up.evidence,
    )
    assert down.failed("no answer in time", 8.0).since == 7.0
    assert not down.is_fresh(7.0), "what an unreachable node once said is not believed"
    assert down.observed(Evidence(OURS, 1, False, 12, 9.0)) == NodeState(
        Reach.UP, Evidence(OURS, 1, False, 12, 9.0), 9.0, answered_at=9.0
    )


def test_a_node_that_is_too_busy_to_be_observed_is_believed_as_long_as_it_shows_life() -> None:
    state = PRIMARY
    for second in range(1, 20):
        state = state.saturated("too many clients", NOW + second)
    assert state.is_fresh(NOW + 19 + EVIDENCE_AGE_MAX_S)
    assert not state.is_fresh(NOW + 20 + EVIDENCE_AGE_MAX_S)
    assert assign(KNOWN, {A: state, B: REPLICA.saturated("too many clients", NOW + 19)}, NOW + 19).primary == A


def test_a_node_that_was_down_is_not_believed_because_it_is_busy_now() -> None:
    assert SILENT.saturated("too many clients", NOW).reach is Reach.UNREACHABLE
    assert NodeState().saturated("too many clients", NOW).reach is Reach.UNREACHABLE


def test_a_replica_with_what_a_failover_cut_off_is_not_read_from() -> None:
    promoted = NodeState().observed(Evidence(OURS, 3, False, 200, NOW, Lineage(3, ((1, 50), (2, 100)))))
    kept, cut_off = seen(recovering=True, lsn=100), seen(recovering=True, lsn=101)
    roles = assign(KNOWN, {A: promoted, B: kept, C: cut_off}, NOW)
    assert (roles.primary, roles.replicas, roles.timeline) == (A, (B,), 3)
    assert roles.alarm == f"{C} has what a failover cut off: not read from; rebuild it as a replica"


def test_where_the_history_may_not_be_read_it_is_what_was_seen_of_the_promoted_node() -> None:
    replica = seen(recovering=True, lsn=90)
    evidence = Evidence(OURS, 3, False, 200, NOW)
    roles = assign(KNOWN, {A: SILENT, B: replica.observed(evidence)}, NOW)
    assert roles.lineage == Lineage(3, ((1, 50), (2, 90)))
    unseen = assign(KNOWN, {A: SILENT, B: NodeState().observed(evidence)}, NOW)
    assert not unseen.lineage.holds(2, 1), "nothing of the old timeline is proven to be kept"


def at(lsn: int, now: float) -> Evidence:
    """A replica at `lsn`."""
    return Evidence(OURS, 1, True, lsn, now)


def test_lag_is_the_age_of_the_oldest_position_that_the_replica_does_not_have() -> None:
    clock = LagClock()
    for second in range(5):
        clock.primary_at(100 + second, float(second))
    assert clock.lag_ms(at(104, 9.0)) == 0
    assert clock.lag_ms(at(103, 4.0)) == 0
    assert clock.lag_ms(at(103, 6.0)) == 2000
    assert clock.lag_ms(at(100, 6.0)) == 5000
    assert clock.lag_ms(at(0, 6.0)) == 6000


def test_lag_does_not_grow_while_the_primary_is_idle() -> None:
    clock = LagClock()
    for second in range(600):
        clock.primary_at(100, float(second))
    assert clock.lag_ms(at(100, 600.0)) == 0


def test_a_replica_that_nothing_is_known_of_is_not_said_to_lag() -> None:
    assert LagClock().lag_ms(at(5, 100.0)) == 0


def test_a_replica_that_stands_still_is_seen_to_lag_beyond_the_bound_however_busy_the_primary() -> None:
    clock = LagClock()
    now = 0.0
    for number in range(POSITION_SAMPLES_MAX * 20):
        now = number * LAG_SAMPLE_S / 10
        clock.primary_at(100 + number, now)
    assert LAG_MAX_MS < clock.lag_ms(at(100, now)) <= now * 1000


def test_a_new_primary_behind_the_old_ones_last_position_does_not_make_its_replicas_lag() -> None:
    clock = LagClock()
    clock.primary_at(500, 0.0)
    clock.primary_at(300, 10.0)
    assert clock.lag_ms(at(300, 90.0)) == 0
    clock.primary_at(400, 91.0)
    assert clock.lag_ms(at(300, 93.0)) == 2000


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), min_size=1, max_size=60),
    st.integers(0, 3000),
    st.floats(0, 9),
)
def test_lag_is_never_negative_never_older_than_the_first_sample_and_smaller_for_who_has_more(
    steps: list[tuple[float, int]], lsn: int, later: float
) -> None:
    clock, now, primary = LagClock(), 0.0, 100
    for pause, grown in steps:
        now, primary = now + pause, primary + grown
        clock.primary_at(primary, now)
    behind, ahead = clock.lag_ms(at(lsn, now + later)), clock.lag_ms(at(lsn + 10, now + later))
    assert 0 <= ahead <= behind <= round((now + later) * 1000)
    assert clock.lag_ms(at(primary, now + later)) == 0
