"""Access and refresh tokens: JWT HS256 with rotating keys, and a bounded cache of those already verified."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from typing import Any, Final
from uuid import UUID

import jwt

from core.errors import MeridianError, TokenExpired, Unauthenticated
from core.limits import SESSIONS_IN_PROCESS_MAX, VERIFIED_TOKENS_MAX

ACCESS_LIFETIME_S: Final = 15 * 60
REFRESH_LIFETIME_S: Final = 7 * 24 * 3600
REVOKED_MAX: Final = SESSIONS_IN_PROCESS_MAX
_CLAIMS: Final = ["sub", "role", "region", "sid", "iat", "exp", "jti"]


@dataclass(frozen=True, slots=True)
class User:
    """A verified caller: account id, role, home region's name, and the login session."""

    id: UUID
    role: str
    region: str
    session: UUID
    by_cookie: bool = False


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login answers: two tokens, and the seconds until the first expires."""

    access_token: str
    refresh_token: str
    expires_in: int


class Credentials:
    """Makes and verifies tokens. The first key signs; each verifies, found by `kid`. `now` is Unix seconds.

    A session revoked here is refused at once by this process; another process honours its access tokens until they
    expire, 15 minutes at most.
    """

    def __init__(self, keys: Sequence[bytes], *, now: Callable[[], float], new_jti: Callable[[], str]) -> None:
        self._keys = {sha256(key).hexdigest()[:8]: key for key in keys}
        self._current = next(iter(self._keys))
        self._now = now
        self._new_jti = new_jti
        self._verified: OrderedDict[str, tuple[User, float]] = OrderedDict()
        self._revoked: OrderedDict[UUID, float] = OrderedDict()

    def issue(self, user: User, *, generation: int) -> TokenPair:
        """Tokens for a login session; `generation` counts the session's refreshes."""
        return TokenPair(
            self._signed(user, ACCESS_LIFETIME_S, {}),
            self._signed(user, REFRESH_LIFETIME_S, {"use": "refresh", "gen": generation}),
            ACCESS_LIFETIME_S,
        )

    def verify(self, token: str) -> User:
        """The user of an access token. Raises TokenExpired or Unauthenticated."""
        user, expires_at = self._verified.get(token) or self._remember(token)
        if expires_at <= self._now():
            self._verified.pop(token, None)
            raise TokenExpired("the access token has expired; refresh it")
        if user.session in self._revoked:
            raise Unauthenticated("this session was logged out")
        return user

    def verify_refresh(self, token: str) -> tuple[User, int]:
        """The user and generation of a refresh token. Raises TokenExpired or Unauthenticated."""
        claims = self._claims(token)
        if claims.get("use") != "refresh" or not isinstance(claims.get("gen"), int):
            raise Unauthenticated("this is not a refresh token")
        return _user(claims), claims["gen"]

    def revoke(self, session: UUID) -> None:
        """Refuse the session's access tokens from now on."""
        now = self._now()
        self._revoked[session] = now
        self._revoked.move_to_end(session)
        while len(self._revoked) > REVOKED_MAX or next(iter(self._revoked.values())) < now - ACCESS_LIFETIME_S:
            self._revoked.popitem(last=False)

    def _remember(self, token: str) -> tuple[User, float]:
        claims = self._claims(token)
        if "use" in claims:
            raise Unauthenticated("a refresh token is not an access token")
        found = _user(claims), float(claims["exp"])
        self._verified[token] = found
        if len(self._verified) > VERIFIED_TOKENS_MAX:
            self._verified.popitem(last=False)
        return found

    def _signed(self, user: User, lifetime_s: int, more: dict[str, Any]) -> str:
        now = int(self._now())
        claims = {
            "sub": str(user.id),
            "role": user.role,
            "region": user.region,
            "sid": str(user.session),
            "iat": now,
            "exp": now + lifetime_s,
            "jti": self._new_jti(),
        }
        return jwt.encode(claims | more, self._keys[self._current], algorithm="HS256", headers={"kid": self._current})

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            kid = jwt.get_unverified_header(token).get("kid", self._current)
            key = self._keys.get(kid)
            if key is None:
                raise Unauthenticated("the token was signed with a key we do not have")
            # Expiry is checked against our clock below: one clock, so that tests and leeway have one place.
            claims = jwt.decode(
                token, key, algorithms=["HS256"], options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError as exc:
            raise Unauthenticated("the token is not valid") from exc
        if not isinstance(claims["exp"], int | float) or not isfinite(claims["exp"]):
            raise Unauthenticated("the token is not valid")
        if claims["exp"] <= self._now():
            raise TokenExpired("the token has expired")
        return dict(claims)


def _user(claims: dict[str, Any]) -> User:
    try:
        return User(UUID(claims["sub"]), str(claims["role"]), str(claims["region"]), UUID(claims["sid"]))
    except (ValueError, TypeError, AttributeError) as exc:
        failure: MeridianError = Unauthenticated("the token's claims are not valid")
        raise failure from exc
