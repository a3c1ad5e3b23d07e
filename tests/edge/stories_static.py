"""The stories of what an edge ships: reference data and assets, answered while the origin is away. No pytest."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from edge.assets import Assets
from edge.messages import Request, Response
from edge.prepared import fingerprint_of
from edge.reference import Catalogue, Reference, RegionFacts, Zone
from tests.edge.table import Answer, Case, Step

Json = dict[str, object]
AWAY: Final = Answer(fails=True)
YEAR: Final = "public, max-age=31536000, immutable"
SHORT: Final = "max-age=60, stale-while-revalidate=600, stale-if-error=86400"
MISSING: Final = "public, max-age=10"
REFERENCE: Final = "/api/v1/reference"
NOSNIFF: Final = ("X-Content-Type-Options", "nosniff")


def _item(id: str, english: str, arabic: str, **more: object) -> Json:
    return {"id": id, "name": {"en": english, "ar": arabic}, **more}


_STATUS: Final = [_item("pending", "Pending", "قيد الانتظار")]
_BEARERS: Final = ("request", "bid", "counter_offer", "order", "payment", "refund", "dispute", "review")
_CATALOGUE: Final = Catalogue(
    {
        "makes": {
            "items": [
                _item(
                    "toyota",
                    "Toyota",
                    "تويوتا",
                    models=[_item("camry", "Camry", "كامري", **{"from": 1982, "to": None})],
                )
            ]
        },
        "categories": {"items": [_item("brakes", "Brakes", "الفرامل", items=[_item("pads", "Pads", "فحمات")])]},
        "areas": {
            "countries": {
                "QA": {
                    "name": {"en": "Qatar", "ar": "قطر"},
                    "cities": [_item("doha", "Doha", "الدوحة", lat=25.29, lng=51.53, areas=[])],
                },
                "SA": {
                    "name": {"en": "Saudi Arabia", "ar": "السعودية"},
                    "cities": [_item("riyadh", "Riyadh", "الرياض", lat=24.71, lng=46.68, areas=[])],
                },
            }
        },
        "plans": {
            "items": [
                _item(
                    "free", "Free", "مجانية", description={"en": "To begin", "ar": "للبداية"}, commission_percent="15"
                )
            ]
        },
        "statuses": dict.fromkeys(_BEARERS, _STATUS),
    }
)
_ZONES: Final = (Zone("5", "10"), Zone("10", "15"), Zone(None, "20"))
_REGIONS: Final = (
    RegionFacts("qa", ("QA",), {"en": "Qatar", "ar": "قطر"}, "QAR", 2, "Asia/Qatar", (25.2854, 51.531), _ZONES),
    RegionFacts(
        "sa", ("SA",), {"en": "Saudi Arabia", "ar": "السعودية"}, "SAR", 2, "Asia/Riyadh", (24.7136, 46.6753), _ZONES
    ),
)
_SCRIPT: Final = b"console.log('Doha');\n" * 200
_V: Final = fingerprint_of(_SCRIPT)
_PACKED: Final = gzip.compress(_SCRIPT, 9, mtime=0)
_FILES: Final = {"index.html": b"<!doctype html><title>Doha</title>", "app.js": _SCRIPT, "empty.txt": b""}

_reference: Final = Reference(_REGIONS, catalogue=_CATALOGUE)
_assets: Final = Assets(_FILES, prefix="/static", headers=(NOSNIFF,))


def shipped(request: Request, region: str) -> Response | None:
    """What the edge under test ships: reference data of two regions and a folder of assets under `/static`."""
    if request.path.startswith("/static/"):
        return _assets.handle(request)
    return _reference.shipped(request, region)


def _text(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


_NAMES: Final = {"en": ("Toyota", "Camry"), "ar": ("تويوتا", "كامري")}


def _makes(language: str) -> bytes:
    make, model = _NAMES[language]
    models = [{"id": "camry", "name": model, "from": 1982, "to": None}]
    return _text({"set": "makes", "language": language, "items": [{"id": "toyota", "name": make, "models": models}]})


def _plans(region: str, currency: str) -> bytes:
    plan = {"id": "free", "name": "Free", "description": "To begin", "commission_percent": "15"}
    return _text({"set": "plans", "language": "en", "region": region, "currency": currency, "items": [plan]})


_ENGLISH, _ARABIC = _makes("en"), _makes("ar")
_EN, _AR = fingerprint_of(_ENGLISH), fingerprint_of(_ARABIC)
_QATAR, _SAUDI = _plans("qa", "QAR"), _plans("sa", "SAR")


def _story(
    says: str,
    path: str,
    status: int = 200,
    body: bytes | None = None,
    has: dict[str, str] | None = None,
    *,
    method: str = "GET",
    region: str = "qa",
    lacks: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> Case:
    """A story of one request: `path` may have a query, names of headers have `_` for `-`."""
    bare, _, query = path.partition("?")
    fields = tuple((name.replace("_", "-"), value) for name, value in {**(headers or {}), **more}.items())
    request = Request(method, bare, fields, query)
    lacks = (*lacks, "Set-Cookie")
    step = Step(request, AWAY, status, body, {"X-Content-Type-Options": "nosniff", **(has or {})}, lacks, region=region)
    return Case(says, (step,))


def _makes_story(says: str, language: str, asked: str | None = None) -> Case:
    body = _ARABIC if language == "ar" else _ENGLISH
    headers = {} if asked is None else {"Accept_Language": asked}
    return _story(says, f"{REFERENCE}/makes", 200, body, {"Content-Language": language}, headers=headers)


_LANGUAGES: Final = [
    _makes_story("English is spoken to who asks for nothing", "en"),
    _makes_story("Arabic is spoken to who asks for it", "ar", "ar"),
    _makes_story("the Arabic of a country is Arabic", "ar", "ar-QA,ar;q=0.9,en;q=0.8"),
    _makes_story("weights decide the language", "en", "ar;q=0.3, en-GB;q=0.7"),
    _makes_story("of equal languages the first named is spoken", "ar", "fr, ar, en"),
    _makes_story("a refused language is not spoken", "ar", "en;q=0, *"),
    _makes_story("any language is English", "en", "*"),
    _makes_story("a language nobody has is English", "en", "de, fr;q=0.5"),
    _makes_story("a language header that cannot be read is English", "en", ";;q=,,"),
]
_DOCUMENTS: Final = [
    _story(
        "a plain set is public, short, and says what it varies by",
        f"{REFERENCE}/makes",
        200,
        _ENGLISH,
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(_ENGLISH)),
            "Cache-Control": f"public, {SHORT}",
            "Vary": "Accept-Language, Accept-Encoding",
            "ETag": f'"{_EN}"',
            "Accept-Ranges": "bytes",
            "Cache-Groups": '"reference", "reference-makes"',
        },
        lacks=("Content-Encoding",),
    ),
    _story(
        "a set with its fingerprint is immutable and varies by encoding alone",
        f"{REFERENCE}/makes?v={_EN}",
        200,
        _ENGLISH,
        {"Cache-Control": YEAR, "Vary": "Accept-Encoding", "Content-Language": "en"},
    ),
    _story(
        "a fingerprint means its own language whatever the client speaks",
        f"{REFERENCE}/makes?v={_AR}",
        200,
        _ARABIC,
        {"Cache-Control": YEAR, "Content-Language": "ar"},
        Accept_Language="en",
    ),
    _story(
        "a fingerprint means its own region whatever the client names",
        f"{REFERENCE}/plans?v={fingerprint_of(_SAUDI)}",
        200,
        _SAUDI,
        {"Cache-Control": YEAR, "Vary": "Accept-Encoding"},
        X_Region="qa",
    ),
    _story(
        "a fingerprint that is none gets the plain answer",
        f"{REFERENCE}/makes?v=0123456789abcdef",
        200,
        _ENGLISH,
        {"Cache-Control": f"public, {SHORT}"},
    ),
    _story(
        "the fingerprint of another set gets the plain answer",
        f"{REFERENCE}/categories?v={_EN}",
        200,
        None,
        {"Cache-Control": f"public, {SHORT}", "Cache-Groups": '"reference", "reference-categories"'},
    ),
    _story(
        "two fingerprints get the plain answer",
        f"{REFERENCE}/makes?v={_EN}&v={_AR}",
        200,
        _ENGLISH,
        {"Cache-Control": f"public, {SHORT}"},
    ),
    _story(
        "a set of the region that the request names is public",
        f"{REFERENCE}/plans",
        200,
        _SAUDI,
        {"Cache-Control": f"public, {SHORT}", "Vary": "Accept-Language, Accept-Encoding, X-Region"},
        X_Region="sa",
    ),
    _story("a set is of the client's region", f"{REFERENCE}/plans", 200, _SAUDI, region="sa"),
    _story("a set is of the region named before that of the client", f"{REFERENCE}/plans", 200, _QATAR, X_Region="qa"),
    _story(
        "a region that nobody knows is refused",
        f"{REFERENCE}/plans",
        400,
        None,
        {"Content-Type": "application/problem+json", "Cache-Control": "no-store"},
        X_Region="atlantis",
    ),
    _story(
        "the list of sets is there",
        REFERENCE,
        200,
        None,
        {"Content-Type": "application/json", "Cache-Groups": '"reference", "reference-sets"'},
        X_Region="qa",
    ),
    *(
        _story(f"nothing is at {path}", f"{REFERENCE}{path}", 404, None, {"Cache-Control": MISSING}, lacks=("ETag",))
        for path in ("/", "/none", "/makes/", "/makes/toyota", "/sets", "/MAKES")
    ),
]
_HTTP: Final = [
    _story(
        "304 for a set that is held", f"{REFERENCE}/makes", 304, b"", {"ETag": f'"{_EN}"'}, If_None_Match=f'"{_EN}"'
    ),
    _story("304 for one of several held", f"{REFERENCE}/makes", 304, b"", If_None_Match=f'"x", W/"{_EN}"'),
    _story("304 also by fingerprint", f"{REFERENCE}/makes?v={_EN}", 304, b"", If_None_Match="*"),
    _story("200 for a set held in another language", f"{REFERENCE}/makes", 200, _ENGLISH, If_None_Match=f'"{_AR}"'),
    _story(
        "HEAD of a set is GET without the body",
        f"{REFERENCE}/makes",
        200,
        b"",
        {"Content-Length": str(len(_ENGLISH)), "ETag": f'"{_EN}"', "Content-Type": "application/json"},
        method="HEAD",
    ),
    _story(
        "a part of a set",
        f"{REFERENCE}/makes?v={_EN}",
        206,
        _ENGLISH[2:10],
        {"Content-Range": f"bytes 2-9/{len(_ENGLISH)}", "Content-Length": "8", "ETag": f'"{_EN}"'},
        Range="bytes=2-9",
    ),
    _story("the last bytes of a set", f"{REFERENCE}/makes", 206, _ENGLISH[-5:], Range="bytes=-5"),
    _story(
        "a part if it is still the same",
        f"{REFERENCE}/makes",
        206,
        _ENGLISH[:1],
        Range="bytes=0-0",
        If_Range=f'"{_EN}"',
    ),
    _story("the whole if it is another", f"{REFERENCE}/makes", 200, _ENGLISH, Range="bytes=0-0", If_Range=f'"{_AR}"'),
    _story(
        "no part begins after the end",
        f"{REFERENCE}/makes",
        416,
        None,
        {"Content-Range": f"bytes */{len(_ENGLISH)}"},
        Range="bytes=9999-",
    ),
]
_ASSETS: Final = [
    _story(
        "a plain asset is short and revalidated",
        "/static/app.js",
        200,
        _SCRIPT,
        {
            "Cache-Control": "public, max-age=60, must-revalidate",
            "Content-Type": "text/javascript; charset=utf-8",
            "ETag": f'"{_V}"',
            "Vary": "Accept-Encoding",
        },
        lacks=("Content-Encoding",),
    ),
    _story(
        "an asset with its fingerprint is immutable", f"/static/app.js?v={_V}", 200, _SCRIPT, {"Cache-Control": YEAR}
    ),
    _story("a fingerprinted name is immutable", f"/static/app.{_V}.js", 200, _SCRIPT, {"Cache-Control": YEAR}),
    _story(
        "an asset is packed for who takes it",
        "/static/app.js",
        200,
        _PACKED,
        {"Content-Encoding": "gzip", "ETag": f'"{_V}-gzip"', "Content-Length": str(len(_PACKED))},
        Accept_Encoding="gzip",
    ),
    _story("an asset is not packed for who refuses it", "/static/app.js", 200, _SCRIPT, Accept_Encoding="gzip;q=0"),
    _story(
        "304 for a packed asset that is held",
        "/static/app.js",
        304,
        b"",
        Accept_Encoding="gzip",
        If_None_Match=f'"{_V}-gzip"',
    ),
    _story(
        "200 for an asset held in another form",
        "/static/app.js",
        200,
        _PACKED,
        Accept_Encoding="gzip",
        If_None_Match=f'"{_V}"',
    ),
    _story("a part of an asset", "/static/app.js", 206, _SCRIPT[10:20], {"Content-Length": "10"}, Range="bytes=10-19"),
    _story("several parts at once are the whole", "/static/app.js", 200, _SCRIPT, Range="bytes=0-1,5-6"),
    _story("HEAD of an asset", "/static/app.js", 200, b"", {"Content-Length": str(len(_SCRIPT))}, method="HEAD"),
    _story("an empty asset", "/static/empty.txt", 200, b"", {"Content-Length": "0"}),
    _story(
        "the folder is its index", "/static/", 200, _FILES["index.html"], {"Content-Type": "text/html; charset=utf-8"}
    ),
    *(
        _story(f"no asset is at {path}", f"/static/{path}", 404, None, {"Cache-Control": MISSING}, lacks=("ETag",))
        for path in ("none.js", "APP.js", "%2e%2e/pyproject.toml", "..%2fetc%2fpasswd", "app.js%00.html", "%ff")
    ),
]


def _apart(case: Case, number: int) -> Case:
    """The case with a url of its own: an edge remembers for a while which ones the origin failed to answer."""
    (step,) = case.steps
    query = f"{step.request.query}&story={number}".removeprefix("&")
    return Case(case.says, (replace(step, request=replace(step.request, query=query)),))


STATIC: Final[list[Case]] = [
    _apart(case, number) for number, case in enumerate([*_LANGUAGES, *_DOCUMENTS, *_HTTP, *_ASSETS])
]
"""Played with an origin that cannot be reached and never was, so that there is nothing but what is shipped."""
