"""Login sessions: tokens or a cookie for a login, reading a session back from its shard, and ending sessions."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from core.database.shard import Consistency
from core.database.token import Token
from core.errors import Unauthenticated
from core.ids import placement_of
from core.limits import SESSION_LOAD_S
from core.region import Ask
from core.sessions import Session
from gateway.credentials import User
from gateway.marketplace import accounts
from gateway.marketplace.roles import Role
from gateway.operations import Call, Cookie, Output

if TYPE_CHECKING:
    from gateway.runtime import Runtime


class UserView(Output):
    """The user in the answers of register, login, refresh and session."""

    id: UUID
    role: Role
    full_name: str
    region: str
    phone_number: str
    email: str | None
    garage_name: str | None
    created_at: datetime


class LoggedIn(Output):
    """A login by tokens: send `Authorization: Bearer` and the access token; refresh it before `expires_in` seconds."""

    user: UserView
    access_token: str
    refresh_token: str
    expires_in: int


class CookieLogin(Output):
    """A login by cookie: the browser keeps it; it lives `expires_in` seconds at most."""

    user: UserView
    expires_in: int


def view(account: accounts.Account, region: str) -> UserView:
    """A user as the API shows them."""
    return UserView(
        region=region, **{name: getattr(account, name) for name in UserView.model_fields if name != "region"}
    )


async def logged_in(call: Call, login: accounts.Login, *, cookie: bool) -> LoggedIn | CookieLogin:
    """The answer to a login: tokens, or a session cookie that is set with it."""
    region = call.at(login.id).region
    user = view(login, region.spec.name)
    if not cookie:
        pair = call.runtime.credentials.issue(
            User(login.id, login.role, region.spec.name, login.session), generation=login.generation
        )
        return LoggedIn(
            user=user,
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            expires_in=pair.expires_in,
        )
    await region.sessions.put(_session(login))
    lifetime_s = int((login.session_expires_at - login.session_created_at).total_seconds())
    call.cookie = Cookie(call.runtime.cookies.sign(login.session.bytes), lifetime_s)
    return CookieLogin(user=user, expires_in=lifetime_s)


async def load(runtime: "Runtime", id: UUID) -> Session | None:
    """A live session from its shard's primary: how the session store learns what it does not know.

    Loading counts as a use, on the shard too: only there does it outlive the store, so only there does idling end.
    """
    deadline = asyncio.get_running_loop().time() + SESSION_LOAD_S
    region = runtime.fleet.by_code[placement_of(id).region_code]
    try:
        answer = await region.write(accounts.use_session(id), Ask(deadline, Consistency.STRONG, Token()))
    except Unauthenticated:
        return None
    return _session(answer.reply.value)


async def end(call: Call, session: UUID) -> None:
    """End one session, on its shard and in the session store."""
    await call.at(session).write(accounts.end_session(session))
    await forget(call, session)


async def end_all(call: Call, account: UUID, *, but: UUID | None = None) -> None:
    """End every session of an account, on its shard and in the session store."""
    ended = await call.at(account).write(accounts.end_sessions(account, but=but))
    await forget(call, *map(UUID, ended["ids"]))


async def forget(call: Call, *sessions: UUID) -> None:
    """Make this process and the session store refuse sessions from now on."""
    for session in sessions:
        call.runtime.credentials.revoke(session)
    revocations = (call.at(session).region.sessions.revoke(session) for session in sessions)
    # Shielded: the rows are revoked already, and a deadline that passes now must not leave the store believing them.
    await asyncio.shield(asyncio.gather(*revocations))


def _session(login: accounts.Login) -> Session:
    return Session(
        id=login.session,
        user=login.id,
        role=login.role,
        created_at=login.session_created_at,
        expires_at=login.session_expires_at,
        seen_at=login.session_used_at,
    )
