"""The end: every promise in the ledger is looked for in the databases and the file stores themselves."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from core.ids import placement_of
from tests.soak.ledger import Account, Expected, Ledger
from tests.soak.world import REGIONS, World
from tests.system import SHARDS

_READS = {
    "address": ("SELECT id, owner, label AS value, label AS mark FROM marketplace.address"),
    "request": ("SELECT id, customer AS owner, status AS value, part_description AS mark FROM marketplace.request"),
    "upload": (
        "SELECT id, owner, encode(sha256, 'hex') AS value, encode(sha256, 'hex') AS mark FROM meridian.file"
        " WHERE state = 'stored'"
    ),
}


async def verify(world: World, ledger: Ledger) -> None:
    """Add to the ledger's violations whatever is lost, doubled, wrong, or somewhere it should not be."""
    owners = await _owners(world)
    people = {account.id: account for account in ledger.accounts}
    found: dict[str, dict[str, list[Mapping[str, object]]]] = {}
    for shard in SHARDS:
        async with world.sql(shard) as sql:
            found[shard] = {kind: [dict(row) for row in await sql.fetch(query)] for kind, query in _READS.items()}
            names = {
                row["id"]: row["full_name"] for row in await sql.fetch("SELECT id, full_name FROM marketplace.account")
            }
        for account in ledger.accounts:
            _check_account(ledger, shard, owners, account, names)
    for kind in _READS:
        rows = [(shard, row) for shard in SHARDS for row in found[shard][kind]]
        _check_rows(ledger, kind, owners, people, rows)
    await _check_objects(world, ledger)


async def _owners(world: World) -> dict[tuple[str, int], str]:
    """(region, bucket) -> the shard that owns it, as the shards themselves say."""
    owners = {}
    for region, shards in REGIONS.items():
        for shard in shards:
            async with world.sql(shard) as sql:
                for row in await sql.fetch("SELECT bucket FROM meridian.bucket WHERE state = 'owned'"):
                    owners[region, row["bucket"]] = shard
    return owners


def _home(owners: Mapping[tuple[str, int], str], account: Account) -> str:
    return owners[account.region, placement_of(account.id).bucket]


def _check_account(
    ledger: Ledger, shard: str, owners: Mapping[tuple[str, int], str], account: Account, names: Mapping[UUID, str]
) -> None:
    here, home = account.id in names, _home(owners, account) == shard
    if here != home:
        ledger.violated(f"account {account.id} of {account.region} is {'on' if here else 'not on'} {shard}")
    elif here and names[account.id] not in account.names:
        ledger.violated(f"account {account.id} is called {names[account.id]}, not one of {account.names}")


def _check_rows(
    ledger: Ledger,
    kind: str,
    owners: Mapping[tuple[str, int], str],
    people: Mapping[UUID, Account],
    rows: list[tuple[str, Mapping[str, object]]],
) -> None:
    places: dict[UUID, list[tuple[str, str]]] = {}
    marks: Counter[str] = Counter()
    for shard, row in rows:
        places.setdefault(_uuid(row["id"]), []).append((shard, str(row["value"])))
        marks[str(row["mark"])] += 1
        account = people.get(_uuid(row["owner"]))
        if account is None or _home(owners, account) != shard:
            ledger.violated(f"{kind} {row['id']} lies on {shard}, where its owner does not live")
    for account in people.values():
        for id, expected in account.rows[kind].items():
            _check_row(ledger, kind, id, expected, places.get(id, []))
        for mark, acknowledged in account.attempts[kind].items():
            if kind != "address" and marks[mark] > 1:
                ledger.violated(f"one {kind} was made {marks[mark]} times ({acknowledged})")


def _check_row(ledger: Ledger, kind: str, id: UUID, expected: Expected, places: list[tuple[str, str]]) -> None:
    if len(places) > 1:
        ledger.violated(f"{kind} {id} is in {len(places)} places")
    if expected.surely_there and not places:
        ledger.violated(f"{kind} {id} was acknowledged and is lost")
    for _, value in places:
        if not expected.maybe_there:
            ledger.violated(f"{kind} {id} was removed and is there")
        elif value not in expected.values:
            ledger.violated(f"{kind} {id} is {value}, not one of {expected.values}")


async def _check_objects(world: World, ledger: Ledger) -> None:
    """Every acknowledged upload is in its region's store, whole, and in no other."""
    stores = {"qa": _s3_objects(world.s3[0].objects), "sa": await world.azurite[0].objects()}
    for account in ledger.accounts:
        for id, expected in account.rows["upload"].items():
            for region, objects in stores.items():
                data = objects.get(f"{account.region}/{id}")
                if (data is not None) != (region == account.region):
                    ledger.violated(f"upload {id} of {account.region} is {'in' if data else 'not in'} {region}'s store")
                elif data is not None and _sha256(data) not in expected.values:
                    ledger.violated(f"upload {id} is not what was sent")
    for region, objects in stores.items():
        strangers = {key.partition("/")[0] for key in objects} - {region, "meridian-probe"}
        if strangers:
            ledger.violated(f"the store of {region} holds files of {strangers}")


def _s3_objects(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts) and file.suffix == ""
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _uuid(value: object) -> UUID:
    return UUID(str(value))
