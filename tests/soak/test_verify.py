"""The soak's judge finds each kind of broken promise, and nothing where every promise was kept."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from core.ids import Placement, make_id
from tests.soak.evidence import AccountRow, Evidence, Row
from tests.soak.ledger import LANDS_WITHIN_S, Account, Ledger, Values
from tests.soak.verify import PROBE, verify

QA, SA = 1, 2
LOW, HIGH = 10, 3000


def id_at(region: int, bucket: int, number: int) -> UUID:
    return make_id(Placement(region, bucket), now_ms=1, random_bits=number)


USER, ADDRESS, UPLOAD = (id_at(SA, LOW, number) for number in (1, 2, 3))


class Case:
    """One user of sa-1 with an address and an upload, all as it should be, at a time that tests move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ledger = Ledger(lambda: self.now)
        self.account = Account("sa", "+966", USER, Values("Noora"))
        self.ledger.registered(self.account)
        self.ledger.created(self.account, "address", "mark", ADDRESS, "home")
        self.ledger.created(self.account, "upload", "sha", UPLOAD, "sha")
        owners = {("qa", b): "qa-1" for b in (LOW, HIGH)} | {("sa", LOW): "sa-1", ("sa", HIGH): "sa-2"}
        self.seen = Evidence({QA: "qa", SA: "sa"}, owners)
        self.seen.accounts = [AccountRow("sa-1", USER, "Noora", "+966", 1)]
        self.seen.rows["address"] = [Row("sa-1", ADDRESS, USER, "home", "mark")]
        self.seen.rows["upload"] = [Row("sa-1", UPLOAD, USER, "sha", "sha")]
        self.seen.files = {UPLOAD}
        self.seen.objects = {"qa": {PROBE: "probe"}, "sa": {f"sa/{UPLOAD}": "sha", PROBE: "probe"}}

    @property
    def address(self) -> Row:
        return self.seen.rows["address"][0]

    def violations(self) -> list[str]:
        verify(self.ledger, self.seen)
        return self.ledger.violations


def test_kept_promises_are_no_violation() -> None:
    assert Case().violations() == []


def _lost(case: Case) -> None:
    case.seen.rows["address"] = []


def _stale(case: Case) -> None:
    case.ledger.changed(case.account.rows["address"][ADDRESS].value, "work", known=True)


def _back_from_the_dead(case: Case) -> None:
    case.ledger.removed(case.account.rows["address"][ADDRESS], known=True)


def _made_twice(case: Case) -> None:
    case.seen.rows["address"].append(replace(case.address, id=id_at(SA, LOW, 9)))


def _never_sent(case: Case) -> None:
    case.seen.rows["address"].append(replace(case.address, id=id_at(SA, LOW, 9), mark="another"))


def _on_two_shards(case: Case) -> None:
    case.seen.rows["address"].append(replace(case.address, shard="sa-2"))


def _on_the_wrong_shard(case: Case) -> None:
    case.seen.rows["address"] = [replace(case.address, shard="sa-2")]


def _in_the_wrong_region(case: Case) -> None:
    case.seen.rows["address"] = [replace(case.address, shard="qa-1")]


def _of_nobody(case: Case) -> None:
    case.seen.rows["vehicle"] = [Row("sa-1", id_at(SA, LOW, 7), id_at(SA, LOW, 8), "x", "x")]


def _account_lost(case: Case) -> None:
    case.seen.accounts = []


def _account_twice(case: Case) -> None:
    case.seen.accounts.append(AccountRow("sa-2", id_at(SA, HIGH, 5), "Noora", "+966", 0))


def _upload_not_stored(case: Case) -> None:
    case.seen.objects["sa"] = {}


def _upload_damaged(case: Case) -> None:
    case.seen.objects["sa"][f"sa/{UPLOAD}"] = "another"


def _upload_in_another_region(case: Case) -> None:
    case.seen.objects["qa"][f"sa/{UPLOAD}"] = "sha"


def _object_without_a_row(case: Case) -> None:
    case.seen.objects["sa"][f"sa/{id_at(SA, LOW, 6)}"] = "x"


def _event_told_twice(case: Case) -> None:
    case.seen.doubled_events = ["request.created of somebody"]


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (_lost, "was acknowledged and is lost"),
        (_stale, "is home, not work"),
        (_back_from_the_dead, "was removed and is there"),
        (_made_twice, "was made 2 times"),
        (_never_sent, "that they never sent"),
        (_on_two_shards, "is in 2 places"),
        (_on_the_wrong_shard, "lies on sa-2"),
        (_in_the_wrong_region, "lies on qa-1"),
        (_of_nobody, "whom nobody knows"),
        (_account_lost, "is in 0 places"),
        (_account_twice, "that it was never told of"),
        (_upload_not_stored, "is not in the store of sa"),
        (_upload_damaged, "is not what was sent"),
        (_upload_in_another_region, "the store of qa holds sa/"),
        (_object_without_a_row, "of which no row tells"),
        (_event_told_twice, "told twice"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_broken_promise_is_found(breaking: Callable[[Case], None], said: str) -> None:
    case = Case()
    breaking(case)
    assert any(said in violation for violation in case.violations()), case.ledger.violations


@pytest.mark.parametrize("value", ["home", "work"])
def test_a_change_of_unknown_outcome_may_have_happened_or_not(value: str) -> None:
    case = Case()
    case.ledger.changed(case.account.rows["address"][ADDRESS].value, "work", known=False)
    case.seen.rows["address"] = [replace(case.address, value=value)]
    assert case.violations() == []


@pytest.mark.parametrize("there", [True, False])
def test_a_create_of_unknown_outcome_is_there_once_or_not_at_all(there: bool) -> None:
    case = Case()
    case.account.attempts["vehicle"]["v"] = None
    if there:
        case.seen.rows["vehicle"] = [Row("sa-1", id_at(SA, LOW, 7), USER, "x", "v")]
    assert case.violations() == []


@pytest.mark.parametrize(("passed_s", "found"), [(1.0, 0), (LANDS_WITHIN_S + 1, 1)])
def test_a_change_of_unknown_outcome_may_land_after_the_next_one_but_not_for_ever(passed_s: float, found: int) -> None:
    case = Case()
    value = case.account.rows["address"][ADDRESS].value
    case.ledger.changed(value, "work", known=False)
    case.now = passed_s
    case.ledger.changed(value, "office", known=True)
    case.seen.rows["address"] = [replace(case.address, value="work")]
    assert len(case.violations()) == found
