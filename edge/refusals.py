"""What the edge says by itself when it gives no other answer: problems (RFC 9457), and when a request earns one."""

from dataclasses import dataclass
from typing import Final

from edge import status
from edge.asked import Asked
from edge.bounds import Bounds
from edge.messages import Fields, Request, Response
from edge.prepared import problem


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem: its status, code and words, and what Cache-Status says of it. `is_passing`: to be tried again."""

    status: int
    code: str
    title: str
    detail: str
    told: str
    is_passing: bool = False

    def response(self, request: Request, name: str, *, why: str | None = None, retry_after_s: int) -> Response:
        """The problem as an answer, of an edge with this name; `why` the request was sent on, if it was."""
        retry: Fields = (("Retry-After", str(retry_after_s)),) if self.is_passing else ()
        fields = (("Cache-Control", "no-store"), *retry)
        response = problem(request, self.status, self.code, self.title, self.detail, fields)
        if why is None:
            return status.told(response, status.alone(name, self.told))
        return status.told(response, status.forwarded(name, why, detail=self.told))


URL_TOO_LONG: Final = Refusal(414, "too_large", "URI too long", "the address is too long", "too-long")
HEADERS_TOO_LARGE: Final = Refusal(431, "too_large", "Headers too large", "send fewer or smaller headers", "too-long")
NO_SUCH_METHOD: Final = Refusal(501, "method_not_allowed", "Method not allowed", "not possible here", "method")
TWO_LENGTHS: Final = Refusal(
    400,
    "malformed",
    "The request cannot be read",
    "a body has one length: Content-Length or Transfer-Encoding",
    "malformed",
)
NOT_KEPT: Final = Refusal(
    504, "not_cached", "No cache has it", "it is not kept here, and nothing else was to be asked", "only-if-cached"
)
OVERLOADED: Final = Refusal(
    503, "overloaded", "Too busy", "too many wait for this answer already", "too-many-waiting", is_passing=True
)
TIMED_OUT: Final = Refusal(
    504, "deadline", "The time allowed ran out", "the service did not answer in time", "origin-timeout", is_passing=True
)
UNREACHABLE: Final = Refusal(
    502,
    "origin_unavailable",
    "The service cannot be reached",
    "the edge cannot reach the service now; try again",
    "origin-failed",
    is_passing=True,
)
INTERNAL: Final = Refusal(500, "internal", "Something went wrong on our side", "the fault has been logged", "internal")


def refusal_of(asked: Asked, bounds: Bounds) -> Refusal | None:
    """What is to be said to a request that is beyond the bounds, or that two servers could read differently."""
    headers = asked.request.headers
    if len(asked.key) > bounds.url_bytes:
        return URL_TOO_LONG
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > bounds.header_count or size > bounds.header_bytes:
        return HEADERS_TOO_LARGE
    # TRACE would show a client the headers that are added on the way; CONNECT would let it choose the origin.
    if asked.request.method in ("CONNECT", "TRACE"):
        return NO_SUCH_METHOD
    if "transfer-encoding" in asked.fields and "content-length" in asked.fields:
        return TWO_LENGTHS
    return None
