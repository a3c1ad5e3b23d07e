"""A customer's vehicles: at most ten."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from core.database.statement import Query, Row, Write
from core.errors import FieldError, Invalid, NotFound
from core.ids import placement_of
from gateway.marketplace.fields import Vin, Year
from gateway.marketplace.roles import CUSTOMER
from gateway.operations import READ, UNSET, WRITE, Api, Call, Created, Input, Items, Label, Output, Page

api = Api("/vehicles", tag="vehicles")

Make = Annotated[
    Label,
    Field(
        description="The `id` of `GET /api/v1/reference/makes` (`toyota`), whatever language it is shown in; "
        "your own words where it is not among them.",
        examples=["toyota"],
    ),
]
Model = Annotated[
    Label,
    Field(
        description="The `id` among the `models` of its make in `GET /api/v1/reference/makes` (`hilux`), "
        "whatever language it is shown in; your own words where it is not among them.",
        examples=["hilux"],
    ),
]


class NewVehicle(Input):
    """A vehicle that parts are wanted for."""

    make: Make
    model: Model
    year: Year
    vin: Vin | None = None
    nickname: Label | None = None


class VehicleChange(Input):
    """The fields to change; those left out stay."""

    make: Make = UNSET
    model: Model = UNSET
    year: Year = UNSET
    vin: Vin | None = None
    nickname: Label | None = None


class Vehicle(Output):
    """A vehicle as its owner sees it.

    `make` and `model` are as they were sent: ids of the reference data, or own words.
    """

    id: UUID
    make: str
    model: str
    year: int
    vin: str | None
    nickname: str | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = "id, make, model, year, vin, nickname, created_at, updated_at"


def _vehicle(row: Row) -> Vehicle:
    return Vehicle.model_validate(dict(row))


def _of(owner: UUID, after: str | None, limit: int) -> Query[Vehicle]:
    return Query(
        f"""SELECT {_COLUMNS} FROM marketplace.vehicle
            WHERE bucket = $1 AND owner = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4""",
        (placement_of(owner).bucket, owner, after, limit),
        _vehicle,
    )


def _one(id: UUID, owner: UUID) -> Query[Vehicle]:
    return Query(
        f"SELECT {_COLUMNS} FROM marketplace.vehicle WHERE bucket = $1 AND id = $2 AND owner = $3",
        (placement_of(id).bucket, id, owner),
        _vehicle,
    )


def _add(id: UUID, owner: UUID, new: NewVehicle) -> Write[Vehicle]:
    bucket = placement_of(owner).bucket
    return Write(
        bucket=bucket,
        first="""counted AS (
            UPDATE marketplace.account SET vehicles = vehicles + 1 WHERE bucket = $1 AND id = $3 RETURNING id)""",
        sql=f"""INSERT INTO marketplace.vehicle (bucket, id, owner, make, model, year, vin, nickname)
                SELECT $1, $2::uuid, id, $4, $5, $6::smallint, $7, $8 FROM counted RETURNING {_COLUMNS}""",
        args=(bucket, id, owner, new.make, new.model, new.year, new.vin, new.nickname),
        row=_vehicle,
        if_none=NotFound("this account is not here any more"),
        refusals={"ten_vehicles": "you have ten vehicles already; remove one first"},
    )


def _change(id: UUID, owner: UUID, fields: dict[str, Any]) -> Write[Vehicle]:
    columns = ", ".join(f"{name} = ${at}" for at, name in enumerate(fields, start=4))
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql=f"""UPDATE marketplace.vehicle SET {columns}, updated_at = now()
                WHERE bucket = $1 AND id = $2 AND owner = $3 RETURNING {_COLUMNS}""",
        args=(bucket, id, owner, *fields.values()),
        row=_vehicle,
        if_none=_no_vehicle(),
    )


def _remove(id: UUID, owner: UUID) -> Write[Row]:
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""gone AS (
            DELETE FROM marketplace.vehicle WHERE bucket = $1 AND id = $2 AND owner = $3 RETURNING owner)""",
        sql="""UPDATE marketplace.account a SET vehicles = vehicles - 1 FROM gone
               WHERE a.bucket = $1 AND a.id = gone.owner RETURNING a.id""",
        args=(bucket, id, owner),
        row=lambda row: row,
        if_none=_no_vehicle(),
    )


def _no_vehicle() -> NotFound:
    return NotFound("you have no such vehicle")


@api.get("", intent=READ, role=CUSTOMER)
async def own(call: Call, page: Page) -> Items[Vehicle]:
    """The customer's vehicles, newest first."""
    rows = await call.home.read(_of(call.user.id, page.after, page.fetch))
    return page.items(rows, key=lambda vehicle: vehicle.id)


@api.post("", intent=WRITE, role=CUSTOMER, errors=["conflict", "not_found"])
async def add(call: Call, vehicle: NewVehicle) -> Created[Vehicle]:
    """Add a vehicle (409 when there are ten already)."""
    return Created(await call.home.write(_add(call.home.new_id(), call.user.id, vehicle)))


@api.get("/{vehicle_id}", intent=READ, role=CUSTOMER)
async def one(call: Call, vehicle_id: UUID) -> Vehicle:
    """One of the customer's vehicles."""
    return await call.at(vehicle_id).read_one(_one(vehicle_id, call.user.id), _no_vehicle())


@api.patch("/{vehicle_id}", intent=WRITE, role=CUSTOMER)
async def change(call: Call, vehicle_id: UUID, change: VehicleChange) -> Vehicle:
    """Change a vehicle."""
    fields = change.given()
    if not fields:
        raise Invalid([FieldError("body", "name at least one field to change")])
    return await call.at(vehicle_id).write(_change(vehicle_id, call.user.id, fields))


@api.delete("/{vehicle_id}", intent=WRITE, role=CUSTOMER)
async def remove(call: Call, vehicle_id: UUID) -> None:
    """Remove a vehicle."""
    await call.at(vehicle_id).write(_remove(vehicle_id, call.user.id))
