"""Signed texts: only ours, unchanged, for the purpose they were made for, under a key that is still good."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.signing import Signer

KEY, PREVIOUS = b"k" * 32, b"p" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=!"
SIGNER = Signer([KEY], purpose="cursor")


@given(st.binary(max_size=64))
def test_a_signed_text_gives_its_body_back(body: bytes) -> None:
    assert SIGNER.open(SIGNER.sign(body)) == body


@given(body=st.binary(max_size=20), at=st.integers(0, 100), by=st.sampled_from(ALPHABET))
def test_a_text_with_one_character_changed_or_added_opens_no_more(body: bytes, at: int, by: str) -> None:
    text = SIGNER.sign(body)
    at %= len(text)
    for tampered in (text[:at] + by + text[at + 1 :], text[:at] + by + text[at:], text + by):
        assert tampered == text or SIGNER.open(tampered) is None


@given(st.text(max_size=80))
def test_text_of_strangers_opens_as_nothing(text: str) -> None:
    assert SIGNER.open(text) is None


def test_a_text_is_worth_nothing_for_another_purpose_or_under_another_key() -> None:
    text = SIGNER.sign(b"body")
    assert Signer([KEY], purpose="session cookie").open(text) is None
    assert Signer([PREVIOUS], purpose="cursor").open(text) is None


def test_keys_rotate() -> None:
    old = Signer([PREVIOUS], purpose="cursor").sign(b"body")
    both = Signer([KEY, PREVIOUS], purpose="cursor")
    assert both.open(old) == b"body"
    assert both.sign(b"body") == SIGNER.sign(b"body")


def test_a_digest_is_keyed_by_secret_and_purpose() -> None:
    signers = [Signer([key], purpose=purpose) for key in (KEY, PREVIOUS) for purpose in ("receipt", "cursor")]
    assert len({signer.digest(b"body") for signer in signers}) == 4
