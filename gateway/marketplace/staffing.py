"""Staffing: giving people roles and plans, which the API never does. This is how the first admin comes to be."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from core.database.statement import Lock, Query, Row, Write
from core.errors import FieldError, Invalid, NotFound
from core.ids import LoginHash, Placement, placement_of
from core.region import Region
from gateway.marketplace import accounts
from gateway.marketplace.roles import GARAGE, Role
from gateway.operations import Name, Output

Plan = Literal["free", "starter", "gold", "platinum"]

_NAME: Final = TypeAdapter[str](Name)
_COLUMNS: Final = "a.id, a.role, a.plan, a.full_name, a.garage_name"


class StaffedAccount(Output):
    """An account as an operator sees it."""

    id: UUID
    role: Role
    plan: Plan
    full_name: str
    garage_name: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an account should be; None: as it is, or for a new one the default."""

    role: Role | None = None
    plan: Plan | None = None
    full_name: str | None = None
    garage_name: str | None = None

    def columns(self, role: str, garage_name: str | None) -> dict[str, Any]:
        """The columns to write, for an account that had this role and garage name. Raises Invalid for what cannot be.

        Garages have a name and a plan, others have not: who stops being a garage loses the name.
        """
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        given |= {name: _named(name, given[name]) for name in ("full_name", "garage_name") if name in given}
        will_be = self.role or role
        if will_be == GARAGE:
            if (self.garage_name or garage_name) is None:
                raise Invalid([FieldError("garage_name", "is needed for a garage")])
            return given
        faults = [FieldError(name, "only garages have one") for name in ("garage_name", "plan") if name in given]
        if faults:
            raise Invalid(faults)
        return given | ({} if garage_name is None else {"garage_name": None})


def _named(field: str, name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError as exc:
        raise Invalid([FieldError(field, exc.errors()[0]["msg"].removeprefix("Value error, "))]) from None


async def find(region: Region, phone: str) -> StaffedAccount | None:
    """The region's account of a phone number (E.164), from the primary; None if there is none."""
    identity = region.login_hash(phone)
    held = await region.read_now(identity.bucket, accounts.holder_of(identity))
    if not held:
        return None
    id = held[0]["account"]
    found = await region.read_now(placement_of(id).bucket, _of_phone(id, phone))
    return found[0] if found else None


async def change(region: Region, account: StaffedAccount, wanted: Wanted) -> tuple[StaffedAccount, int]:
    """Change an account, and how many logins that ended: with another role every login ends.

    Access tokens that are out already keep the old role for the rest of their 15 minutes; nothing renews them. Raises
    Invalid for what no account can be.
    """
    columns = wanted.columns(account.role, account.garage_name)
    if not columns:
        return account, 0
    row = await region.write_now(_change(account.id, columns))
    sessions = [UUID(id) for id in row["sessions"]]
    await asyncio.gather(*(region.sessions.revoke(session) for session in sessions))
    return StaffedAccount.model_validate(dict(row)), len(sessions)


async def create(
    region: Region, phone: str, wanted: Wanted, *, password_hash: str, new_id: Callable[[Placement], UUID]
) -> StaffedAccount:
    """Make an account for a phone number (E.164). Raises Conflict if there is one, Invalid for what none can be."""
    columns = {"role": "customer"} | wanted.columns("customer", None)
    if wanted.full_name is None:
        raise Invalid([FieldError("full_name", "is needed for a new account")])
    identity = region.login_hash(phone)
    id = new_id(Placement(region.spec.code, identity.bucket))
    return await region.write_now(
        _insert(id, identity, {"phone_number": phone, "password_hash": password_hash, **columns})
    )


def _account(row: Row) -> StaffedAccount:
    return StaffedAccount.model_validate(dict(row))


def _of_phone(id: UUID, phone: str) -> Query[StaffedAccount]:
    """An account, if it carries the phone number: an identity may be a claim that was cut off."""
    return Query(
        f"SELECT {_COLUMNS} FROM marketplace.account a WHERE a.bucket = $1 AND a.id = $2 AND a.phone_number = $3",
        (placement_of(id).bucket, id, phone),
        _account,
    )


def _change(id: UUID, columns: dict[str, Any]) -> Write[Row]:
    """Change columns and, with the role, end every login of the account: `sessions` are their ids."""
    bucket = placement_of(id).bucket
    at = {name: f"${number}" for number, name in enumerate(columns, start=3)}
    return Write(
        bucket=bucket,
        lock=Lock("marketplace.account", id),
        first=f"""before AS (SELECT role FROM marketplace.account WHERE bucket = $1 AND id = $2),
        a AS (
            UPDATE marketplace.account SET updated_at = now(), {", ".join(f"{name} = {at[name]}" for name in at)}
            WHERE bucket = $1 AND id = $2 RETURNING *),
        ended AS (
            UPDATE marketplace.login_session s SET revoked_at = now() FROM before, a
            WHERE s.bucket = $1 AND s.account = $2 AND s.revoked_at IS NULL AND before.role <> a.role
            RETURNING s.id)""",
        sql=f"SELECT {_COLUMNS}, (SELECT coalesce(array_agg(id::text), '{{}}') FROM ended) AS sessions FROM a",
        args=(bucket, id, *columns.values()),
        row=lambda row: row,
        if_none=NotFound("this account is not here any more"),
    )


def _insert(id: UUID, identity: LoginHash, columns: dict[str, Any]) -> Write[StaffedAccount]:
    values = [f"${at}" for at in range(4, 4 + len(columns))]
    return Write(
        bucket=identity.bucket,
        first=f"""identity AS (
            INSERT INTO marketplace.identity (bucket, digest, account) VALUES ($1, $2, $3) RETURNING account),
        a AS (
            INSERT INTO marketplace.account (bucket, id, {", ".join(columns)})
            SELECT $1, account, {", ".join(values)} FROM identity RETURNING *)""",
        sql=f"SELECT {_COLUMNS} FROM a",
        args=(identity.bucket, identity.digest, id, *columns.values()),
        row=_account,
        refusals={"identity_taken": accounts.TAKEN},
    )
