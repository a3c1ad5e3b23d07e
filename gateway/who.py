"""Who is calling: a bearer token, or a session cookie. A cookie alone may not change anything for another site."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import web

from core.errors import Forbidden, Unauthenticated
from core.ids import placement_of
from core.sessions import Session
from gateway.cors import Cors
from gateway.credentials import User
from gateway.runtime import Runtime

SESSION_COOKIE: Final = "meridian_session"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


async def who(request: web.Request, runtime: Runtime) -> User | None:
    """The verified caller, or None when the request names nobody.

    Raises Unauthenticated or TokenExpired for a credential that is not good: it is never treated as nobody.
    """
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send `Authorization: Bearer` and the access token")
        return await runtime.credentials.identify(token.strip())
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie is None:
        return None
    user = await _of_cookie(cookie, runtime)
    if user is not None and request.method not in _SAFE_METHODS:
        _same_site(request, runtime.cors)
    return user


async def _of_cookie(cookie: str, runtime: Runtime) -> User | None:
    """The user of a session cookie; None when the session has ended, as a browser keeps sending the cookie."""
    body = runtime.cookies.open(cookie)
    if body is None or len(body) != 16:
        return None
    id = UUID(bytes=body)
    region = runtime.fleet.by_code.get(placement_of(id).region_code)
    if region is None:
        return None
    found = await region.sessions.get(id)
    if found is None:
        read_at = datetime.now(UTC)
        row = await runtime.load_session(runtime, id)
        found = None if row is None else await region.sessions.put(row, confirmed_at=read_at)
    if not isinstance(found, Session):
        return None
    return User(found.user, found.role, region.spec.name, found.id, by_cookie=True)


def _same_site(request: web.Request, cors: Cors) -> None:
    """Refuse a change that another site made a browser send with our cookie (CSRF).

    Browsers say where a request came from by Sec-Fetch-Site or Origin; a client that sends neither is no browser of
    today, and proves by X-Requested-With that it is no form of another site. An origin that CORS_ORIGINS lists is ours.
    Once it lists any, being of the same site is not enough: a page of another subdomain must be listed too.
    """
    fetch_site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if cors.lists(origin):
        allowed = True
    elif fetch_site is not None:
        allowed = fetch_site in ("same-origin", "none") or (fetch_site == "same-site" and not cors.origins)
    elif origin is not None:
        allowed = _host_of(origin) == request.host
    else:
        allowed = "X-Requested-With" in request.headers
    if not allowed:
        raise Forbidden("a session cookie cannot be used from another site; send X-Requested-With or a bearer token")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
