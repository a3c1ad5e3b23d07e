"""RFC 9457 problems: the one table from core error codes to HTTP, and how a problem is written."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from core.errors import Invalid, MeridianError, MethodNotAllowed, RangeNotSatisfiable, Unauthenticated, Unavailable
from gateway.caching import CACHE_CONTROL, CONTROL, Kind

PROBLEM_JSON: Final = "application/problem+json"

STATUS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthenticated": (401, "Log in first"),
    "token_expired": (401, "The access token has expired"),
    "forbidden": (403, "Not allowed"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "conflict": (409, "Conflict"),
    "write_lost": (409, "A write you had seen was lost in a failover"),
    "too_large": (413, "The body is too large"),
    "range_not_satisfiable": (416, "The file has no such part"),
    "unsupported_media": (415, "Unsupported media type"),
    "region_unavailable": (421, "No region serves this country"),
    "invalid": (422, "Some fields are not valid"),
    "rate_limited": (429, "Too many requests"),
    "internal": (500, "Something went wrong on our side"),
    "map_refused": (500, "The shard map is not valid"),
    "shard_unavailable": (503, "The data's shard is not available"),
    "wrong_shard": (503, "The data is being moved"),
    "pool_exhausted": (503, "The database is busy"),
    "outcome_unknown": (503, "The outcome of the write is not known"),
    "storage_unavailable": (503, "The file storage is not available"),
    "payment_unavailable": (503, "The payment provider is not available"),
    "draining": (503, "This server is stopping"),
    "deadline": (504, "The time allowed ran out"),
}
"""Code -> (status, title). Total over core/errors.py; a test proves it."""


def problem_body(error: MeridianError, request_id: str) -> dict[str, Any]:
    """The members of a problem: `type, title, status, detail, code, request_id` and for 422 `errors`."""
    status, title = STATUS[error.code]
    detail = error.detail if status != 500 else "The fault has been logged under this request_id."
    body: dict[str, Any] = {
        "type": f"/api/docs#problem-{error.code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": error.code,
        "request_id": request_id,
    }
    if isinstance(error, Invalid):
        body["errors"] = [{"field": f.field, "message": f.message} for f in error.fields]
    return body


def problem_response(error: MeridianError, request_id: str) -> web.Response:
    """A problem as a response, with the headers that its status calls for."""
    body = problem_body(error, request_id)
    response = web.Response(
        status=body["status"],
        body=orjson.dumps(body),
        content_type=PROBLEM_JSON,
        headers={CACHE_CONTROL: CONTROL[Kind.PROBLEM]},
    )
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthenticated):
        expired = ', error="invalid_token", error_description="expired"' if error.code == "token_expired" else ""
        response.headers["WWW-Authenticate"] = f'Bearer realm="meridian"{expired}'
    if isinstance(error, RangeNotSatisfiable):
        response.headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    return response
