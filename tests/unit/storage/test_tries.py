"""How a file that cannot be moved is tried again."""

from core.limits import DRAIN_INTERVAL_S, SPOOL_WAIT_MAX_S
from core.storage.files import TRIES_WITHOUT_PAUSE, Tries


def test_the_first_tries_follow_at_once_and_later_ones_less_and_less_often() -> None:
    tries, pauses = Tries(), []
    for _ in range(200):
        tries = tries.after_one(now=100.0)
        pauses.append(tries.next_at - 100.0)
    assert pauses[:TRIES_WITHOUT_PAUSE] == [0.0] * TRIES_WITHOUT_PAUSE
    assert pauses[TRIES_WITHOUT_PAUSE] == DRAIN_INTERVAL_S * 2
    assert pauses == sorted(pauses)
    assert pauses[-1] == SPOOL_WAIT_MAX_S
