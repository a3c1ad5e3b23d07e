"""Access and refresh tokens: JWTs signed with rotating keys, and a bounded cache of those already verified."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Protocol
from uuid import UUID

import jwt

from core.errors import MeridianError, NotFound, TokenExpired, Unauthenticated
from core.ids import placement_of
from core.limits import SESSIONS_IN_PROCESS_MAX, VERIFIED_TOKENS_MAX
from gateway.keys import Key, secret_key

ACCESS_LIFETIME_S: Final = 15 * 60
REFRESH_LIFETIME_S: Final = 7 * 24 * 3600
REVOKED_MAX: Final = SESSIONS_IN_PROCESS_MAX
_CLAIMS: Final = ["sub", "role", "region", "sid", "iat", "exp", "jti"]
_OUTSIDE_CLAIMS: Final = ["sub", "role", "region", "iat", "exp", "iss", "aud"]
_SKEW_S: Final = 60.0


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


class OutsideKeys(Protocol):
    """An outside issuer whose tokens are honoured, and its keys as they are known now, by id."""

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens."""
        ...

    @property
    def audience(self) -> str:
        """What must be in the `aud` of its tokens: this service's name with it."""
        ...

    @property
    def keys(self) -> Mapping[str, Key]:
        """Its keys."""
        ...

    async def wait_for(self, kid: str) -> None:
        """Look for a key that is not known yet, briefly, and not too often."""
        ...


class Credentials:
    """Makes and verifies tokens. `signing` signs, or the first secret; every key verifies, found by `kid`.

    `secrets` are for HS256, `public` are keys that are being rotated in or out, `outside` is an issuer whose access
    tokens are honoured too. `now` is Unix seconds. A session revoked here is refused at once by this process; another
    process honours its access tokens until they expire, 15 minutes at most.
    """

    def __init__(
        self,
        secrets: Sequence[bytes],
        *,
        now: Callable[[], float],
        new_jti: Callable[[], str],
        signing: Key | None = None,
        public: Sequence[Key] = (),
        outside: OutsideKeys | None = None,
    ) -> None:
        shared = [secret_key(secret) for secret in secrets]
        own = [*shared, *public, *([signing] if signing is not None else [])]
        self._signing = signing or shared[0]
        self._keys = {key.kid: key for key in own}
        self._without_kid = shared[0].kid
        self._outside = outside
        self._now = now
        self._new_jti = new_jti
        self._verified: OrderedDict[str, tuple[User, float]] = OrderedDict()
        self._revoked: OrderedDict[UUID, float] = OrderedDict()

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key of ours that verifies."""
        return tuple(self._keys.values())

    def issue(self, user: User, *, generation: int) -> TokenPair:
        """Tokens for a login session; `generation` counts the session's refreshes."""
        return TokenPair(
            self._signed(user, ACCESS_LIFETIME_S, {}),
            self._signed(user, REFRESH_LIFETIME_S, {"use": "refresh", "gen": generation}),
            ACCESS_LIFETIME_S,
        )

    async def identify(self, token: str) -> User:
        """As `verify`; if the outside issuer may have signed it with a new key, that is looked for first, briefly."""
        if self._outside is not None and token not in self._verified:
            kid = _said(token, self._outside.issuer)
            if kid is not None and kid not in self._keys and kid not in self._outside.keys:
                await self._outside.wait_for(kid)
        return self.verify(token)

    def forget_verified(self) -> None:
        """Verify every token anew: keys have gone."""
        self._verified.clear()

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
        """The user and generation of a refresh token, which only we sign. Raises TokenExpired or Unauthenticated."""
        claims, is_ours = self._claims(token)
        if not is_ours:
            raise Unauthenticated("this is not a refresh token")
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
        claims, is_ours = self._claims(token)
        if is_ours and "use" in claims:
            raise Unauthenticated("a refresh token is not an access token")
        found = _user(claims) if is_ours else _outside_user(claims), float(claims["exp"])
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
        key = self._signing
        return jwt.encode(claims | more, key.signs, algorithm=key.algorithm, headers={"kid": key.kid})

    def _claims(self, token: str) -> tuple[dict[str, Any], bool]:
        """The claims of a token whose signature is good and whose time has not passed, and whether we signed it."""
        try:
            kid = jwt.get_unverified_header(token).get("kid", self._without_kid)
            key = self._keys.get(kid)
            claims = self._decoded_outside(token, kid) if key is None else _decoded(token, key, _CLAIMS)
        except jwt.InvalidTokenError as exc:
            raise Unauthenticated("the token is not valid") from exc
        self._check_times(claims)
        return claims, key is not None

    def _decoded_outside(self, token: str, kid: str) -> dict[str, Any]:
        outside = self._outside
        key = outside.keys.get(kid) if outside is not None else None
        if outside is None or key is None:
            raise Unauthenticated("the token was signed with a key we do not have")
        return _decoded(token, key, _OUTSIDE_CLAIMS, issuer=outside.issuer, audience=outside.audience)

    def _check_times(self, claims: dict[str, Any]) -> None:
        """By our clock alone: one clock, so that tests and leeway have one place."""
        expires_at, not_before = claims["exp"], claims.get("nbf", 0)
        for moment in (expires_at, not_before):
            if not isinstance(moment, int | float) or not isfinite(moment):
                raise Unauthenticated("the token is not valid")
        if expires_at <= self._now():
            raise TokenExpired("the token has expired")
        if not_before > self._now() + _SKEW_S:
            raise Unauthenticated("the token is not valid yet")


def _decoded(
    token: str, key: Key, required: list[str], *, issuer: str | None = None, audience: str | None = None
) -> dict[str, Any]:
    unchecked = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    options: Any = {"require": required, **unchecked}
    return dict(
        jwt.decode(token, key.verifies, algorithms=[key.algorithm], options=options, issuer=issuer, audience=audience)
    )


def _said(token: str, issuer: str) -> str | None:
    """The key id that a token names, if it says that it is of this issuer; nothing of it is verified."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError:
        return None
    return kid if claims.get("iss") == issuer else None


def _outside_user(claims: dict[str, Any]) -> User:
    """The user of an outside issuer's token: its `sub` is one of our account ids; a `sid` it need not have."""
    user = _user({"sid": claims["sub"], **claims})
    try:
        placement_of(user.id)
    except NotFound:
        raise Unauthenticated("the token's `sub` is no account of this service") from None
    return user


def _user(claims: dict[str, Any]) -> User:
    try:
        return User(UUID(claims["sub"]), str(claims["role"]), str(claims["region"]), UUID(claims["sid"]))
    except (ValueError, TypeError, AttributeError) as exc:
        failure: MeridianError = Unauthenticated("the token's claims are not valid")
        raise failure from exc
