"""Tokens by RSA and Ed25519 keys: rotation logs nobody out, algorithms are not confused, strangers stay out."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from core.errors import TokenExpired, Unauthenticated
from core.ids import Placement, make_id
from gateway.credentials import Credentials, User
from gateway.keys import Key, private_key, public_keys

SECRET = b"k" * 32
NOW = 1_800_000_000.0
USER = User(make_id(Placement(1, 7), now_ms=1, random_bits=1), "customer", "qa", UUID(int=2))
ISSUER, AUDIENCE = "https://login.example/", "qscrap"


def private_pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA, ED25519 = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
SIGNING = {"RS256": private_key(private_pem(RSA)), "EdDSA": private_key(private_pem(ED25519))}
PUBLIC = {"RS256": public_keys(public_pem(RSA)), "EdDSA": public_keys(public_pem(ED25519))}


@dataclass
class Outside:
    """An outside issuer whose keys a test sets."""

    issuer: str = ISSUER
    audience: str = AUDIENCE
    keys: Mapping[str, Key] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    will_find: Mapping[str, Key] = field(default_factory=dict)

    async def wait_for(self, kid: str) -> None:
        self.asked.append(kid)
        self.keys = {**self.keys, **self.will_find}


def made(*secrets: bytes, **more: Any) -> Credentials:
    return Credentials(secrets or (SECRET,), now=lambda: NOW, new_jti=lambda: uuid4().hex, **more)


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_tokens_are_signed_with_the_private_key_and_verified_by_whoever_has_its_public_half(algorithm: str) -> None:
    signer, verifier = made(signing=SIGNING[algorithm]), made(b"o" * 32, public=PUBLIC[algorithm])
    pair = signer.issue(USER, generation=3)
    header = jwt.get_unverified_header(pair.access_token)
    assert (header["alg"], header["kid"]) == (algorithm, SIGNING[algorithm].kid)
    for credentials in (signer, verifier):
        assert credentials.verify(pair.access_token) == USER
        assert credentials.verify_refresh(pair.refresh_token) == (USER, 3)


def test_from_a_secret_to_one_key_and_the_next_nobody_is_logged_out() -> None:
    shared = made()
    first = made(signing=SIGNING["RS256"])
    second = made(signing=SIGNING["EdDSA"], public=PUBLIC["RS256"])
    pairs = [credentials.issue(USER, generation=0) for credentials in (shared, first, second)]
    for pair in pairs:
        assert second.verify(pair.access_token) == USER
        assert second.verify_refresh(pair.refresh_token) == (USER, 0)
    with pytest.raises(Unauthenticated):
        made(signing=SIGNING["EdDSA"]).verify(pairs[1].access_token)


def test_what_is_published_is_every_public_key_and_no_secret() -> None:
    keys = made(signing=SIGNING["EdDSA"], public=PUBLIC["RS256"]).keys
    assert {key.jwk["kid"] for key in keys if key.jwk} == {SIGNING["EdDSA"].kid, SIGNING["RS256"].kid}


def by_hand(header: Mapping[str, object], claims: Mapping[str, object], secret: bytes) -> str:
    """A token signed by HMAC with any bytes: libraries refuse to take a public key as a secret, attackers do not."""
    parts = [base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in (header, claims)]
    mac = hmac.digest(secret, b".".join(parts), sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
@pytest.mark.parametrize("said", ["HS256", "none", "RS256", "EdDSA", "ES256", "PS256"])
def test_a_public_key_is_no_secret_and_an_algorithm_is_not_the_tokens_to_choose(algorithm: str, said: str) -> None:
    credentials = made(signing=SIGNING[algorithm])
    claims = jwt.decode(credentials.issue(USER, generation=0).access_token, options={"verify_signature": False})
    public = RSA.public_key() if algorithm == "RS256" else ED25519.public_key()
    kid = SIGNING[algorithm].kid
    secrets = [
        public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo) for encoding in (Encoding.PEM, Encoding.DER)
    ]
    for secret in (*secrets, secrets[0].strip(), b"", orjson.dumps(SIGNING[algorithm].jwk)):
        with pytest.raises(Unauthenticated):
            credentials.verify(by_hand({"alg": said, "kid": kid, "typ": "JWT"}, claims, secret))


@pytest.mark.parametrize(("signed_by", "named"), [("RS256", "EdDSA"), ("EdDSA", "RS256")])
def test_a_key_may_not_sign_in_the_name_of_another(signed_by: str, named: str) -> None:
    credentials = made(signing=SIGNING["RS256"], public=PUBLIC["EdDSA"])
    claims = jwt.decode(credentials.issue(USER, generation=0).access_token, options={"verify_signature": False})
    for kid in (SIGNING[named].kid, sha256(SECRET).hexdigest()[:8], None):
        token = jwt.encode(claims, SIGNING[signed_by].signs, algorithm=signed_by, headers={"kid": kid} if kid else {})
        with pytest.raises(Unauthenticated):
            credentials.verify(token)


@pytest.mark.parametrize("kid", [7, None, ["k"], {"a": 1}])
def test_a_key_id_of_the_wrong_kind_is_refused(kid: object) -> None:
    with pytest.raises(Unauthenticated):
        made().verify(by_hand({"alg": "HS256", "kid": kid}, {"sub": "x"}, b"f" * 32))


def outside_token(key: Key = SIGNING["EdDSA"], *, kid: str = "theirs", **claims: object) -> str:
    given = {
        "sub": str(USER.id),
        "role": "customer",
        "region": "qa",
        "iat": NOW,
        "exp": NOW + 60,
        "iss": ISSUER,
        "aud": [AUDIENCE, "other"],
        **claims,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(said, key.signs, algorithm=key.algorithm, headers={"kid": kid})


def theirs(key: Key = SIGNING["EdDSA"]) -> dict[str, Key]:
    return {"theirs": Key("theirs", key.algorithm, key.verifies)}


def test_an_outside_issuers_token_names_one_of_our_users() -> None:
    credentials = made(outside=Outside(keys=theirs()))
    assert credentials.verify(outside_token()) == User(USER.id, "customer", "qa", USER.id)
    assert credentials.verify(outside_token(sid=str(USER.session), use="whatever")) == USER


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example/"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": "auth0|1234"},
        {"sub": str(UUID(int=5))},
        {"sub": None},
        {"role": None},
        {"exp": None},
        {"nbf": NOW + 3600},
        {"nbf": "later"},
    ],
)
def test_an_outside_token_for_others_or_about_nobody_is_refused(claims: dict[str, object]) -> None:
    with pytest.raises(Unauthenticated):
        made(outside=Outside(keys=theirs())).verify(outside_token(SIGNING["EdDSA"], kid="theirs", **claims))


def test_an_outside_token_ends_and_is_never_a_refresh_token() -> None:
    credentials = made(outside=Outside(keys=theirs()))
    with pytest.raises(TokenExpired):
        credentials.verify(outside_token(exp=NOW - 1))
    with pytest.raises(Unauthenticated):
        credentials.verify_refresh(outside_token(use="refresh", gen=0, sid=str(USER.session), jti="x"))


def test_an_outside_key_does_not_sign_for_us_nor_in_the_name_of_our_key() -> None:
    ours = made().issue(USER, generation=0).access_token
    claims = jwt.decode(ours, options={"verify_signature": False})
    key = SIGNING["EdDSA"]
    credentials = made(outside=Outside(keys={**theirs(), sha256(SECRET).hexdigest()[:8]: key}))
    for kid in ("theirs", sha256(SECRET).hexdigest()[:8]):
        with pytest.raises(Unauthenticated):
            credentials.verify(jwt.encode(claims, key.signs, algorithm="EdDSA", headers={"kid": kid}))
    assert credentials.verify(ours) == USER


async def test_a_new_key_of_the_issuer_is_looked_for_once_its_token_comes() -> None:
    outside = Outside(will_find=theirs())
    credentials = made(outside=outside)
    assert (await credentials.identify(outside_token())).id == USER.id
    assert outside.asked == ["theirs"]
    await credentials.identify(outside_token())
    assert outside.asked == ["theirs"]


async def test_for_tokens_of_nobody_the_issuer_is_not_asked() -> None:
    outside = Outside()
    credentials = made(outside=outside)
    ours = credentials.issue(USER, generation=0).access_token
    assert await credentials.identify(ours) == USER
    for token in (
        outside_token(iss="https://evil.example/"),
        "a.b.c",
        "",
        made(b"f" * 32).issue(USER, generation=0).access_token,
    ):
        with pytest.raises(Unauthenticated):
            await credentials.identify(token)
    assert outside.asked == []


def test_when_keys_go_what_was_verified_with_them_goes_too() -> None:
    outside = Outside(keys=theirs())
    credentials, token = made(outside=outside), outside_token()
    assert credentials.verify(token)
    outside.keys = {}
    credentials.forget_verified()
    with pytest.raises(Unauthenticated):
        credentials.verify(token)
