"""What the databases and file stores hold in the end, read past every gateway and proxy."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tests.soak.ledger import KINDS
from tests.soak.world import REGIONS, World

_ROWS = {
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
    "SELECT a.id, full_name, phone_number,"
    " (SELECT count(*) FROM marketplace.identity i WHERE i.account = a.id) AS logins FROM marketplace.account a"
)
_DOUBLED = "SELECT kind, subject FROM meridian.outbox GROUP BY kind, subject HAVING count(*) > 1"


@dataclass(frozen=True)
class Row:
    """A row, and the shard that holds it. `mark` tells which create it comes from."""

    shard: str
    id: UUID
    owner: UUID
    value: str
    mark: str


@dataclass(frozen=True)
class AccountRow:
    """An account, the shard that holds it, and how many logins lead to it there."""

    shard: str
    id: UUID
    name: str
    phone: str
    logins: int


@dataclass
class Evidence:
    """All of it. `regions` is code -> name; `owners` is (region, bucket) -> the shard that owns it, as the shards say;
    `files` are the ids that have a row, deleted or not; `objects` is region -> key -> SHA-256 of what its store holds.
    """

    regions: Mapping[int, str]
    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    accounts: list[AccountRow] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    files: set[UUID] = field(default_factory=set)
    objects: dict[str, dict[str, str]] = field(default_factory=dict)
    doubled_events: list[str] = field(default_factory=list)


async def collect(world: World) -> Evidence:
    """Read everything."""
    evidence = Evidence({spec.code: spec.name for spec in world.shard_map.regions})
    for region, shards in REGIONS.items():
        for shard in shards:
            await _read_shard(world, region, shard, evidence)
    stores = {"qa": _files_below(world.s3[0].objects), "sa": await world.azurite[0].objects()}
    for region, objects in stores.items():
        evidence.objects[region] = {key: hashlib.sha256(data).hexdigest() for key, data in objects.items()}
    return evidence


async def is_drained(world: World) -> bool:
    """Whether every upload that has a row is in its store, as far as the rows say."""
    for shards in REGIONS.values():
        for shard in shards:
            async with world.sql(shard) as sql:
                if await sql.fetchval("SELECT EXISTS (SELECT FROM meridian.file WHERE state = 'spooled')"):
                    return False
    return True


async def _read_shard(world: World, region: str, shard: str, into: Evidence) -> None:
    async with world.sql(shard) as sql:
        for row in await sql.fetch("SELECT bucket FROM meridian.bucket WHERE state = 'owned'"):
            into.owners[region, row["bucket"]] = shard
        for row in await sql.fetch(_ACCOUNTS):
            account = AccountRow(shard, _id(row["id"]), row["full_name"], row["phone_number"], row["logins"])
            into.accounts.append(account)
        for kind, query in _ROWS.items():
            for row in await sql.fetch(query):
                into.rows[kind].append(Row(shard, _id(row["id"]), _id(row["owner"]), row["value"], row["mark"]))
        into.files |= {_id(row["id"]) for row in await sql.fetch("SELECT id FROM meridian.file")}
        into.doubled_events += [f"{row['kind']} of {row['subject']}" for row in await sql.fetch(_DOUBLED)]


def _id(value: object) -> UUID:
    return UUID(str(value))  # asyncpg's own UUID is another class


def _files_below(folder: Path) -> dict[str, bytes]:
    """The objects of an S3 server, which keeps its own files under names with a dot."""
    files = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    return {str(name): file.read_bytes() for name, file in files.items() if not any("." in part for part in name.parts)}
