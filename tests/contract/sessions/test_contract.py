"""What every session store promises, asked of each of them."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from core.sessions import Revoked, SessionStore
from tests.contract.sessions.sample import StoppedClock, new_session


async def test_an_unknown_id_is_none(store: SessionStore) -> None:
    assert await store.get(uuid4()) is None


async def test_a_session_comes_back_as_it_was_put(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    assert await store.put(session) == session
    assert await store.get(session.id) == session


async def test_a_use_is_seen_in_seen_at(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.put(session)
    clock.forward(seconds=30)
    assert await store.get(session.id) == replace(session, seen_at=clock())


async def test_an_idle_session_is_forgotten(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.put(session)
    clock.forward(seconds=600)
    assert await store.get(session.id) is None


async def test_use_puts_off_the_idle_end(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.put(session)
    clock.forward(seconds=500)
    assert await store.get(session.id) is not None
    clock.forward(seconds=350)
    assert await store.get(session.id) is not None


async def test_use_does_not_put_off_the_absolute_end(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock(), lasts_s=700)
    await store.put(session)
    clock.forward(seconds=400)
    assert await store.get(session.id) is not None
    clock.forward(seconds=300)
    assert await store.get(session.id) is None


async def test_a_session_must_be_confirmed_again_however_much_it_is_used(
    store: SessionStore, clock: StoppedClock
) -> None:
    session = new_session(clock())
    await store.put(session)
    clock.forward(seconds=500)
    assert await store.get(session.id) is not None
    clock.forward(seconds=400)
    assert await store.get(session.id) is None
    assert await store.put(replace(session, seen_at=clock())) is not None
    assert await store.get(session.id) is not None


async def test_a_session_with_no_time_left_is_not_kept(store: SessionStore, clock: StoppedClock) -> None:
    ended, idle, old = (new_session(clock()) for _ in range(3))
    assert await store.put(replace(ended, expires_at=clock())) is None
    assert await store.put(replace(idle, seen_at=clock() - timedelta(seconds=600))) is None
    assert await store.put(old, confirmed_at=clock() - timedelta(seconds=900)) is None
    assert [await store.get(session.id) for session in (ended, idle, old)] == [None] * 3


async def test_the_later_confirmed_put_wins_and_the_latest_use_is_kept(
    store: SessionStore, clock: StoppedClock
) -> None:
    session = new_session(clock())
    await store.put(replace(session, role="staff", seen_at=clock()))
    await store.put(
        replace(session, seen_at=clock() - timedelta(seconds=500)), confirmed_at=clock() - timedelta(seconds=60)
    )
    clock.forward(seconds=599)
    assert await store.get(session.id) == replace(session, role="staff", seen_at=clock())


async def test_a_put_replaces_what_was_confirmed_before(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.put(session)
    await store.put(replace(session, role="garage"))
    assert await store.get(session.id) == replace(session, role="garage")


async def test_a_revoked_session_is_known_as_such(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.put(session)
    await store.revoke(session.id)
    assert await store.get(session.id) == Revoked(session.id)


async def test_a_reader_of_an_old_row_does_not_bring_a_revoked_session_back(
    store: SessionStore, clock: StoppedClock
) -> None:
    session = new_session(clock())
    await store.revoke(session.id)
    clock.forward(seconds=10)
    assert await store.put(session) == Revoked(session.id)
    assert await store.get(session.id) == Revoked(session.id)


async def test_a_revocation_outlives_every_put_that_could_undo_it(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    read_at = clock()
    await store.revoke(session.id)
    clock.forward(seconds=899)
    assert await store.put(replace(session, seen_at=clock()), confirmed_at=read_at) == Revoked(session.id)
    clock.forward(seconds=60)
    assert await store.put(replace(session, seen_at=clock()), confirmed_at=read_at) is None
    assert await store.get(session.id) is None


async def test_logout_everywhere_ends_known_and_unknown_sessions_of_that_user_only(
    store: SessionStore, clock: StoppedClock
) -> None:
    known = new_session(clock())
    unknown = new_session(clock(), user=known.user)
    stranger = new_session(clock())
    await store.put(known)
    await store.put(stranger)
    await store.revoke_all(known.user)
    assert await store.get(known.id) == Revoked(known.id)
    assert await store.put(unknown) == Revoked(unknown.id)
    assert await store.get(stranger.id) == stranger


async def test_a_login_after_logout_everywhere_is_live(store: SessionStore, clock: StoppedClock) -> None:
    before = new_session(clock())
    await store.put(before)
    await store.revoke_all(before.user)
    clock.forward(microseconds=1)
    after = new_session(clock(), user=before.user)
    assert await store.put(after) == after
    assert await store.get(after.id) == after


async def test_logout_everywhere_takes_the_databases_time(store: SessionStore, clock: StoppedClock) -> None:
    older = new_session(clock() - timedelta(seconds=5))
    newer = new_session(clock(), user=older.user)
    await store.put(older)
    await store.put(newer)
    await store.revoke_all(older.user, before=clock() - timedelta(seconds=1))
    assert await store.get(older.id) == Revoked(older.id)
    assert await store.get(newer.id) == newer


async def test_an_earlier_logout_everywhere_does_not_undo_a_later_one(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.revoke_all(session.user)
    await store.revoke_all(session.user, before=clock() - timedelta(hours=1))
    assert await store.put(session) == Revoked(session.id)


async def test_the_mark_of_a_logout_everywhere_outlives_old_rows(store: SessionStore, clock: StoppedClock) -> None:
    session = new_session(clock())
    await store.revoke_all(session.user)
    clock.forward(seconds=899)
    assert await store.put(replace(session, seen_at=clock())) == Revoked(session.id)
