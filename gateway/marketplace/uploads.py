"""Uploads: photos and documents of users. Who attaches them to something, keeps them; the others go after a day."""

from datetime import datetime
from typing import Self
from uuid import UUID

from core.database.statement import Query
from core.errors import NotFound
from core.ids import placement_of
from core.limits import UPLOAD_DEADLINE_S
from core.storage import rows
from core.storage.rows import StoredFile
from gateway.marketplace.access import is_at_home, oversees
from gateway.marketplace.roles import GARAGE
from gateway.operations import READ, WRITE, Api, Call, Created, Download, Output, Upload

api = Api("/uploads", tag="uploads")


class StoredUpload(Output):
    """An upload. `sha256` (hexadecimal) lets you check that it arrived as you sent it."""

    id: UUID
    name: str | None
    media_type: str
    size: int
    sha256: str
    created_at: datetime

    @classmethod
    def of(cls, file: StoredFile) -> Self:
        """An upload from its row."""
        contents = file.contents
        return cls(
            id=file.id,
            name=file.name,
            media_type=contents.media_type,
            size=contents.size,
            sha256=contents.sha256.hex(),
            created_at=file.created_at,
        )


def _shown_as(subject: UUID, *, role: str, user: UUID, at_home: bool) -> Query[bool]:
    """One row if `subject`, which a file is attached to, is something that the user may see with its files."""
    return Query(
        """SELECT true AS shown FROM marketplace.request r
           WHERE r.bucket = $1 AND r.id = $2 AND $4 AND (r.status = 'active' AND r.expires_at > now() OR EXISTS (
               SELECT FROM marketplace.bid b
               WHERE b.bucket = $1 AND b.request = r.id AND b.garage = $3 AND b.status = 'accepted'))
           UNION ALL
           SELECT true FROM marketplace.bid WHERE bucket = $1 AND id = $2 AND customer = $3
           UNION ALL
           SELECT true FROM marketplace.dispute WHERE bucket = $1 AND id = $2 AND $3 IN (customer, garage)""",
        (placement_of(subject).bucket, subject, user, role == GARAGE and at_home),
        lambda row: bool(row["shown"]),
    )


async def _is_shown(call: Call, file: StoredFile) -> bool:
    if file.used_by is None:
        return False
    user, at_home = call.user, is_at_home(call, file.used_by)
    query = _shown_as(file.used_by, role=user.role, user=user.id, at_home=at_home)
    return bool(await call.at(file.used_by).read(query))


@api.post("", intent=WRITE, longest_s=UPLOAD_DEADLINE_S, errors=["storage_unavailable"])
async def create(call: Call, upload: Upload) -> Created[StoredUpload]:
    """Send a photo (JPEG, PNG, WebP) or a PDF, at most 10 MiB.

    What it is, is decided by its first bytes. Attach its id to something within 24 hours, or it is deleted. With an
    `Idempotency-Key`, sending the same file again answers with the first one.
    """
    return Created(StoredUpload.of(await call.home.keep(upload, owner=call.user.id)))


@api.get("/{upload_id}", intent=READ, longest_s=UPLOAD_DEADLINE_S, errors=["storage_unavailable"])
async def content(call: Call, upload_id: UUID) -> Download:
    """The file itself, for its owner and those whom it is shown: ranges and conditions are understood.

    Photos of a request are shown to the region's garages while it is open, and then to the one whose bid was accepted;
    those of a bid to the request's customer, those of a dispute to both sides. The region's staff see all. Where the
    store is open to clients this redirects to a link that is good for five minutes.
    """
    place = call.at(upload_id)
    file = await place.read_one(rows.one(upload_id), NotFound(rows.GONE))
    if file.owner == call.user.id or oversees(call, upload_id) or await _is_shown(call, file):
        return place.download(file)
    raise NotFound(rows.GONE)


@api.delete("/{upload_id}", intent=WRITE)
async def delete(call: Call, upload_id: UUID) -> None:
    """Delete an upload (409 while it is attached to something)."""
    await call.at(upload_id).write(rows.delete(upload_id, owner=call.user.id))
