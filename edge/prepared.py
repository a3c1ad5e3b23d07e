"""Contents prepared once, so that a request is a look-up: fingerprinted, compressed, each form with its own ETag."""

import gzip
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from edge.messages import Fields, Request, Response
from edge.negotiation import CODINGS, IDENTITY, holds, preferred_coding
from edge.ranges import Part, Unsatisfiable, part_asked

Compressor = Callable[[bytes], bytes]
"""Always makes the same bytes of the same content, as a strong ETag promises for every server."""

METHODS: Final = ("GET", "HEAD")
IMMUTABLE: Final = "public, max-age=31536000, immutable"
_WORTH_IT: Final = 0.9
_NO_STORE: Final = ("Cache-Control", "no-store")
_REQUEST_ID: Final = "X-Request-Id"
_WELL_FORMED_ID: Final = re.compile(r"[A-Za-z0-9._:+=/@-]{1,128}")
"""As the gateway takes it; any other is not repeated."""


def gzipped(content: bytes) -> bytes:
    """The content in gzip; without the time, which would make it another one a second later."""
    return gzip.compress(content, 9, mtime=0)


COMPRESSORS: Final[Mapping[str, Compressor]] = {"gzip": gzipped}
"""What the standard library has; whoever has brotli adds `br`."""


@dataclass(frozen=True, slots=True)
class Body:
    """One form of a content: its strong ETag, its bytes, and its content coding (`identity` for the plain one)."""

    etag: str
    content: bytes
    coding: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A content, ready to be answered. `codings` are those it has beside the plain form, the preferred one first."""

    media_type: str
    fingerprint: str
    bodies: Mapping[str, Body]
    codings: tuple[str, ...]

    def body_for(self, request: Request) -> Body:
        """The form that the client likes best."""
        if not self.codings:
            return self.bodies[IDENTITY]
        return self.bodies[preferred_coding(request.field("Accept-Encoding"), self.codings)]


def prepare(content: bytes, media_type: str, compressors: Mapping[str, Compressor] = COMPRESSORS) -> Prepared:
    """A content with every compressed form that is worth its name. `compressors` by content coding."""
    fingerprint = fingerprint_of(content)
    bodies = {IDENTITY: Body(f'"{fingerprint}"', content, IDENTITY)}
    for coding in CODINGS:
        small = compressors[coding](content) if coding in compressors else content
        if len(small) < len(content) * _WORTH_IT:
            bodies[coding] = Body(f'"{fingerprint}-{coding}"', small, coding)
    return Prepared(media_type, fingerprint, bodies, tuple(coding for coding in CODINGS if coding in bodies))


def fingerprint_of(content: bytes) -> str:
    """The fingerprint of a content: 16 hexadecimal digits of its BLAKE2b."""
    return blake2b(content, digest_size=8).hexdigest()


def respond(request: Request, prepared: Prepared, fields: Fields) -> Response:
    """The answer to a GET or HEAD: 200, 206, 304 or 416. `fields` (Cache-Control, Vary and the like) are on each."""
    body = prepared.body_for(request)
    common: Fields = (("ETag", body.etag), *fields)
    if holds(request.field("If-None-Match"), body.etag):
        return Response(304, tuple(field for field in common if field[0] != "Content-Language"))
    coding: Fields = () if body.coding == IDENTITY else (("Content-Encoding", body.coding),)
    described = (("Content-Type", prepared.media_type), *coding, ("Accept-Ranges", "bytes"), *common)
    if request.method == "HEAD":
        return Response(200, (*described, _length(len(body.content))))
    try:
        part = _part(request, body)
    except Unsatisfiable:
        return _beyond(len(body.content), fields)
    if part is None:
        return Response(200, (*described, _length(len(body.content))), body.content)
    content = body.content[part.first : part.last + 1]
    where = f"bytes {part.first}-{part.last}/{len(body.content)}"
    return Response(206, (*described, ("Content-Range", where), _length(len(content))), content)


def problem(request: Request, status: int, code: str, title: str, detail: str, fields: Fields) -> Response:
    """A problem (RFC 9457). Where nobody may keep it (no-store), it repeats a well-formed X-Request-Id of its request.

    An answer that may be kept belongs to no single request.
    """
    given = request.field(_REQUEST_ID) or ""
    is_repeated = _NO_STORE in fields and _WELL_FORMED_ID.fullmatch(given) is not None
    members = {"type": f"/api/docs#problem-{code}", "title": title, "status": status, "detail": detail, "code": code}
    body = json.dumps({**members, "request_id": given} if is_repeated else members).encode()
    described: Fields = (("Content-Type", "application/problem+json"), _length(len(body)))
    id: Fields = ((_REQUEST_ID, given),) if is_repeated else ()
    return Response(status, (*described, *fields, *id), b"" if request.method == "HEAD" else body)


def refuse_method(request: Request, fields: Fields) -> Response:
    """405: there are only GET and HEAD here."""
    allowed = ", ".join(METHODS)
    said: Fields = (_NO_STORE, ("Allow", allowed), *fields)
    detail = f"only {allowed} are possible here"
    return problem(request, 405, "method_not_allowed", "Method not allowed", detail, said)


def _part(request: Request, body: Body) -> Part | None:
    if_range = request.field("If-Range")
    if if_range is not None and if_range.strip() != body.etag:
        return None
    return part_asked(request.field("Range"), len(body.content))


def _beyond(size: int, fields: Fields) -> Response:
    kept = tuple(field for field in fields if field[0] != "Cache-Control")
    return Response(416, (("Content-Range", f"bytes */{size}"), _NO_STORE, _length(0), *kept))


def _length(size: int) -> tuple[str, str]:
    return "Content-Length", str(size)
