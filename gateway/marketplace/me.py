"""GET and PATCH /me, PUT /me/password and /me/phone."""

from typing import Annotated

from pydantic import Field

from core.errors import FieldError, Forbidden, Invalid, NotFound
from gateway.geography.phone import phone_for_region
from gateway.marketplace import accounts, sessions
from gateway.marketplace.auth import Password, PhoneText, with_claim
from gateway.marketplace.sessions import UserView
from gateway.operations import READ, UNSET, WRITE, Api, Call, Consistency, Email, Input, Name

api = Api("/me", tag="me")


class AccountChange(Input):
    """The fields to change; those left out stay."""

    full_name: Name = UNSET
    email: Email | None = None
    garage_name: Name = UNSET


class PasswordChange(Input):
    """The present password proves that it is the user who asks."""

    current_password: Annotated[str, Field(max_length=128)]
    new_password: Password


class PhoneChange(Input):
    """A number of the user's own region; the password proves that it is the user who asks."""

    phone_number: PhoneText
    password: Annotated[str, Field(max_length=128)]


@api.get("", intent=READ, errors=["not_found"])
async def me(call: Call) -> UserView:
    """The user's own account."""
    account = await call.home.read_one(accounts.by_id(call.user.id), _gone())
    return sessions.view(account, call.user.region)


@api.patch("", intent=WRITE, errors=["not_found"])
async def change(call: Call, change: AccountChange) -> UserView:
    """Change name, email or garage name."""
    fields = change.given()
    if not fields:
        raise Invalid([FieldError("body", "name at least one field to change")])
    if "garage_name" in fields and call.user.role != "garage":
        raise Invalid([FieldError("garage_name", "only garages have one")])
    return sessions.view(await call.home.write(accounts.change(call.user.id, fields)), call.user.region)


@api.put("/password", intent=WRITE, attempt=True, errors=["forbidden", "not_found"])
async def change_password(call: Call, change: PasswordChange) -> None:
    """Change the password, and end every other session of the user."""
    await _prove(call, change.current_password, "current_password")
    hashed = await call.runtime.passwords.hash(change.new_password)
    await call.home.write(accounts.change(call.user.id, {"password_hash": hashed}))
    await sessions.end_all(call, call.user.id, but=call.user.session)


@api.put("/phone", intent=WRITE, attempt=True, errors=["conflict", "forbidden", "not_found"])
async def change_phone(call: Call, change: PhoneChange) -> UserView:
    """Change the phone number, which is what one logs in with (409 if another account has it).

    The new identity is claimed first and the old one released last: cut off anywhere, one of them still logs in.
    """
    account = await _prove(call, change.password, "password")
    region = call.home.region
    e164 = phone_for_region(change.phone_number, region.spec).e164
    if e164 == account.phone_number:
        return sessions.view(account, call.user.region)
    new, old = region.login_hash(e164), region.login_hash(account.phone_number)
    place = call.place(region, new.bucket)
    await with_claim(call, place, new, e164, lambda: place.write(accounts.claim(new, account.id)))
    changed = await call.home.write(accounts.change(account.id, {"phone_number": e164}))
    await call.place(region, old.bucket).write(accounts.release(old, account.id))
    return sessions.view(changed, call.user.region)


async def _prove(call: Call, password: str, field: str) -> accounts.Secret:
    account = await call.home.read_one(accounts.secret_of(call.user.id), _gone(), consistency=Consistency.STRONG)
    if not await call.runtime.passwords.verify(account.password_hash, password):
        raise Forbidden(f"{field} is not right")
    return account


def _gone() -> NotFound:
    return NotFound("this account is not here any more")
