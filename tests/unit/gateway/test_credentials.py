"""Tokens: only what we signed, in time, with every claim, for the use it was made for, and for a session that lives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from core.errors import TokenExpired, Unauthenticated
from core.limits import VERIFIED_TOKENS_MAX
from gateway import credentials
from gateway.credentials import ACCESS_LIFETIME_S, REFRESH_LIFETIME_S, Credentials, User

KEY, PREVIOUS, FOREIGN = b"k" * 32, b"p" * 32, b"f" * 32
USER = User(UUID(int=1), "customer", "qa", UUID(int=2))
CLAIMS = ["sub", "role", "region", "sid", "iat", "exp", "jti"]


class Clock:
    """Unix seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(clock: Clock, *keys: bytes) -> Credentials:
    return Credentials(keys or (KEY,), now=clock, new_jti=lambda: uuid4().hex)


def forged(token: str, change: Callable[[dict[str, Any]], object], *, key: bytes = KEY, kid: str | None = None) -> str:
    """A token with other claims, signed with a key of the forger's choice."""
    claims = jwt.decode(token, options={"verify_signature": False})
    change(claims)
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": kid or jwt.get_unverified_header(token)["kid"]})


def test_a_token_gives_its_user_back(clock: Clock) -> None:
    issuer = made(clock)
    pair = issuer.issue(USER, generation=3)
    assert issuer.verify(pair.access_token) == USER
    assert issuer.verify_refresh(pair.refresh_token) == (USER, 3)
    assert pair.expires_in == ACCESS_LIFETIME_S == 15 * 60
    assert REFRESH_LIFETIME_S == 7 * 24 * 3600


def test_a_token_without_signature_is_refused(clock: Clock) -> None:
    issuer = made(clock)
    token = issuer.issue(USER, generation=0).access_token
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": kid})
    for text in (unsigned, token.rpartition(".")[0] + ".", "", "a.b.c", "é"):
        with pytest.raises(Unauthenticated):
            issuer.verify(text)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused_even_with_our_key(clock: Clock, algorithm: str) -> None:
    issuer = made(clock, b"k" * 64)
    token = issuer.issue(USER, generation=0).access_token
    claims = jwt.decode(token, options={"verify_signature": False})
    other = jwt.encode(claims, b"k" * 64, algorithm=algorithm, headers={"kid": jwt.get_unverified_header(token)["kid"]})
    with pytest.raises(Unauthenticated):
        issuer.verify(other)


def test_a_wrong_key_and_an_unknown_kid_are_refused(clock: Clock) -> None:
    issuer = made(clock)
    token = issuer.issue(USER, generation=0).access_token
    for text in (forged(token, dict, key=FOREIGN), forged(token, dict, kid="stranger")):
        with pytest.raises(Unauthenticated):
            issuer.verify(text)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_token_without_one_of_its_claims_is_refused(clock: Clock, claim: str) -> None:
    issuer = made(clock)
    pair = issuer.issue(USER, generation=0)
    with pytest.raises(Unauthenticated):
        issuer.verify(forged(pair.access_token, lambda claims: claims.pop(claim)))
    with pytest.raises(Unauthenticated):
        issuer.verify_refresh(forged(pair.refresh_token, lambda claims: claims.pop(claim)))


@pytest.mark.parametrize(
    "wrong", [{"sub": "me"}, {"sid": "mine"}, {"exp": "later"}, {"exp": float("nan")}, {"exp": None}, {"sub": 5}]
)
def test_a_claim_of_the_wrong_kind_is_refused(clock: Clock, wrong: dict[str, object]) -> None:
    issuer = made(clock)
    with pytest.raises(Unauthenticated):
        issuer.verify(forged(issuer.issue(USER, generation=0).access_token, lambda claims: claims.update(wrong)))


def test_a_token_ends_with_its_lifetime_whether_it_was_seen_before_or_not(clock: Clock) -> None:
    issuer = made(clock)
    seen, unseen = issuer.issue(USER, generation=0), issuer.issue(USER, generation=0)
    clock.now += ACCESS_LIFETIME_S - 1
    assert issuer.verify(seen.access_token) == USER
    clock.now += 1
    for pair in (seen, unseen):
        with pytest.raises(TokenExpired):
            issuer.verify(pair.access_token)
    assert issuer.verify_refresh(seen.refresh_token)
    clock.now += REFRESH_LIFETIME_S
    with pytest.raises(TokenExpired):
        issuer.verify_refresh(seen.refresh_token)


def test_neither_kind_of_token_does_the_others_work(clock: Clock) -> None:
    issuer = made(clock)
    pair = issuer.issue(USER, generation=0)
    with pytest.raises(Unauthenticated):
        issuer.verify(pair.refresh_token)
    with pytest.raises(Unauthenticated):
        issuer.verify_refresh(pair.access_token)


def test_after_a_rotation_the_previous_key_still_verifies_and_no_longer_signs(clock: Clock) -> None:
    before, after, later = made(clock, PREVIOUS), made(clock, KEY, PREVIOUS), made(clock, KEY)
    old, new = before.issue(USER, generation=0).access_token, after.issue(USER, generation=0).access_token
    assert after.verify(old) == after.verify(new) == later.verify(new) == USER
    with pytest.raises(Unauthenticated):
        later.verify(old)


def test_a_revoked_session_is_refused_at_once_though_its_token_was_verified_before(clock: Clock) -> None:
    issuer = made(clock)
    token = issuer.issue(USER, generation=0).access_token
    other = issuer.issue(replace(USER, session=UUID(int=3)), generation=0).access_token
    assert issuer.verify(token)
    issuer.revoke(USER.session)
    with pytest.raises(Unauthenticated):
        issuer.verify(token)
    assert issuer.verify(other)


def test_a_revocation_is_remembered_as_long_as_a_token_can_live(clock: Clock) -> None:
    issuer = made(clock)
    issuer.revoke(UUID(int=9))
    clock.now += 1
    token = issuer.issue(USER, generation=0).access_token
    issuer.revoke(USER.session)
    clock.now += ACCESS_LIFETIME_S - 1
    issuer.revoke(UUID(int=10))
    with pytest.raises(Unauthenticated):
        issuer.verify(token)


def test_a_session_revoked_again_and_again_does_not_keep_the_others_in_memory(clock: Clock) -> None:
    issuer = made(clock)
    for session in range(100, 200):
        issuer.revoke(USER.session)
        issuer.revoke(UUID(int=session))
        clock.now += 60
    assert len(issuer._revoked) <= ACCESS_LIFETIME_S // 60 + 2


def test_what_is_remembered_of_tokens_and_revocations_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "VERIFIED_TOKENS_MAX", 3)
    monkeypatch.setattr(credentials, "REVOKED_MAX", 3)
    assert VERIFIED_TOKENS_MAX == 10_000
    issuer = made(clock)
    tokens = [issuer.issue(USER, generation=0).access_token for _ in range(5)]
    assert [issuer.verify(token) for token in (*tokens, *tokens)] == [USER] * 10
    for session in range(10, 15):
        issuer.revoke(UUID(int=session))
    assert (len(issuer._verified), len(issuer._revoked)) == (3, 3)
