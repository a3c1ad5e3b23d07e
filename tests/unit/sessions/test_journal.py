"""The journal of a fallback: order, replacement, bound."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from core.sessions.journal import Entry, Journal, Put, Revoke, RevokeAll
from tests.contract.sessions.sample import NOON, new_session


def drained(journal: Journal) -> list[Entry]:
    entries = []
    while some := journal.next(2):
        entries += some
        for entry in some:
            journal.done(entry)
    return entries


def test_revocations_come_before_sessions() -> None:
    journal, session, ended, user = Journal(), new_session(NOON), uuid4(), uuid4()
    journal.put(session, NOON)
    journal.revoke(ended)
    journal.revoke_all(user, NOON)
    assert len(journal) == 3
    assert drained(journal) == [RevokeAll(user, NOON), Revoke(ended), Put(session, NOON)]
    assert len(journal) == 0


def test_a_session_that_was_ended_is_not_put() -> None:
    journal, session = Journal(), new_session(NOON)
    journal.put(session, NOON)
    journal.revoke(session.id)
    assert drained(journal) == [Revoke(session.id)]


def test_an_entry_replaced_while_it_was_written_stays() -> None:
    journal, session = Journal(), new_session(NOON)
    journal.put(session, NOON)
    (writing,) = journal.next(1)
    used = replace(session, seen_at=NOON + timedelta(seconds=1))
    journal.used(used)
    journal.done(writing)
    assert drained(journal) == [Put(used, NOON)]


def test_the_use_of_a_session_that_is_not_noted_is_not_noted() -> None:
    journal = Journal()
    journal.used(new_session(NOON))
    assert len(journal) == 0


def test_the_latest_logout_everywhere_counts() -> None:
    journal, user = Journal(), uuid4()
    journal.revoke_all(user, NOON)
    journal.revoke_all(user, NOON - timedelta(hours=1))
    assert drained(journal) == [RevokeAll(user, NOON)]


def test_over_its_bound_the_oldest_go() -> None:
    journal, sessions = Journal(entries_max=2), [new_session(NOON) for _ in range(3)]
    for session in sessions:
        journal.put(session, NOON)
    assert drained(journal) == [Put(session, NOON) for session in sessions[1:]]
