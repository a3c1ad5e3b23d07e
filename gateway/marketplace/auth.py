"""POST /auth/register, /login, /refresh, /logout, /logout-all and GET /auth/session."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from core.database.statement import Row
from core.errors import Conflict, Unauthenticated
from core.ids import LoginHash
from core.region import Region
from gateway.geography.phone import parse_phone, phone_for_region
from gateway.marketplace import accounts, sessions
from gateway.marketplace.sessions import CookieLogin, LoggedIn, UserView
from gateway.operations import READ, WRITE, Api, Call, Consistency, Cookie, Created, Email, Input, Name, Output, Place

T = TypeVar("T")
api = Api("/auth", tag="auth")

Password = Annotated[str, Field(min_length=8, max_length=128)]
PhoneText = Annotated[str, Field(min_length=3, max_length=40, examples=["+974 3312 3456"])]
_WRONG = "the phone number or the password is not right"


class Registration(Input):
    """A new customer or garage. The phone number places them: it is read for the region that geography decides on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "full_name": "Noora Al-Thani",
                    "phone_number": "+974 3312 3456",
                    "password": "pearl-diver-1974",
                    "role": "customer",
                }
            ]
        }
    )

    full_name: Name
    phone_number: PhoneText
    password: Password
    role: Literal["customer", "garage"]
    email: Email | None = None
    garage_name: Annotated[Name | None, Field(validate_default=True)] = None
    cookie: bool = False

    @field_validator("garage_name")
    @classmethod
    def _garages_have_names(cls, name: str | None, info: ValidationInfo) -> str | None:
        role = info.data.get("role")
        if role is not None and (role == "garage") != (name is not None):
            raise ValueError("is needed for the role garage, and only there")
        return name


class LoginRequest(Input):
    """`cookie: true` asks for a session cookie instead of tokens."""

    phone_number: PhoneText
    password: Annotated[str, Field(max_length=128)]
    cookie: bool = False


class Refresh(Input):
    """The newest refresh token of a login."""

    refresh_token: Annotated[str, Field(max_length=4096)]


class SessionView(Output):
    """Who is logged in, and by what."""

    user: UserView
    session: UUID
    by: Literal["token", "cookie"]


@api.post(
    "/register",
    intent=WRITE,
    public=True,
    attempt=True,
    phone_field="phone_number",
    errors=["conflict", "region_unavailable"],
)
async def register(call: Call, registration: Registration) -> Created[LoggedIn | CookieLogin]:
    """Register a customer or a garage, and log in (409 if the phone number is taken).

    A garage must have a `garage_name`, a customer must not. The account lives in the region of its phone number's
    country, unless `X-Region` says another. With `cookie: true` the answer sets a session cookie and has no tokens.
    """
    phone = phone_for_region(registration.phone_number, call.decision.region)
    identity = call.region.login_hash(phone.e164)
    place = call.place(call.region, identity.bucket)
    write = accounts.register(
        place.new_id(),
        session=place.new_id(),
        identity=identity,
        phone_number=phone.e164,
        password_hash=await call.runtime.passwords.hash(registration.password),
        **registration.model_dump(include={"role", "full_name", "email", "garage_name"}),
    )
    login = await with_claim(call, place, identity, phone.e164, lambda: place.write(write))
    return Created(await sessions.logged_in(call, login, cookie=registration.cookie))


@api.post("/login", intent=WRITE, public=True, attempt=True, phone_field="phone_number", errors=["region_unavailable"])
async def log_in(call: Call, request: LoginRequest) -> LoggedIn | CookieLogin:
    """Log in by phone number and password; a session cookie that came with the request is replaced."""
    account = await _find(call, request.phone_number)
    if not await call.runtime.passwords.verify(account.password_hash if account else None, request.password):
        raise Unauthenticated(_WRONG)
    assert account is not None
    place = call.at(account.id)
    login = await place.write(accounts.begin_session(place.new_id(), account.id))
    if call.caller is not None and call.caller.by_cookie:
        await sessions.end(call, call.caller.session)
    return await sessions.logged_in(call, login, cookie=request.cookie)


@api.post("/refresh", intent=WRITE, public=True, attempt=True)
async def refresh(call: Call, request: Refresh) -> LoggedIn | CookieLogin:
    """New tokens for the newest refresh token; an older one that comes back ends the whole session."""
    user, generation = call.runtime.credentials.verify_refresh(request.refresh_token)
    place = call.at(user.session)
    try:
        login = await place.write(accounts.refresh_session(user.session, generation))
    except Unauthenticated:
        await place.write(accounts.revoke_reused(user.session, generation))
        await sessions.forget(call, user.session)
        raise Unauthenticated("this refresh token was used before, so the session was ended; log in again") from None
    return await sessions.logged_in(call, login, cookie=False)


@api.post("/logout", intent=WRITE)
async def log_out(call: Call) -> None:
    """End this session, on its shard and in the session store."""
    await sessions.end(call, call.user.session)
    _drop_cookie(call)


@api.post("/logout-all", intent=WRITE)
async def log_out_everywhere(call: Call) -> None:
    """End every session of this user."""
    await sessions.end_all(call, call.user.id)
    _drop_cookie(call)


@api.get("/session", intent=READ, consistency=Consistency.STRONG)
async def session(call: Call) -> SessionView:
    """Who is logged in; asked of the primary, so that a session that has ended is never shown."""
    login = await call.at(call.user.session).read_one(
        accounts.live_session(call.user.session), Unauthenticated("this session has ended; log in again")
    )
    return SessionView(
        user=sessions.view(login, call.user.region),
        session=login.session,
        by="cookie" if call.user.by_cookie else "token",
    )


async def with_claim(
    call: Call, place: Place, identity: LoginHash, e164: str, claiming: Callable[[], Awaitable[T]]
) -> T:
    """Do a write that claims an identity; once more if what stands in its way is a claim that was cut off."""
    try:
        return await claiming()
    except Conflict as exc:
        await _free_if_stale(call, place, identity, e164, exc)
        return await claiming()


async def _free_if_stale(call: Call, place: Place, identity: LoginHash, e164: str, conflict: Conflict) -> None:
    """Free an identity whose holder does not carry its phone number; raises `conflict` if it is held or still young."""
    rows = await place.read(accounts.holder_of(identity), consistency=Consistency.STRONG)
    if not rows or rows[0]["young"]:
        raise conflict
    held: Row = rows[0]
    holder = await call.at(held["account"]).read(accounts.by_id(held["account"]), consistency=Consistency.STRONG)
    if holder and holder[0].phone_number == e164:
        raise conflict
    await place.write(accounts.release(identity, held["account"], held["claimed_at"]))


async def _find(call: Call, phone_number: str) -> accounts.Secret | None:
    """The account of a phone number: in the decided region, else in the others, by hash only and all at once."""
    e164 = parse_phone(phone_number, call.decision.region.phone.country).e164
    found = await _find_in(call, call.region, e164)
    if found is not None:
        return found
    others = [region for region in call.runtime.fleet.regions.values() if region is not call.region]
    answers = await asyncio.gather(*(_find_in(call, region, e164) for region in others), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    accounts_found = [answer for answer in answers if isinstance(answer, accounts.Secret)]
    if not accounts_found and failures:
        raise failures[0]
    return accounts_found[0] if accounts_found else None


async def _find_in(call: Call, region: Region, e164: str) -> accounts.Secret | None:
    """The account that holds the number in a region. An identity whose account has another number is no match."""
    identity = region.login_hash(e164)
    held = await call.place(region, identity.bucket).read(accounts.holder_of(identity), consistency=Consistency.STRONG)
    if not held:
        return None
    id = held[0]["account"]
    account = await call.at(id).read(accounts.secret_of(id), consistency=Consistency.STRONG)
    return account[0] if account and account[0].phone_number == e164 else None


def _drop_cookie(call: Call) -> None:
    if call.user.by_cookie:
        call.cookie = Cookie("", 0)
