"""Signed messages: `t=<unix seconds>,v1=<hexadecimal HMAC-SHA256 of "t.body">`, the scheme of Stripe's webhooks."""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

from core.errors import Forbidden
from core.limits import PAYMENT_SIGNATURE_AGE_MAX_S

_TIME: Final = re.compile(r"[0-9]{1,12}")


def sign(body: bytes, secret: str, at_s: int) -> str:
    """The header's value for a body that is sent at a time (Unix seconds)."""
    return f"t={at_s},v1={_digest(body, secret, str(at_s))}"


def verify(body: bytes, header: str, secret: str, now: Callable[[], float]) -> None:
    """Raise Forbidden unless one of the header's signatures is good and not older than five minutes, nor of the future.

    Several `v1` may stand there while a secret is being changed.
    """
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t" and _TIME.fullmatch(value)]
    signatures = [value.encode() for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not signatures:
        raise Forbidden("the message is not signed")
    expected = _digest(body, secret, times[0]).encode()
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise Forbidden("the signature is not of this message")
    if abs(now() - int(times[0])) > PAYMENT_SIGNATURE_AGE_MAX_S:
        raise Forbidden("the signature is too old")


def _digest(body: bytes, secret: str, at: str) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
