"""Errors in the API document: the Problem schema, what each code means, and which codes an operation may answer."""

from collections.abc import Iterable
from typing import Any, Final

from edge.refusals import NOT_KEPT, OVERLOADED, UNREACHABLE
from gateway.admission import LIMIT_HEADER, POLICY_HEADER
from gateway.boundary import REQUEST_ID
from gateway.operations.downloads import Download
from gateway.operations.openapi.headers import answered
from gateway.operations.operation import Intent, Operation
from gateway.problems import PROBLEM_JSON, STATUS

Json = dict[str, Any]

EVERY: Final[dict[str, tuple[int, str]]] = {
    **STATUS,
    **{refusal.code: (refusal.status, refusal.title) for refusal in (UNREACHABLE, OVERLOADED, NOT_KEPT)},
}
"""Code -> (status, title): the gateway's, then those that only an edge before it says."""
MEANING: Final[dict[str, str]] = {
    "malformed": "The request cannot be read: broken JSON, or a header that is not well formed. Mend it first.",
    "unauthenticated": "Nobody, or a credential that cannot be verified. Log in, and send the access token.",
    "token_expired": "The access token was valid once. Refresh it, then repeat the request.",
    "forbidden": "You are somebody, but not for this; or a session cookie was used from another site.",
    "not_found": "There is no such thing, or it is not yours to see.",
    "method_not_allowed": "The path exists, the method does not; Allow lists those that do.",
    "conflict": "What is stored contradicts the request, or another request is changing the same thing now.",
    "write_lost": "A failover cut off what you had seen, or it cannot be proven that it did not. You are told once: go "
    "on with this answer's Consistency-Token, read again, and repeat what is missing.",
    "too_large": "The body is larger than is read here.",
    "range_not_satisfiable": "The range begins after the end of the file; Content-Range says how long the file is.",
    "unsupported_media": "The body is not of a type that is read here: send JSON, or a file as multipart/form-data.",
    "region_unavailable": "No region serves that country, or your home region is not served by this gateway.",
    "invalid": "The request can be read but some fields are wrong: errors names every one of them.",
    "rate_limited": "Too many requests. Wait for as long as Retry-After says.",
    "internal": "A fault of ours. It has been logged under the request_id.",
    "map_refused": "The operators' shard map has faults and is not in use. A fault of ours; nothing was changed.",
    "shard_unavailable": "The server that holds this data cannot be reached now. Nothing was changed; try again.",
    "wrong_shard": "The data is being moved to another server. Nothing was changed; try again.",
    "pool_exhausted": "The database is busy and the queue for it is full. Nothing was changed; try again.",
    "outcome_unknown": "A write was cut off: it may or may not have happened. Repeat it with the same Idempotency-Key.",
    "storage_unavailable": "The file cannot be kept or read now. Nothing was changed; try again.",
    "payment_unavailable": "The payment provider does not answer now. Nothing is paid twice; try again.",
    "draining": "This server is stopping. Try again: another one answers.",
    "deadline": "The time allowed ran out. A POST is safe to repeat with its Idempotency-Key.",
    "origin_unavailable": "An edge of ours cannot reach the service, and keeps nothing that it may say instead. Try "
    "again; a POST with the same Idempotency-Key, for it may have arrived.",
    "overloaded": "Too many wait at this edge for the same answer. Try again after as long as Retry-After says.",
    "not_cached": "You asked with `Cache-Control: only-if-cached`, and the edge does not have it.",
}
"""What each code means to a client and what to do about it. Total over `EVERY`; a test proves it."""

_RETRY_LATER: Final = frozenset({429, 502, 503})

SCHEMAS: Final[dict[str, Json]] = {
    "Problem": {
        "type": "object",
        "description": "An error (RFC 9457). Decide by `code`, show `detail`, quote `request_id`.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "Where the code is explained."},
            "title": {"type": "string", "description": "The code in a few words; always the same for one code."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What went wrong this time, for people."},
            "code": {"type": "string", "enum": list(EVERY), "description": "Stable; meant for programs."},
            "request_id": {
                "type": "string",
                "description": "The id of the request, as in X-Request-Id; an edge that answers by itself may have "
                "none, unless you sent one.",
            },
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldProblem"}},
        },
        "required": ["type", "title", "status", "detail", "code"],
        "x-problems": [
            {"code": code, "status": status, "title": title, "meaning": MEANING[code]}
            for code, (status, title) in EVERY.items()
        ],
    },
    "FieldProblem": {
        "type": "object",
        "description": "One wrong field: its dotted path and what is wrong with it.",
        "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
        "required": ["field", "message"],
    },
}


def codes_of(operation: Operation) -> list[str]:
    """Every error code that an operation may answer, in the order of their table.

    Also where nobody has to be logged in: a credential that is sent must be good (401), and a session cookie may not
    change anything for another site (403).
    """
    writes, changes = operation.intent is Intent.WRITE, operation.method not in ("GET", "HEAD")
    reads_fields = operation.path_parameters or operation.query or operation.body or operation.page
    codes = {"malformed", "unauthenticated", "token_expired", "rate_limited", "internal"}
    codes |= {"shard_unavailable", "pool_exhausted", "draining", "deadline", "write_lost"} | set(operation.errors)
    codes |= {"forbidden"} if operation.roles or changes else set()
    codes |= {"not_found"} if operation.path_parameters else {"region_unavailable"}
    codes |= {"conflict", "wrong_shard", "outcome_unknown"} if writes else set()
    codes |= {"too_large", "unsupported_media"} if operation.body or operation.upload or operation.raw else set()
    codes |= {"range_not_satisfiable"} if operation.result is Download else set()
    codes |= {"invalid"} if reads_fields or operation.method == "POST" else set()
    return ordered(codes)


def ordered(codes: Iterable[str]) -> list[str]:
    """Codes in the order of their table. Raises ValueError for one that is not in it."""
    wanted = set(codes)
    unknown = sorted(wanted - EVERY.keys())
    if unknown:
        raise ValueError(f"no such error code: {', '.join(unknown)}")
    return [code for code in EVERY if code in wanted]


def responses(codes: list[str]) -> tuple[Json, dict[str, Json]]:
    """Status -> reference to a response, and the responses referred to by name."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(EVERY[code][0], []).append(code)
    named = {".".join(of): _response(status, of) for status, of in by_status.items()}
    referred = {
        str(status): {"$ref": f"#/components/responses/{'.'.join(of)}"} for status, of in sorted(by_status.items())
    }
    return referred, named


def _response(status: int, codes: list[str]) -> Json:
    retry = ["Retry-After"] if status in _RETRY_LATER else []
    limits = [POLICY_HEADER, LIMIT_HEADER] if status == 429 else []
    log_in = ["WWW-Authenticate"] if status == 401 else []
    size = ["Content-Range"] if status == 416 else []
    return {
        "description": "; ".join(f"{EVERY[code][1]} (`{code}`)" for code in codes),
        "headers": answered(REQUEST_ID, *limits, *retry, *log_in, *size),
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"summary": EVERY[code][1], "value": _example(code)} for code in codes},
            }
        },
    }


def _example(code: str) -> Json:
    status, title = EVERY[code]
    example: Json = {
        "type": f"/api/docs#problem-{code}",
        "title": title,
        "status": status,
        "detail": MEANING[code],
        "code": code,
        "request_id": "5d0c6f3ae6a14c0f9e2b7c1d8a4f9b10",
    }
    if code == "invalid":
        example["detail"] = "1 field(s) are not valid"
        example["errors"] = [{"field": "phone_number", "message": "is not a phone number of Qatar"}]
    return example
