"""Static assets from memory: prepared once, so that a request is a look-up and a comparison."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import parse_qs, unquote

from edge import folder as folders
from edge.media import is_packed, type_of
from edge.messages import Fields, Request, Response
from edge.negotiation import holds, prefers_gzip

METHODS: Final = ("GET", "HEAD")
IMMUTABLE: Final = "public, max-age=31536000, immutable"
_GZIP_WORTH_IT: Final = 0.9


@dataclass(frozen=True, slots=True)
class _Body:
    etag: str
    content: bytes
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class _Asset:
    media_type: str
    fingerprint: str
    plain: _Body
    gzipped: _Body | None


class Assets:
    """The assets of one folder, answered under `prefix`.

    A path is a name in a table made at construction, never a path on a disk: there is nothing to climb out of. With
    its fingerprint, as `?v=` or in the name (`app.<fingerprint>.js`), an asset is immutable for a year; by its plain
    path it is fresh for `max_age_s` seconds and then asked for again by its ETag. An empty name is `index`.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        prefix: str = "/",
        index: str = "index.html",
        max_age_s: int = 60,
        missing_max_age_s: int = 10,
        headers: Fields = (),
    ) -> None:
        """`files`: name -> content. `headers` are added to every answer."""
        self._assets = {name: _prepared(name, body) for name, body in files.items()}
        self._fingerprinted = {_marked(name, asset.fingerprint): name for name, asset in self._assets.items()}
        self._prefix = prefix.rstrip("/")
        self._index = index
        self._plain_control = f"public, max-age={max_age_s}, must-revalidate"
        self._missing_control = f"public, max-age={missing_max_age_s}"
        self._headers = headers

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        *,
        prefix: str = "/",
        files_max: int = folders.FILES_MAX,
        bytes_max: int = folders.BYTES_MAX,
        headers: Fields = (),
    ) -> "Assets":
        """The assets of a folder. Raises FolderTooLarge, or NotADirectoryError when there is no such folder."""
        files = folders.read_folder(folder, files_max=files_max, bytes_max=bytes_max)
        return cls(files, prefix=prefix, headers=headers)

    def url(self, name: str) -> str:
        """The path of an asset with its fingerprint, which may be kept for ever. Raises KeyError."""
        return f"{self._prefix}/{name}?v={self._assets[name].fingerprint}"

    def handle(self, request: Request) -> Response:
        """The answer to a request: 200, 304, 404 or 405."""
        if request.method not in METHODS:
            return self._refused()
        name = self._name(request.path)
        asset = self._assets.get(name) if name is not None else None
        if name is not None and asset is None and name in self._fingerprinted:
            return self._found(request, self._assets[self._fingerprinted[name]], IMMUTABLE)
        if asset is None:
            return self._missing(request)
        # A fingerprint that is not this content's belongs to another release: cached for a year it would be wrong.
        is_current = parse_qs(request.query).get("v") == [asset.fingerprint]
        return self._found(request, asset, IMMUTABLE if is_current else self._plain_control)

    def _name(self, path: str) -> str | None:
        if path != self._prefix and not path.startswith(self._prefix + "/"):
            return None
        try:
            return unquote(path[len(self._prefix) + 1 :], errors="strict") or self._index
        except UnicodeDecodeError:
            return None

    def _found(self, request: Request, asset: _Asset, control: str) -> Response:
        packed = asset.gzipped if prefers_gzip(request.field("Accept-Encoding")) else None
        chosen = packed or asset.plain
        vary: Fields = (("Vary", "Accept-Encoding"),) if asset.gzipped else ()
        common: Fields = (("Cache-Control", control), ("ETag", chosen.etag), *vary, *self._headers)
        if holds(request.field("If-None-Match"), chosen.etag):
            return Response(304, common)
        encoding: Fields = (("Content-Encoding", chosen.encoding),) if chosen.encoding else ()
        length = ("Content-Length", str(len(chosen.content)))
        body = chosen.content if request.method == "GET" else b""
        return Response(200, (("Content-Type", asset.media_type), length, *encoding, *common), body)

    def _missing(self, request: Request) -> Response:
        body = _problem(404, "not_found", "Not found", "there is no such asset")
        common = _problem_fields(body, self._missing_control)
        return Response(404, (*common, *self._headers), body if request.method == "GET" else b"")

    def _refused(self) -> Response:
        allowed = ", ".join(METHODS)
        body = _problem(405, "method_not_allowed", "Method not allowed", f"only {allowed} are possible here")
        return Response(405, (*_problem_fields(body, "no-store"), ("Allow", allowed), *self._headers), body)


def fingerprint_of(body: bytes) -> str:
    """The fingerprint of a content: 16 hexadecimal digits of its BLAKE2b."""
    return blake2b(body, digest_size=8).hexdigest()


def _prepared(name: str, body: bytes) -> _Asset:
    fingerprint = fingerprint_of(body)
    gzipped = None
    if not is_packed(name):
        # mtime=0: the same content gives the same bytes on every server, as a strong ETag promises.
        small = gzip.compress(body, 9, mtime=0)
        if len(small) < len(body) * _GZIP_WORTH_IT:
            gzipped = _Body(f'"{fingerprint}-gzip"', small, "gzip")
    return _Asset(type_of(name), fingerprint, _Body(f'"{fingerprint}"', body), gzipped)


def _marked(name: str, fingerprint: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{fingerprint}{path.suffix}"))


def _problem(status: int, code: str, title: str, detail: str) -> bytes:
    """A problem without a request id: an answer that may be cached belongs to no single request."""
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return json.dumps(members).encode()


def _problem_fields(body: bytes, control: str) -> Fields:
    return (
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", control),
    )
