"""Keys: one algorithm for each, ids that everybody computes alike, and errors that show nothing of a key."""

from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.keys import keys_of_set, private_key, public_keys, secret_key, thumbprint

ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())


def pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()


def public_pem(key: PrivateKeyTypes) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_the_thumbprint_is_that_of_the_rfcs() -> None:
    """RFC 7638, section 3.1, and RFC 8037, appendix A.3."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6"
        "qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa"
        "pJzKnqDKgw"
    )
    assert thumbprint({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"}) == (
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    )
    point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert thumbprint({"kty": "OKP", "crv": "Ed25519", "x": point}) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (ED25519, "EdDSA")])
def test_a_private_key_signs_by_the_algorithm_of_its_type_and_its_public_half_verifies(
    key: PrivateKeyTypes, algorithm: str
) -> None:
    for text in (pem(key), pem(key).replace("\n", "\\n")):
        found = private_key(text)
        token = jwt.encode({"a": 1}, found.signs, algorithm=found.algorithm)
        (public,) = public_keys(public_pem(key))
        assert (found.algorithm, found.kid, found.jwk) == (algorithm, public.kid, public.jwk)
        assert jwt.decode(token, public.verifies, algorithms=[algorithm]) == {"a": 1}
        assert public.signs is None


def test_what_is_published_of_a_key_is_public_and_a_secret_is_nothing() -> None:
    for key in (private_key(pem(RSA)), private_key(pem(ED25519))):
        assert key.jwk is not None
        assert key.jwk.keys() <= {"kty", "kid", "use", "alg", "n", "e", "crv", "x"}
        assert keys_of_set(orjson.dumps({"keys": [key.jwk]}), keys_max=1).keys() == {key.kid}
    assert secret_key(b"a-secret").jwk is None


def test_several_public_keys_stand_in_one_text() -> None:
    text = public_pem(RSA) + "\n" + public_pem(ED25519).replace("\n", "\\n")
    assert [key.algorithm for key in public_keys(text)] == ["RS256", "EdDSA"]
    assert public_keys("") == []


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (private_key, "a-secret", "PEM"),
        (private_key, public_pem(RSA), "PEM"),
        (private_key, pem(ED25519, BestAvailableEncryption(b"pw")), "without a password"),
        (private_key, pem(SMALL_RSA), "1024 bits"),
        (private_key, pem(P256), "must be RSA"),
        (public_keys, "a-secret", "nothing but public keys"),
        (public_keys, pem(ED25519), "nothing but public keys"),
        (public_keys, public_pem(RSA) + public_pem(P256), "key 2 must be RSA"),
        (public_keys, public_pem(SMALL_RSA), "1024 bits"),
        (public_keys, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "key 1 cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(
    parse: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse(text)
    assert "a-secret" not in str(caught.value)


def jwk_of(key: Any, **more: Any) -> dict[str, Any]:
    to_jwk: Any = ECAlgorithm.to_jwk
    if isinstance(key, rsa.RSAPrivateKey):
        to_jwk = RSAAlgorithm.to_jwk
    if isinstance(key, ed25519.Ed25519PrivateKey):
        to_jwk = OKPAlgorithm.to_jwk
    return {**to_jwk(key.public_key(), as_dict=True), "kid": "k", **more}


@pytest.mark.parametrize(
    ("jwk", "algorithm"),
    [
        (jwk_of(RSA), "RS256"),
        (jwk_of(ED25519), "EdDSA"),
        (jwk_of(P256), "ES256"),
        (jwk_of(RSA, use="sig", alg="RS256", key_ops=["verify"]), "RS256"),
        (jwk_of(RSA, use="enc"), None),
        (jwk_of(RSA, alg="PS256"), None),
        (jwk_of(RSA, key_ops=["encrypt"]), None),
        (jwk_of(SMALL_RSA), None),
        (jwk_of(P384), None),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "k"}, None),
        ({"kty": "RSA", "kid": "k"}, None),
        ({"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "k"}, None),
        (jwk_of(RSA, kid=7), None),
        ("nonsense", None),
    ],
)
def test_of_a_foreign_set_only_keys_for_verifying_are_taken(jwk: Any, algorithm: str | None) -> None:
    good = {**jwk_of(ED25519), "kid": "good"}
    found = keys_of_set(orjson.dumps({"keys": [jwk, good]}), keys_max=9)
    assert {kid: key.algorithm for kid, key in found.items()} == {
        "good": "EdDSA",
        **({"k": algorithm} if algorithm else {}),
    }


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": []}', b"<html>"])
def test_what_is_no_set_of_keys_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="JWK set"):
        keys_of_set(document, keys_max=9)
