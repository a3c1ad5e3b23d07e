"""Keys that sign and verify tokens: HS256 secrets, RSA and Ed25519 keys in PEM, public keys of a JWK set. Pure.

Each key has one algorithm, by its type; a token's own word for its algorithm is never believed. Ids of public keys are
their thumbprints (RFC 7638), so that every process gives one key one id.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeAlias

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

Jwk: TypeAlias = dict[str, Any]

RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192
_PUBLIC_PEM: Final = re.compile(r"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----")
_TYPES: Final = "RSA of 2048 bits or more, or Ed25519"


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its id and its algorithm. `signs` is None for one that only verifies; `jwk` for one that is not public."""

    kid: str
    algorithm: str
    verifies: Any = field(repr=False)
    signs: Any = field(default=None, repr=False)
    jwk: Jwk | None = field(default=None, repr=False)


def secret_key(secret: bytes) -> Key:
    """A shared secret, for HS256."""
    return Key(sha256(secret).hexdigest()[:8], "HS256", secret, secret)


def private_key(text: str) -> Key:
    """The signing key in a PEM text, whose line ends may be written `\\n`. Raises ValueError, showing none of it."""
    try:
        key = load_pem_private_key(_unescaped(text).encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is not a private key in PEM form without a password") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError(f"must be {_TYPES}")
    public = _public(key.public_key())
    return Key(public.kid, public.algorithm, public.verifies, key, public.jwk)


def public_keys(text: str) -> list[Key]:
    """The public keys in a text of one or more PEM blocks. Raises ValueError saying which is wrong."""
    text = _unescaped(text)
    if _PUBLIC_PEM.sub("", text).strip():
        raise ValueError("must be nothing but public keys in PEM form (-----BEGIN PUBLIC KEY-----)")
    return list(_public_pems(text))


def keys_of_set(document: bytes, *, keys_max: int) -> dict[str, Key]:
    """The keys of a JWK set (RFC 7517) that can verify, by id; others are passed over, as the RFC asks.

    Raises ValueError for what is no JWK set, or one without a usable key.
    """
    try:
        listed = orjson.loads(document)["keys"]
        found = {key.kid: key for jwk in listed[:keys_max] if (key := _of_jwk(jwk)) is not None}
    except (ValueError, TypeError, KeyError):
        raise ValueError("the answer is no JWK set") from None
    if not found:
        raise ValueError("the JWK set has no key that can be used")
    return found


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The RFC 7638 thumbprint of a public key, by SHA-256."""
    required = {"RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y")}[jwk["kty"]]
    return _encoded(sha256(orjson.dumps({name: jwk[name] for name in required})).digest())


def _public_pems(text: str) -> Iterator[Key]:
    for number, pem in enumerate(_PUBLIC_PEM.findall(text), start=1):
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(f"key {number} cannot be read") from None
        if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
            raise ValueError(f"key {number} must be {_TYPES}")
        yield _public(key)


def _public(key: RSAPublicKey | Ed25519PublicKey) -> Key:
    if isinstance(key, RSAPublicKey):
        if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            raise ValueError(f"must be {_TYPES}; this one has {key.key_size} bits")
        numbers = key.public_numbers()
        jwk: Jwk = {"kty": "RSA", "n": _encoded_number(numbers.n), "e": _encoded_number(numbers.e)}
        algorithm = "RS256"
    else:
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": _encoded(key.public_bytes_raw())}
        algorithm = "EdDSA"
    kid = thumbprint(jwk)
    return Key(kid, algorithm, key, jwk={**jwk, "kid": kid, "use": "sig", "alg": algorithm})


def _of_jwk(jwk: Any) -> Key | None:
    """A key of somebody else's set; None for one that is not for verifying, or not of a kind that is verified here."""
    if not isinstance(jwk, dict) or not isinstance(kid := jwk.get("kid"), str) or "d" in jwk:
        return None
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    try:
        key, algorithm = _loaded(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    return Key(kid, algorithm, key)


def _loaded(jwk: Jwk) -> tuple[Any, str | None]:
    match jwk.get("kty"):
        case "RSA":
            rsa = RSAAlgorithm.from_jwk(jwk)
            return rsa, "RS256" if RSA_BITS_MIN <= rsa.key_size <= RSA_BITS_MAX else None
        case "OKP":
            okp = OKPAlgorithm.from_jwk(jwk)
            return okp, "EdDSA" if isinstance(okp, Ed25519PublicKey) else None
        case "EC":
            ec = ECAlgorithm.from_jwk(jwk)
            is_p256 = isinstance(ec, EllipticCurvePublicKey) and isinstance(ec.curve, SECP256R1)
            return ec, "ES256" if is_p256 else None
        case _:
            return None, None


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n")


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _encoded_number(number: int) -> str:
    return _encoded(number.to_bytes((number.bit_length() + 7) // 8))
