"""Reference data over HTTP: every document of every region and language, made once and answered from memory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from edge.directives import OWN_NAME
from edge.messages import Fields, Request, Response
from edge.negotiation import preferred_language
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
from edge.reference.catalogue import Catalogue
from edge.reference.documents import KINDS, LANGUAGES, Json, document
from edge.reference.regions import RegionFacts

PREFIX: Final = "/api/v1/reference"
REGION: Final = "X-Region"
LIST: Final = "sets"
"""The name of the list of sets, among the groups."""
FRESHNESS: Final = "max-age=60, stale-while-revalidate=600, stale-if-error=86400"
"""Of what a plain path answers."""
TOLD_FRESHNESS: Final = "public, max-age=300, stale-while-revalidate=600, stale-if-error=86400"
"""The same in edges that are told of every change."""
NO_SUCH_SET: Final = f"there is no such set of reference data; sets are {', '.join(kind.name for kind in KINDS)}"
_MISSING: Final = "public, max-age=10"
_NOSNIFF: Final[Fields] = (("X-Content-Type-Options", "nosniff"),)
_MEDIA_TYPE: Final = "application/json"
_EVERYWHERE: Final = ""


@dataclass(frozen=True, slots=True)
class _Document:
    prepared: Prepared
    language: str


class Reference:
    """The reference data of some regions, answered under `prefix`: the list of sets there, each set below it.

    The plain path answers in the language of Accept-Language for the region of X-Region; it is fresh for a minute. With
    `?v=` and the fingerprint of any region's and language's document it answers exactly that one, immutable for a year.
    Where a document depends on the region and the request does not name it, the answer is for that client alone.
    """

    def __init__(
        self,
        regions: Sequence[RegionFacts],
        *,
        catalogue: Catalogue | None = None,
        prefix: str = PREFIX,
        compressors: Mapping[str, Compressor] = COMPRESSORS,
        freshness: str = FRESHNESS,
        is_told: bool = False,
        headers: Fields = _NOSNIFF,
    ) -> None:
        """`regions`: at least one. `catalogue`: the shipped one, unless given. `headers` are added to every answer.

        `freshness` is what Cache-Control says of a plain path, after `public` or `private`. `is_told`: edges are told
        of every change, and may keep it longer.
        """
        self._prefix = prefix
        self._compressors = compressors
        self._freshness = freshness
        self._for_edges: Fields = ((OWN_NAME, TOLD_FRESHNESS),) if is_told else ()
        self._headers = headers
        self._regions = tuple(region.name for region in regions)
        self._plain: dict[tuple[str, str, str], _Document] = {}
        self._versions: dict[str, dict[str, _Document]] = {name: {} for name in (*(k.name for k in KINDS), LIST)}
        self._regional = frozenset((LIST, *(kind.name for kind in KINDS if kind.is_regional)))
        catalogue = catalogue or Catalogue.shipped()
        for region in regions:
            for language in LANGUAGES:
                self._make(catalogue, region, language)

    @property
    def versions(self) -> Mapping[str, frozenset[str]]:
        """Set (and `sets`, their list) -> the fingerprints of all its documents."""
        return {name: frozenset(found) for name, found in self._versions.items()}

    def depends_on_region(self, path: str) -> bool:
        """Whether what is answered at a path is another in another region."""
        return self._name(path) in self._regional

    def shipped(self, request: Request, region: str) -> Response | None:
        """`handle` for what is below the prefix, None for everything else: what `Edge` asks when its origin fails."""
        path = request.path
        return self.handle(request, region) if path == self._prefix or path.startswith(f"{self._prefix}/") else None

    def handle(self, request: Request, region: str) -> Response:
        """The answer to a request: 200, 206, 304, 400, 404, 405 or 416.

        `region` counts where the request has no X-Region; one that is not known counts as the first.
        """
        if request.method not in METHODS:
            return refuse_method(request, self._headers)
        explicit = request.field(REGION)
        if explicit and explicit not in self._regions:
            return self._unknown_region(request)
        name = self._name(request.path)
        if name is None:
            said: Fields = (("Cache-Control", _MISSING), *self._headers)
            return problem(request, 404, "not_found", "Not found", NO_SUCH_SET, said)
        versions = parse_qs(request.query).get("v", []) if request.query else []
        exact = self._versions[name].get(versions[0]) if len(versions) == 1 else None
        if exact is not None:
            return self._answer(request, name, exact, IMMUTABLE, "Accept-Encoding")
        return self._answer_plain(request, name, explicit, region)

    def _answer_plain(self, request: Request, name: str, explicit: str | None, region: str) -> Response:
        language = preferred_language(request.field("Accept-Language"), LANGUAGES)
        if name not in self._regional:
            found = self._plain[name, _EVERYWHERE, language]
            control = f"public, {self._freshness}"
            return self._answer(request, name, found, control, "Accept-Language, Accept-Encoding", self._for_edges)
        where = explicit or (region if region in self._regions else self._regions[0])
        # Guessed from an address or a country, which are no part of any cache's key.
        scope = "public" if explicit else "private"
        vary = f"Accept-Language, Accept-Encoding, {REGION}"
        found, more = self._plain[name, where, language], self._for_edges if explicit else ()
        return self._answer(request, name, found, f"{scope}, {self._freshness}", vary, more)

    def _answer(
        self, request: Request, name: str, found: _Document, control: str, vary: str, more: Fields = ()
    ) -> Response:
        fields = (
            ("Cache-Control", control),
            ("Vary", vary),
            ("Content-Language", found.language),
            ("Cache-Groups", f'"{group_of("")}", "{group_of(name)}"'),
            *more,
            *self._headers,
        )
        return respond(request, found.prepared, fields)

    def _unknown_region(self, request: Request) -> Response:
        detail = f"{REGION} names no region of this service: it knows {', '.join(self._regions)}"
        said: Fields = (("Cache-Control", "no-store"), *self._headers)
        return problem(request, 400, "malformed", "The request cannot be read", detail, said)

    def _name(self, path: str) -> str | None:
        if path == self._prefix:
            return LIST
        name = path.removeprefix(f"{self._prefix}/")
        return name if name != path and name != LIST and name in self._versions else None

    def _make(self, catalogue: Catalogue, region: RegionFacts, language: str) -> None:
        """Make all documents of a region in a language that are not there already."""
        listed = []
        for kind in KINDS:
            where = region.name if kind.is_regional else _EVERYWHERE
            content = document(kind, catalogue, region, language)
            fingerprint = self._keep(kind.name, where, language, content)
            listed.append(
                {
                    "name": kind.name,
                    "title": kind.title[language],
                    "count": len(content["items"]),
                    "version": fingerprint,
                    "url": f"{self._prefix}/{kind.name}?v={fingerprint}",
                }
            )
        self._keep(LIST, region.name, language, {**_about(region, language), "items": listed})

    def _keep(self, name: str, where: str, language: str, content: Json) -> str:
        """Prepare a document, once; its fingerprint."""
        key = (name, where, language)
        if key not in self._plain:
            body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
            found = _Document(prepare(body, _MEDIA_TYPE, self._compressors), language)
            self._plain[key] = self._versions[name][found.prepared.fingerprint] = found
        return self._plain[key].prepared.fingerprint


def group_of(name: str) -> str:
    """The cache group (RFC 9875) of a set's answers; with an empty name that of all reference data."""
    return f"reference-{name}" if name else "reference"


def groups_changed(before: Reference, after: Reference) -> tuple[str, ...]:
    """The groups whose answers are other ones now."""
    return tuple(sorted(_changed(before.versions, after.versions)))


def _changed(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            yield group_of(name)


def _about(region: RegionFacts, language: str) -> Json:
    return {
        "set": LIST,
        "language": language,
        "region": region.name,
        "title": region.names.get(language) or region.names.get(LANGUAGES[0], region.name),
        "countries": list(region.countries),
        "currency": region.currency,
        "minor_unit": region.minor_unit,
        "time_zone": region.time_zone,
    }
