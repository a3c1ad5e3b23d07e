"""A customer's delivery addresses: at most twenty, one of them the default."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from core.database.statement import Query, Row, Write
from core.errors import FieldError, Invalid, NotFound
from core.ids import placement_of
from gateway.marketplace.fields import Latitude, Longitude
from gateway.marketplace.roles import CUSTOMER
from gateway.operations import READ, UNSET, WRITE, Api, Call, Created, Input, Items, Label, Note, Output, Page

api = Api("/addresses", tag="addresses")


class NewAddress(Input):
    """Where parts are delivered. The first address is the default; `is_default: true` makes a later one it."""

    label: Label = Field(examples=["Home"])
    address_text: Note = Field(examples=["Building 12, Street 840, Zone 25, Doha"])
    lat: Latitude
    lng: Longitude
    is_default: bool = False


class AddressChange(Input):
    """The fields to change; those left out stay."""

    label: Label = UNSET
    address_text: Note = UNSET
    lat: Latitude = UNSET
    lng: Longitude = UNSET
    is_default: bool = UNSET


class Address(Output):
    """An address as its owner sees it."""

    id: UUID
    label: str
    address_text: str
    lat: float
    lng: float
    is_default: bool
    created_at: datetime
    updated_at: datetime


_COLUMNS = "d.id, d.label, d.address_text, d.lat, d.lng, d.created_at, d.updated_at"
# The default is the address that the account points at; where changes side by side left it pointing at none, it is the
# newest. So there is one whenever there is an address.
_OWNED = """marketplace.account a
    CROSS JOIN LATERAL (
        SELECT x.id FROM marketplace.address x WHERE x.bucket = a.bucket AND x.owner = a.id
        ORDER BY x.id = a.default_address DESC NULLS LAST, x.id DESC LIMIT 1) standard
    JOIN marketplace.address d ON d.bucket = a.bucket AND d.owner = a.id"""


def _address(row: Row) -> Address:
    return Address.model_validate(dict(row))


def _of(owner: UUID, after: str | None, limit: int) -> Query[Address]:
    return Query(
        f"""SELECT {_COLUMNS}, d.id = standard.id AS is_default FROM {_OWNED}
            WHERE a.bucket = $1 AND a.id = $2 AND ($3::uuid IS NULL OR d.id < $3) ORDER BY d.id DESC LIMIT $4""",
        (placement_of(owner).bucket, owner, after, limit),
        _address,
    )


def _one(id: UUID, owner: UUID) -> Query[Address]:
    return Query(
        f"""SELECT {_COLUMNS}, d.id = standard.id AS is_default FROM {_OWNED}
            WHERE a.bucket = $1 AND d.id = $2 AND a.id = $3""",
        (placement_of(id).bucket, id, owner),
        _address,
    )


def _add(id: UUID, owner: UUID, new: NewAddress) -> Write[Address]:
    bucket = placement_of(owner).bucket
    return Write(
        bucket=bucket,
        first="""counted AS (
            UPDATE marketplace.account SET addresses = addresses + 1,
                default_address = CASE WHEN $8::boolean OR default_address IS NULL THEN $2::uuid
                                       ELSE default_address END
            WHERE bucket = $1 AND id = $3 RETURNING id, default_address),
        d AS (
            INSERT INTO marketplace.address (bucket, id, owner, label, address_text, lat, lng)
            SELECT $1, $2, id, $4, $5, $6::float8, $7::float8 FROM counted RETURNING *)""",
        sql=f"SELECT {_COLUMNS}, d.id IS NOT DISTINCT FROM counted.default_address AS is_default FROM d, counted",
        args=(bucket, id, owner, new.label, new.address_text, new.lat, new.lng, new.is_default),
        row=_address,
        if_none=NotFound("this account is not here any more"),
        refusals={"twenty_addresses": "you have twenty addresses already; remove one first"},
    )


def _change(id: UUID, owner: UUID, fields: dict[str, Any]) -> Write[Address]:
    """Change columns. The default that is to be one no more hands over to the newest of the others, if there is one.

    The account's row is updated in every case, so that the default is read as it will be.
    """
    default = fields.get("is_default")
    columns = {name: value for name, value in fields.items() if name != "is_default"}
    assignments = "".join(f", {name} = ${at}" for at, name in enumerate(columns, start=5))
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first=f"""d AS (
            UPDATE marketplace.address SET updated_at = now(){assignments}
            WHERE bucket = $1 AND id = $2 AND owner = $3 RETURNING *),
        heir AS (
            SELECT id FROM marketplace.address
            WHERE bucket = $1 AND owner = $3 AND id <> $2 ORDER BY id DESC LIMIT 1),
        a AS (
            UPDATE marketplace.account a SET default_address = CASE
                WHEN $4::boolean THEN d.id
                WHEN NOT $4 AND a.default_address = d.id THEN coalesce((SELECT id FROM heir), d.id)
                ELSE a.default_address END
            FROM d WHERE a.bucket = d.bucket AND a.id = d.owner RETURNING a.default_address)""",
        sql=f"SELECT {_COLUMNS}, d.id IS NOT DISTINCT FROM a.default_address AS is_default FROM d, a",
        args=(bucket, id, owner, default, *columns.values()),
        row=_address,
        if_none=_no_address(),
    )


def _remove(id: UUID, owner: UUID) -> Write[Row]:
    """Remove an address; if it was the default, the newest of the others becomes it."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""gone AS (
            DELETE FROM marketplace.address WHERE bucket = $1 AND id = $2 AND owner = $3 RETURNING owner),
        heir AS (
            SELECT id FROM marketplace.address
            WHERE bucket = $1 AND owner = $3 AND id <> $2 ORDER BY id DESC LIMIT 1)""",
        sql="""UPDATE marketplace.account a SET addresses = addresses - 1,
                   default_address = CASE WHEN a.default_address = $2 THEN (SELECT id FROM heir)
                                          ELSE a.default_address END
               FROM gone WHERE a.bucket = $1 AND a.id = gone.owner RETURNING a.id""",
        args=(bucket, id, owner),
        row=lambda row: row,
        if_none=_no_address(),
    )


def _no_address() -> NotFound:
    return NotFound("you have no such address")


@api.get("", intent=READ, role=CUSTOMER)
async def own(call: Call, page: Page) -> Items[Address]:
    """The customer's addresses, newest first."""
    rows = await call.home.read(_of(call.user.id, page.after, page.fetch))
    return page.items(rows, key=lambda address: address.id)


@api.post("", intent=WRITE, role=CUSTOMER, errors=["conflict", "not_found"])
async def add(call: Call, address: NewAddress) -> Created[Address]:
    """Add an address (409 when there are twenty already)."""
    return Created(await call.home.write(_add(call.home.new_id(), call.user.id, address)))


@api.get("/{address_id}", intent=READ, role=CUSTOMER)
async def one(call: Call, address_id: UUID) -> Address:
    """One of the customer's addresses."""
    return await call.at(address_id).read_one(_one(address_id, call.user.id), _no_address())


@api.patch("/{address_id}", intent=WRITE, role=CUSTOMER)
async def change(call: Call, address_id: UUID, change: AddressChange) -> Address:
    """Change an address."""
    fields = change.given()
    if not fields:
        raise Invalid([FieldError("body", "name at least one field to change")])
    return await call.at(address_id).write(_change(address_id, call.user.id, fields))


@api.delete("/{address_id}", intent=WRITE, role=CUSTOMER)
async def remove(call: Call, address_id: UUID) -> None:
    """Remove an address; if it was the default, the newest of the others becomes it."""
    await call.at(address_id).write(_remove(address_id, call.user.id))
