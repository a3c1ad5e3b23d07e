"""The end: every promise in the ledger is looked for in the databases and the file stores themselves."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from core.ids import placement_of
from tests.soak.ledger import KINDS, Account, Expected, Ledger
from tests.soak.world import REGIONS, World
from tests.system import SHARDS, until

DRAINED_WITHIN_S = 30.0
PROBE = "meridian-probe"

_READS = {
    "address": "SELECT id, owner, label AS value, address_text AS mark FROM marketplace.address",
    "vehicle": "SELECT id, owner, nickname AS value, model AS mark FROM marketplace.vehicle",
    "request": "SELECT id, customer AS owner, status AS value, part_description AS mark FROM marketplace.request",
    # A deleted one's row and object stay for the sweep, which comes a quarter of an hour later.
    "upload": (
        "SELECT id, owner, encode(sha256, 'hex') AS value, encode(sha256, 'hex') AS mark FROM meridian.file"
        " WHERE state <> 'deleted'"
    ),
}
_ACCOUNTS = (
    "SELECT a.id, full_name, phone_number, (SELECT count(*) FROM marketplace.identity i WHERE i.account = a.id) AS logins"
    " FROM marketplace.account a"
)
_DOUBLED = "SELECT kind, subject, count(*) FROM meridian.outbox GROUP BY kind, subject HAVING count(*) > 1"


@dataclass(frozen=True)
class Found:
    """A row, and the shard that holds it."""

    shard: str
    id: UUID
    owner: UUID
    value: str
    mark: str


@dataclass
class Evidence:
    """All that the shards hold. `owners` is (region, bucket) -> the shard that owns it, as the shards say."""

    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    rows: dict[str, list[Found]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    files: dict[UUID, str] = field(default_factory=dict)
    accounts: list[tuple[str, UUID, str, str, int]] = field(default_factory=list)
    doubled_events: list[str] = field(default_factory=list)


async def verify(world: World, ledger: Ledger) -> None:
    """Add to the ledger's violations whatever is lost, doubled, wrong, or somewhere it should not be."""
    try:
        await until(lambda: _is_drained(world), within_s=DRAINED_WITHIN_S)
    except AssertionError:
        ledger.violated(f"files still wait in a spool {DRAINED_WITHIN_S:g} s after everything was healthy")
    evidence = Evidence()
    for region, shards in REGIONS.items():
        for shard in shards:
            await _collect(world, region, shard, evidence)
    codes = {spec.code: spec.name for spec in world.shard_map.regions}
    _check_accounts(ledger, evidence)
    for kind in KINDS:
        _check_places(ledger, kind, evidence, codes)
        _check_rows(ledger, kind, evidence.rows[kind])
    for event in evidence.doubled_events:
        ledger.violated(f"an event was told twice: {event}")
    await _check_objects(world, ledger, evidence)


async def _is_drained(world: World) -> bool:
    for shard in SHARDS:
        async with world.sql(shard) as sql:
            if await sql.fetchval("SELECT EXISTS (SELECT FROM meridian.file WHERE state = 'spooled')"):
                return False
    return True


async def _collect(world: World, region: str, shard: str, into: Evidence) -> None:
    async with world.sql(shard) as sql:
        for row in await sql.fetch("SELECT bucket FROM meridian.bucket WHERE state = 'owned'"):
            into.owners[region, row["bucket"]] = shard
        for kind, query in _READS.items():
            for row in await sql.fetch(query):
                id, owner = UUID(str(row["id"])), UUID(str(row["owner"]))
                into.rows[kind].append(Found(shard, id, owner, row["value"], row["mark"]))
        for row in await sql.fetch("SELECT id, state FROM meridian.file"):
            into.files[UUID(str(row["id"]))] = row["state"]
        for row in await sql.fetch(_ACCOUNTS):
            id = UUID(str(row["id"]))
            into.accounts.append((shard, id, row["full_name"], row["phone_number"], row["logins"]))
        into.doubled_events += [f"{row['kind']} of {row['subject']}" for row in await sql.fetch(_DOUBLED)]


def _check_accounts(ledger: Ledger, evidence: Evidence) -> None:
    expected = {account.id: account for account in ledger.accounts}
    places = Counter(id for _, id, *_ in evidence.accounts)
    for shard, id, name, phone, logins in evidence.accounts:
        account = expected.get(id)
        if account is None:
            ledger.violated(f"{phone} has an account {id} on {shard} that it was never told of")
        elif phone != account.phone or logins != 1:
            ledger.violated(f"account {id} has the number {phone} and {logins} logins, not {account.phone} and one")
        elif not account.name.may_be(name):
            ledger.violated(f"account {id} is called {name}, not {account.name}")
    for account in ledger.accounts:
        if places[account.id] != 1:
            ledger.violated(f"account {account.id} is in {places[account.id]} places")


def _check_places(ledger: Ledger, kind: str, evidence: Evidence, codes: Mapping[int, str]) -> None:
    """Every row lies where its id and its owner's id say: in their region, on the shard that owns their bucket."""
    for row in evidence.rows[kind]:
        for id in (row.id, row.owner):
            place = placement_of(id)
            home = evidence.owners.get((codes.get(place.region_code, ""), place.bucket))
            if home != row.shard:
                ledger.violated(f"{kind} {row.id} of {row.owner} lies on {row.shard}, and {id} belongs on {home}")
    for shard, id, *_ in evidence.accounts if kind == KINDS[0] else []:
        place = placement_of(id)
        if evidence.owners.get((codes.get(place.region_code, ""), place.bucket)) != shard:
            ledger.violated(f"account {id} lies on {shard}, where it does not belong")


def _check_rows(ledger: Ledger, kind: str, rows: list[Found]) -> None:
    by_id: dict[UUID, list[Found]] = {}
    by_owner: dict[UUID, list[Found]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
        by_owner.setdefault(row.owner, []).append(row)
    for account in ledger.accounts:
        for id, expected in account.rows[kind].items():
            _check_row(ledger, account, f"{kind} {id}", expected, by_id.get(id, []))
        _check_creates(ledger, account, kind, by_owner.get(account.id, []))
    strangers = by_owner.keys() - {account.id for account in ledger.accounts}
    if strangers:
        ledger.violated(f"there are {kind} rows of {len(strangers)} owners whom nobody knows")


def _check_row(ledger: Ledger, account: Account, what: str, expected: Expected, found: list[Found]) -> None:
    if len(found) > 1:
        ledger.violated(f"{what} of {account.phone} is in {len(found)} places")
    if expected.surely_there and not found:
        ledger.violated(f"{what} of {account.phone} was acknowledged and is lost")
    for row in found:
        if not expected.maybe_there:
            ledger.violated(f"{what} of {account.phone} was removed and is there")
        elif not expected.value.may_be(row.value):
            ledger.violated(f"{what} of {account.phone} is {row.value}, not {expected.value}")


def _check_creates(ledger: Ledger, account: Account, kind: str, rows: list[Found]) -> None:
    """Each create that was sent made one row or none, however often it was sent."""
    marks = Counter(row.mark for row in rows)
    for mark, times in marks.items():
        if mark not in account.attempts[kind]:
            ledger.violated(f"{account.phone} has a {kind} that they never sent")
        elif times > 1:
            ledger.violated(f"one {kind} of {account.phone} was made {times} times")


async def _check_objects(world: World, ledger: Ledger, evidence: Evidence) -> None:
    """Every upload that has a row is in its region's store, whole, and in no other; nothing else is in a store."""
    stores = {"qa": _s3_objects(world.s3[0].objects), "sa": await world.azurite[0].objects()}
    regions = {shard: region for region, shards in REGIONS.items() for shard in shards}
    for row in evidence.rows["upload"]:
        data = stores[regions[row.shard]].get(f"{regions[row.shard]}/{row.id}")
        if data is None:
            ledger.violated(f"upload {row.id} is not in the store of {regions[row.shard]}")
        elif hashlib.sha256(data).hexdigest() != row.value:
            ledger.violated(f"upload {row.id} is not what was sent")
    for region, objects in stores.items():
        for key in objects:
            of, _, name = key.partition("/")
            if of == PROBE or name == PROBE or key == PROBE:
                continue
            if of != region:
                ledger.violated(f"the store of {region} holds {key}")
            elif UUID(name) not in evidence.files:
                ledger.violated(f"the store of {region} holds {key}, of which no row tells")


def _s3_objects(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts) and file.suffix == ""
    }
