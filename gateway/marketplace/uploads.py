"""Uploads: photos and documents of users. Who attaches them to something, keeps them; the others go after a day."""

from datetime import datetime
from typing import Self
from uuid import UUID

from core.errors import NotFound
from core.limits import UPLOAD_DEADLINE_S
from core.storage import rows
from core.storage.rows import StoredFile
from gateway.marketplace.roles import ADMIN, STAFF
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


@api.post("", intent=WRITE, longest_s=UPLOAD_DEADLINE_S, errors=["storage_unavailable"])
async def create(call: Call, upload: Upload) -> Created[StoredUpload]:
    """Send a photo (JPEG, PNG, WebP) or a PDF, at most 10 MiB.

    What it is, is decided by its first bytes. Attach its id to something within 24 hours, or it is deleted. With an
    `Idempotency-Key`, sending the same file again answers with the first one.
    """
    return Created(StoredUpload.of(await call.home.keep(upload, owner=call.user.id)))


@api.get("/{upload_id}", intent=READ, longest_s=UPLOAD_DEADLINE_S, errors=["storage_unavailable"])
async def content(call: Call, upload_id: UUID) -> Download:
    """The file itself; its owner's, and the staff's to see. Ranges and conditions are understood.

    Where the store is open to clients this redirects to a link that is good for five minutes.
    """
    whose = None if call.user.role in (STAFF, ADMIN) else call.user.id
    place = call.at(upload_id)
    file = await place.read_one(rows.one(upload_id, owner=whose), NotFound(rows.GONE))
    return place.download(file)


@api.delete("/{upload_id}", intent=WRITE)
async def delete(call: Call, upload_id: UUID) -> None:
    """Delete an upload (409 while it is attached to something)."""
    await call.at(upload_id).write(rows.delete(upload_id, owner=call.user.id))
