"""The headers that every operation reads or writes, as components that the operations refer to."""

from typing import Any, Final

from core.limits import (
    DEADLINE_MIN_S,
    IDEMPOTENCY_KEY_CHARS_MAX,
    REQUEST_DEADLINE_S,
    REQUEST_ID_CHARS_MAX,
    TOKEN_CHARS_MAX,
)
from gateway.admission import LIMIT_HEADER, POLICY_HEADER
from gateway.boundary import REQUEST_ID, TIMEOUT
from gateway.caching import CACHE_CONTROL, GROUPS
from gateway.geography.headers import REGION, ROUTE
from gateway.operations.dispatch import CONSISTENCY_HEADER, IDEMPOTENCY_HEADER, TOKEN_HEADER
from gateway.operations.downloads import Download
from gateway.operations.operation import Intent, Operation

Json = dict[str, Any]

_ID_EXAMPLE: Final = "5d0c6f3ae6a14c0f9e2b7c1d8a4f9b10"
_TOKEN_EXAMPLE: Final = "AQEBAAAAAAZyNwAB.q3V1c2Vh"  # noqa: S105
_ETAG_EXAMPLE: Final = '"6d1c0b8e52aa90f35f1e7c44"'
_DATE_EXAMPLE: Final = "Mon, 23 Nov 2026 10:00:00 GMT"
IF_NONE_MATCH: Final = "If-None-Match"
IF_MODIFIED_SINCE: Final = "If-Modified-Since"
RANGE: Final = "Range"
IF_RANGE: Final = "If-Range"
REPLAYED: Final = "Idempotent-Replayed"


def _parameter(name: str, description: str, schema: Json, example: str) -> Json:
    """The example stands in the text: as an `example` the docs page would fill it in and send it with every call."""
    return {"name": name, "in": "header", "description": f"{description} For instance `{example}`.", "schema": schema}


PARAMETERS: Final[dict[str, Json]] = {
    parameter["name"]: parameter
    for parameter in (
        _parameter(
            REQUEST_ID,
            "Your own id for this request; it comes back and stands in our logs. One is made if you send none, or one "
            f"that is not 1 to {REQUEST_ID_CHARS_MAX} letters, digits and `._:+=/@-`.",
            {"type": "string"},
            _ID_EXAMPLE,
        ),
        _parameter(
            TIMEOUT,
            f"Seconds you will wait, at least {DEADLINE_MIN_S:g}; it may shorten the server's own bound "
            f"({REQUEST_DEADLINE_S:g} by default), never lengthen it. After it: 504 `deadline`.",
            {"type": "number", "exclusiveMinimum": 0},
            "5",
        ),
        _parameter(
            REGION,
            "The region to ask, where no id and no login decides it. An unknown region: 400.",
            {"type": "string"},
            "qa",
        ),
        _parameter(
            CONSISTENCY_HEADER,
            "How recent an answer must be: `eventual` (any replica), `session` (your own writes are seen, if you send "
            "the token), `strong` (asks the primary).",
            {"type": "string", "enum": ["eventual", "session", "strong"]},
            "session",
        ),
        _parameter(
            TOKEN_HEADER,
            "The newest Consistency-Token you were given, unchanged: you then read your own writes.",
            {"type": "string", "maxLength": TOKEN_CHARS_MAX},
            _TOKEN_EXAMPLE,
        ),
        _parameter(
            IDEMPOTENCY_HEADER,
            "A key of yours (a UUID, say) that makes repeating this POST safe for 24 hours: same key and body, same "
            "answer; same key and another body, 422; while the first is in flight, 409.",
            {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX},
            "0b1f6a0e-6d0e-4f57-9a52-0f4a3c1f6f2d",
        ),
        _parameter(IF_NONE_MATCH, "The ETag you hold; if it is right still: 304.", {"type": "string"}, _ETAG_EXAMPLE),
        _parameter(
            IF_MODIFIED_SINCE,
            "The Last-Modified you hold, if you hold no ETag; if it is right still: 304.",
            {"type": "string"},
            _DATE_EXAMPLE,
        ),
        _parameter(
            RANGE,
            "The part you want, as first and last byte: 206. Several parts at once are answered by the whole file.",
            {"type": "string"},
            "bytes=0-65535",
        ),
        _parameter(
            IF_RANGE,
            "The ETag or Last-Modified of what you hold: the part is sent if that is right still, else the whole file.",
            {"type": "string"},
            _ETAG_EXAMPLE,
        ),
    )
}
"""Request headers, by name."""

HEADERS: Final[dict[str, Json]] = {
    REQUEST_ID: {
        "description": "The id of this request: yours, or the one that was made.",
        "schema": {"type": "string"},
        "example": _ID_EXAMPLE,
    },
    ROUTE: {
        "description": "Which shard and role answered, which signal decided the region, and the ownership epoch. With "
        "`age=12` the shard has had no primary for 12 seconds: newer writes may exist that this does not show.",
        "schema": {"type": "string"},
        "example": "qa-1/replica; by=user; epoch=7",
    },
    TOKEN_HEADER: {
        "description": "Proof of what you have now written and seen; send the newest one with your next request.",
        "schema": {"type": "string"},
        "example": _TOKEN_EXAMPLE,
    },
    REPLAYED: {
        "description": "`true` when this is the stored answer of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    POLICY_HEADER: {
        "description": "The limits this call counts against: `q` requests in `w` seconds, for each of them.",
        "schema": {"type": "string"},
        "example": '"user";q=600;w=60',
    },
    LIMIT_HEADER: {
        "description": "For each limit, how many more requests it admits now (`r`), and in how many seconds (`t`) the "
        "whole of it is there again. After a 429 wait for as long as Retry-After says.",
        "schema": {"type": "string"},
        "example": '"user";r=599;t=1',
    },
    "ETag": {"description": "The answer's version.", "schema": {"type": "string"}, "example": _ETAG_EXAMPLE},
    "Last-Modified": {
        "description": "When the file was sent.",
        "schema": {"type": "string"},
        "example": _DATE_EXAMPLE,
    },
    "Accept-Ranges": {"description": "Parts can be asked for.", "schema": {"type": "string", "const": "bytes"}},
    "Content-Disposition": {
        "description": "`inline` for an image, `attachment` for a PDF or a table, and the file's name.",
        "schema": {"type": "string"},
        "example": "inline; filename=\"mirror.png\"; filename*=UTF-8''mirror.png",
    },
    "Content-Range": {
        "description": "Which bytes these are, and of how many; `bytes */1000` when the part asked for is beyond them.",
        "schema": {"type": "string"},
        "example": "bytes 0-65535/1048576",
    },
    CACHE_CONTROL: {
        "description": "How long the answer is good for. It is the same for everybody and says nothing of who asked.",
        "schema": {"type": "string"},
        "example": "public, max-age=30, stale-while-revalidate=30, stale-if-error=86400",
    },
    GROUPS: {
        "description": "What the answer is of (RFC 9875): a cache may forget all of a group at once.",
        "schema": {"type": "string"},
        "example": '"garage-0199b3c4-0000-7000-8000-000000000000"',
    },
    "Location": {"description": "Where the file is.", "schema": {"type": "string", "format": "uri"}},
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}, "example": 1},
    "WWW-Authenticate": {
        "description": "How to log in.",
        "schema": {"type": "string"},
        "example": 'Bearer realm="meridian", error="invalid_token", error_description="expired"',
    },
}
"""Response headers, by name."""


def parameters_of(operation: Operation, *, has_etag: bool) -> list[Json]:
    """References to the request headers that an operation reads."""
    names = [REQUEST_ID, TIMEOUT, REGION, CONSISTENCY_HEADER, TOKEN_HEADER]
    if operation.method == "POST" and operation.intent is Intent.WRITE:
        names.append(IDEMPOTENCY_HEADER)
    if has_etag:
        names.append(IF_NONE_MATCH)
    if operation.result is Download:
        names += [IF_MODIFIED_SINCE, RANGE, IF_RANGE]
    return [ref_to(name) for name in names]


def ref_to(name: str) -> Json:
    """A reference to a request header."""
    return {"$ref": f"#/components/parameters/{name}"}


def answered(*names: str) -> Json:
    """References to response headers, as a response has them."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def answered_by(operation: Operation, *, has_etag: bool) -> Json:
    """The headers of an operation's successful answer."""
    if operation.shared is not None:
        return answered(CACHE_CONTROL, GROUPS, TOKEN_HEADER, "ETag")
    replayed = [REPLAYED] if operation.method == "POST" and operation.intent is Intent.WRITE else []
    limits = (POLICY_HEADER, LIMIT_HEADER)
    return answered(REQUEST_ID, ROUTE, TOKEN_HEADER, *limits, *replayed, *(["ETag"] if has_etag else []))
