"""The rows that say which files there are: statements over `meridian.file`, for the shard of the file's owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from core.database.statement import OWNED, Event, Query, Row, Write
from core.errors import NotFound
from core.ids import placement_of
from core.limits import FILE_GRACE_S, FILE_SWEEP_ROWS, FILE_UNUSED_LIFETIME_S
from core.storage.store import Contents

State = Literal["spooled", "stored", "deleted"]
GONE: Final = "there is no such file, or it is not yours"
IN_USE: Final = "the file is attached to something and stays as long as that does"

_COLUMNS: Final = (
    "id, owner, name, media_type, size, encode(sha256, 'hex') AS sha256, state, spool, used_by, created_at"
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as its row has it. `spool` names the spool that holds it while it is `spooled`."""

    id: UUID
    owner: UUID
    name: str | None
    contents: Contents
    state: State
    spool: str | None
    used_by: UUID | None
    created_at: datetime


def insert(
    id: UUID, *, owner: UUID, name: str | None, contents: Contents, spool: str, event: UUID
) -> Write[StoredFile]:
    """A file that was received into a spool; tells the world by the event `upload.stored`."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql=f"""INSERT INTO meridian.file (bucket, id, owner, name, media_type, size, sha256, state, spool)
                VALUES ($1, $2, $3, $4, $5, $6, $7, 'spooled', $8) RETURNING {_COLUMNS}""",
        args=(bucket, id, owner, name, contents.media_type, contents.size, contents.sha256, spool),
        row=_file,
        event=Event(event, "upload.stored", id, {"owner": owner, "media_type": contents.media_type}),
    )


def one(id: UUID, *, owner: UUID | None = None) -> Query[StoredFile]:
    """A file that is not deleted; with `owner`, only theirs."""
    return Query(
        f"""SELECT {_COLUMNS} FROM meridian.file
            WHERE bucket = $1 AND id = $2 AND state <> 'deleted' AND ($3::uuid IS NULL OR owner = $3)""",
        (placement_of(id).bucket, id, owner),
        _file,
    )


def whatever(id: UUID) -> Query[StoredFile]:
    """A file's row, also a deleted one's."""
    return Query(
        f"SELECT {_COLUMNS} FROM meridian.file WHERE bucket = $1 AND id = $2", (placement_of(id).bucket, id), _file
    )


def gone(id: UUID) -> Query[bool]:
    """One row, if this shard holds the bucket and the file has no row in it, or a deleted one; else none.

    A shard that the bucket has left knows no file in it, so that finding none there proves nothing.
    """
    return Query(
        """SELECT true AS gone FROM meridian.bucket WHERE bucket = $1 AND state = 'owned' AND NOT EXISTS (
               SELECT FROM meridian.file WHERE bucket = $1 AND id = $2 AND state <> 'deleted')""",
        (placement_of(id).bucket, id),
        lambda row: bool(row["gone"]),
    )


def settled(id: UUID) -> Write[StoredFile]:
    """A spooled file is in the store now. Raises NotFound when it was deleted, or settled by another, meanwhile."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql=f"""UPDATE meridian.file SET state = 'stored', spool = NULL, changed_at = now()
                WHERE bucket = $1 AND id = $2 AND state = 'spooled' RETURNING {_COLUMNS}""",
        args=(bucket, id),
        row=_file,
        if_none=NotFound(GONE),
    )


def delete(id: UUID, *, owner: UUID) -> Write[StoredFile]:
    """Delete a file of the owner's that is attached to nothing (Conflict if it is, NotFound if there is none)."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        # Asked in SET: there the row is locked, and nothing can be attached to it in between.
        sql=f"""UPDATE meridian.file SET changed_at = now(), spool = NULL,
                    state = CASE WHEN meridian.require(used_by IS NULL, 'file_in_use') THEN 'deleted' END
                WHERE bucket = $1 AND id = $2 AND owner = $3 AND state <> 'deleted' RETURNING {_COLUMNS}""",
        args=(bucket, id, owner),
        row=_file,
        if_none=NotFound(GONE),
        refusals={"file_in_use": IN_USE},
    )


def used(*, bucket: str, ids: str, owner: str, by: str) -> str:
    """The common table expression `used`: attaches files to something, in the statement that makes it.

    The arguments are SQL, parameters as a rule. The statement must also demand `all_used`, or files would be attached
    to what it did not make.
    """
    return f"""used AS (
        UPDATE meridian.file SET used_by = {by}, changed_at = now()
        WHERE bucket = {bucket} AND id = ANY({ids}) AND owner = {owner} AND state <> 'deleted' AND used_by IS NULL
        RETURNING id)"""


def all_used(ids: str) -> str:
    """A condition: every file was attached. Else the statement fails with the refusal `file_not_usable`."""
    return f"meridian.require((SELECT count(*) FROM used) = cardinality({ids}), 'file_not_usable')"


def abandon() -> Write[int]:
    """Delete a batch of files that were attached to nothing for a day; how many."""
    return Write(
        bucket=0,  # of many buckets: a place matters only to an event or a receipt, and this has neither
        first=f"""
        old AS (
            SELECT bucket, id FROM meridian.file
            WHERE used_by IS NULL AND state <> 'deleted' AND created_at < now() - make_interval(secs => $1)
              AND {OWNED.format(bucket="bucket")}
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED),
        abandoned AS (
            UPDATE meridian.file f SET state = 'deleted', spool = NULL, changed_at = now() FROM old
            WHERE (f.bucket, f.id) = (old.bucket, old.id) RETURNING 1)""",
        sql="SELECT count(*)::int AS files FROM abandoned",
        args=(FILE_UNUSED_LIFETIME_S, FILE_SWEEP_ROWS),
        row=lambda row: int(row["files"]),
    )


def purgeable(grace_s: float = FILE_GRACE_S) -> Query[UUID]:
    """Files deleted so long ago that no put of them can be under way any more."""
    return Query(
        f"""SELECT id FROM meridian.file WHERE state = 'deleted' AND changed_at < now() - make_interval(secs => $1)
               AND {OWNED.format(bucket="bucket")}
           ORDER BY changed_at LIMIT $2""",
        (grace_s, FILE_SWEEP_ROWS),
        lambda row: UUID(str(row["id"])),
    )


def forget(ids: Sequence[UUID]) -> Write[int]:
    """Remove the rows of files that are purged; how many."""
    return Write(
        bucket=0,  # of many buckets, as above
        first="""gone AS (
            DELETE FROM meridian.file WHERE state = 'deleted'
                AND (bucket, id) IN (SELECT * FROM unnest($1::smallint[], $2::uuid[])) RETURNING 1)""",
        sql="SELECT count(*)::int AS files FROM gone",
        args=([placement_of(id).bucket for id in ids], list(ids)),
        row=lambda row: int(row["files"]),
    )


def _file(row: Row) -> StoredFile:
    """A file from its row, or from the row's JSON in a receipt."""
    created_at, used_by = row["created_at"], row["used_by"]
    return StoredFile(
        id=UUID(str(row["id"])),
        owner=UUID(str(row["owner"])),
        name=row["name"],
        contents=Contents(row["size"], bytes.fromhex(row["sha256"]), row["media_type"]),
        state=row["state"],
        spool=row["spool"],
        used_by=None if used_by is None else UUID(str(used_by)),
        created_at=datetime.fromisoformat(created_at) if isinstance(created_at, str) else created_at,
    )
