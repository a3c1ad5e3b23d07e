"""Static assets from memory, answered by name."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote

from edge import folder as folders
from edge.media import is_packed, type_of
from edge.messages import Fields, Request, Response
from edge.prepared import (
    COMPRESSORS,
    IMMUTABLE,
    METHODS,
    Compressor,
    Prepared,
    prepare,
    problem,
    refuse_method,
    respond,
)


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
        compressors: Mapping[str, Compressor] = COMPRESSORS,
    ) -> None:
        """`files`: name -> content. `headers` are added to every answer. `compressors` by content coding."""
        self._assets = {name: _prepared(name, body, compressors) for name, body in files.items()}
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
        compressors: Mapping[str, Compressor] = COMPRESSORS,
    ) -> "Assets":
        """The assets of a folder. Raises FolderTooLarge, or NotADirectoryError when there is no such folder."""
        files = folders.read_folder(folder, files_max=files_max, bytes_max=bytes_max)
        return cls(files, prefix=prefix, headers=headers, compressors=compressors)

    def url(self, name: str) -> str:
        """The path of an asset with its fingerprint, which may be kept for ever. Raises KeyError."""
        return f"{self._prefix}/{name}?v={self._assets[name].fingerprint}"

    def handle(self, request: Request) -> Response:
        """The answer to a request: 200, 206, 304, 404, 405 or 416."""
        if request.method not in METHODS:
            return refuse_method(request, self._headers)
        name = self._name(request.path)
        asset = self._assets.get(name) if name is not None else None
        if name is not None and asset is None and name in self._fingerprinted:
            return self._found(request, self._assets[self._fingerprinted[name]], IMMUTABLE)
        if asset is None:
            said: Fields = (("Cache-Control", self._missing_control), *self._headers)
            return problem(request, 404, "not_found", "Not found", "there is no such asset", said)
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

    def _found(self, request: Request, asset: Prepared, control: str) -> Response:
        vary: Fields = (("Vary", "Accept-Encoding"),) if asset.codings else ()
        return respond(request, asset, (("Cache-Control", control), *vary, *self._headers))


def _prepared(name: str, body: bytes, compressors: Mapping[str, Compressor]) -> Prepared:
    return prepare(body, type_of(name), {} if is_packed(name) else compressors)


def _marked(name: str, fingerprint: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{fingerprint}{path.suffix}"))
