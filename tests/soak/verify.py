"""The end: every promise in the ledger is looked for in what the databases and file stores hold. Pure."""

from collections import Counter
from uuid import UUID

from core.ids import placement_of
from tests.soak.evidence import Evidence, Row
from tests.soak.ledger import KINDS, Account, Expected, Ledger

PROBE = "meridian-probe"


def verify(ledger: Ledger, evidence: Evidence) -> None:
    """Add to the ledger's violations whatever is lost, doubled, wrong, or somewhere it should not be."""
    _check_accounts(ledger, evidence)
    for kind in KINDS:
        _check_places(ledger, kind, evidence)
        _check_rows(ledger, kind, evidence.rows[kind])
    for event in evidence.doubled_events:
        ledger.violated(f"an event was told twice: {event}")
    _check_uploads(ledger, evidence)
    _check_objects(ledger, evidence)


def home_of(id: UUID, evidence: Evidence) -> str | None:
    """The shard where an id belongs: in its own region, the one that owns its bucket."""
    place = placement_of(id)
    return evidence.owners.get((evidence.regions.get(place.region_code, ""), place.bucket))


def _check_accounts(ledger: Ledger, evidence: Evidence) -> None:
    expected = {account.id: account for account in ledger.accounts}
    for row in evidence.accounts:
        account = expected.get(row.id)
        if row.shard != home_of(row.id, evidence):
            ledger.violated(f"account {row.id} lies on {row.shard}, where it does not belong")
        if account is None:
            ledger.violated(f"{row.phone} has an account {row.id} that it was never told of")
        elif (row.phone, row.logins) != (account.phone, 1):
            ledger.violated(f"account {row.id} of {account.phone} has the number {row.phone} and {row.logins} logins")
        elif not account.name.may_be(row.name):
            ledger.violated(f"account {row.id} is called {row.name}, not {account.name}")
    places = Counter(row.id for row in evidence.accounts)
    for account in ledger.accounts:
        if places[account.id] != 1:
            ledger.violated(f"account {account.id} of {account.phone} is in {places[account.id]} places")


def _check_places(ledger: Ledger, kind: str, evidence: Evidence) -> None:
    """Every row lies where its own id and its owner's say."""
    for row in evidence.rows[kind]:
        for id in (row.id, row.owner):
            home = home_of(id, evidence)
            if row.shard != home:
                ledger.violated(f"{kind} {row.id} of {row.owner} lies on {row.shard}; {id} belongs on {home}")


def _check_rows(ledger: Ledger, kind: str, rows: list[Row]) -> None:
    by_id: dict[UUID, list[Row]] = {}
    by_owner: dict[UUID, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
        by_owner.setdefault(row.owner, []).append(row)
    for account in ledger.accounts:
        for id, expected in account.rows[kind].items():
            _check_row(ledger, f"{kind} {id} of {account.phone}", expected, by_id.get(id, []))
        _check_creates(ledger, account, kind, by_owner.pop(account.id, []))
    for owner in by_owner:
        ledger.violated(f"there is a {kind} of {owner}, whom nobody knows")


def _check_row(ledger: Ledger, what: str, expected: Expected, found: list[Row]) -> None:
    if len(found) > 1:
        ledger.violated(f"{what} is in {len(found)} places")
    if expected.surely_there and not found:
        ledger.violated(f"{what} was acknowledged and is lost")
    for row in found:
        if not expected.maybe_there:
            ledger.violated(f"{what} was removed and is there")
        elif not expected.value.may_be(row.value):
            ledger.violated(f"{what} is {row.value}, not {expected.value}")


def _check_creates(ledger: Ledger, account: Account, kind: str, rows: list[Row]) -> None:
    """Each create that was sent made one row or none, however often it was sent."""
    for mark, times in Counter(row.mark for row in rows).items():
        if mark not in account.attempts[kind]:
            ledger.violated(f"{account.phone} has a {kind} that they never sent")
        elif times > 1:
            ledger.violated(f"one {kind} of {account.phone} was made {times} times")


def _check_uploads(ledger: Ledger, evidence: Evidence) -> None:
    """Every upload that has a row is in its region's store, whole."""
    for row in evidence.rows["upload"]:
        region = evidence.regions.get(placement_of(row.id).region_code, "")
        sha256 = evidence.objects.get(region, {}).get(f"{region}/{row.id}")
        if sha256 is None:
            ledger.violated(f"upload {row.id} is not in the store of {region}")
        elif sha256 != row.value:
            ledger.violated(f"upload {row.id} in the store of {region} is not what was sent")


def _check_objects(ledger: Ledger, evidence: Evidence) -> None:
    """A store holds files of its region that have a row, and nothing else."""
    for region, objects in evidence.objects.items():
        for key in objects.keys() - {PROBE}:
            of, _, name = key.partition("/")
            if of != region:
                ledger.violated(f"the store of {region} holds {key}")
            elif UUID(name) not in evidence.files:
                ledger.violated(f"the store of {region} holds {key}, of which no row tells")
