"""The ledger: bounded, told once, and right about what other processes consumed. The store is a model of the script."""

from hypothesis import given
from hypothesis import strategies as st

from core.limiter.gcra import MICROSECONDS, Limit
from core.limiter.ledger import Ledger, Owed

LIMIT = Limit(10, 10 * MICROSECONDS)
DAY_US = 24 * 3600 * MICROSECONDS


class Store:
    """What the Lua script does, with the clock given."""

    def __init__(self) -> None:
        self.tats: dict[str, int] = {}

    def exchange(self, owed: list[Owed], now: int) -> list[int]:
        ahead = []
        for one in owed:
            tat = max(self.tats.get(one.key, 0), now)
            if one.cost_us:
                tat = min(tat + one.cost_us, now + one.cap_us)
                self.tats[one.key] = tat
            ahead.append(tat - now)
        return ahead


def exchange(ledger: Ledger, store: Store, now: int) -> None:
    owed = ledger.owed(100, now)
    for one, ahead in zip(owed, store.exchange(owed, now), strict=True):
        ledger.merge(one.key, ahead, now)


def admitted(ledger: Ledger, key: str, now: int, count: int) -> int:
    return sum(ledger.admit(key, LIMIT, now).admitted for _ in range(count))


def test_what_one_process_admitted_another_refuses_once_both_have_exchanged() -> None:
    store, one, other = Store(), Ledger(shares=True), Ledger(shares=True)
    assert admitted(one, "u", 0, 10) == 10
    exchange(one, store, 0)
    assert admitted(other, "u", 0, 1) == 1  # it has not heard yet
    exchange(other, store, 0)
    assert admitted(other, "u", 0, 10) == 0
    assert admitted(other, "u", 2 * LIMIT.interval_us, 10) == 1  # the one too many is paid back first


def test_a_process_alone_is_admitted_the_same_with_a_store_as_without() -> None:
    store, shared, alone = Store(), Ledger(shares=True), Ledger(shares=False)
    for now in range(0, 60 * MICROSECONDS, 300_000):
        assert shared.admit("u", LIMIT, now).admitted == alone.admit("u", LIMIT, now).admitted
        exchange(shared, store, now)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2 * MICROSECONDS)), max_size=150))
def test_processes_that_exchange_after_each_request_exceed_the_limit_by_one_each_at_most(
    steps: list[tuple[int, int]],
) -> None:
    store, ledgers = Store(), [Ledger(shares=True) for _ in range(3)]
    now, admitted_at = 0, []
    for number, gap in steps:
        now += gap
        if ledgers[number].admit("u", LIMIT, now).admitted:
            admitted_at.append(now)
        exchange(ledgers[number], store, now)
    for first, begins in enumerate(admitted_at):
        for last in range(first, len(admitted_at)):
            earned = (admitted_at[last] - begins) / LIMIT.interval_us
            assert last - first + 1 <= LIMIT.count + earned + len(ledgers)


def test_what_was_earned_back_before_it_could_be_told_is_not_told() -> None:
    store, ledger = Store(), Ledger(shares=True)
    assert admitted(ledger, "u", 0, 10) == 10
    late = 9 * MICROSECONDS
    assert [one.cost_us for one in ledger.owed(10, late)] == [MICROSECONDS]
    ledger.admit("v", LIMIT, 0)
    assert ledger.owed(10, DAY_US) == []
    exchange(ledger, store, DAY_US)
    assert store.tats == {}


def test_what_could_not_be_told_is_told_later_and_only_once() -> None:
    ledger = Ledger(shares=True)
    admitted(ledger, "u", 0, 3)
    owed = ledger.owed(10, 0)
    assert not ledger.owes
    ledger.put_back(owed)
    assert ledger.owes
    assert ledger.owed(10, 0) == owed
    assert ledger.owed(10, 0) == []


def test_a_mark_set_by_one_process_is_known_to_another_at_its_second_question() -> None:
    store, one, other = Store(), Ledger(shares=True), Ledger(shares=True)
    one.mark("known", DAY_US, 0)
    one.mark("known", DAY_US, 5)  # again is no longer than once
    exchange(one, store, 5)
    assert store.tats["known"] <= 5 + DAY_US
    assert not other.is_marked("known", 10)
    exchange(other, store, 10)
    assert other.is_marked("known", 20)
    assert not other.is_marked("known", 2 * DAY_US)


def test_asking_writes_nothing() -> None:
    store, ledger = Store(), Ledger(shares=True)
    assert not ledger.is_marked("known", 0)
    exchange(ledger, store, 0)
    assert store.tats == {}


def test_alone_it_keeps_nothing_to_tell() -> None:
    ledger = Ledger(shares=False)
    ledger.admit("u", LIMIT, 0)
    ledger.mark("known", DAY_US, 0)
    assert not ledger.is_marked("other", 0)
    assert not ledger.owes


def test_it_forgets_what_was_not_used_for_longest_and_what_it_owed_of_it() -> None:
    ledger = Ledger(shares=True, keys_max=3)
    for key in "abca":
        ledger.admit(key, LIMIT, 0)
    ledger.admit("d", LIMIT, 0)
    assert len(ledger) == 3
    assert {one.key for one in ledger.owed(10, 0)} == {"c", "a", "d"}
    ledger.merge("b", MICROSECONDS, 0)
    ledger.put_back([Owed("b", 1, 1)])
    assert not ledger.owes


def test_an_answer_never_moves_a_tat_back() -> None:
    ledger = Ledger(shares=True)
    assert admitted(ledger, "u", 0, 10) == 10
    ledger.owed(10, 0)
    ledger.merge("u", MICROSECONDS, 0)
    assert admitted(ledger, "u", 0, 1) == 0


def test_nobody_waits_longer_than_two_counts_whatever_the_store_says() -> None:
    ledger = Ledger(shares=True)
    ledger.admit("u", LIMIT, 0)
    ledger.owed(10, 0)
    ledger.merge("u", DAY_US, 0)
    assert ledger.admit("u", LIMIT, 0).retry_us <= 2 * LIMIT.burst_us
