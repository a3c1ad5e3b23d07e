"""One table of requests to some assets and what must be answered; run against the pure handler and over HTTP."""

import gzip
from dataclasses import dataclass, field

from edge.assets import Assets
from edge.messages import Fields, Request
from edge.prepared import fingerprint_of

SCRIPT = b"console.log('Doha');\n" * 200
FILES = {
    "index.html": b"<!doctype html><title>Meridian</title>",
    "app.js": SCRIPT,
    "fonts/naskh.woff2": b"\x00" * 500,
    "data/areas.json": b'{"areas": []}',
    "blob.unknown": b"?",
    "empty.txt": b"",
}
ASSETS = Assets(FILES, prefix="/static", headers=(("X-Content-Type-Options", "nosniff"),))
V = fingerprint_of(SCRIPT)
GZIPPED = gzip.compress(SCRIPT, 9, mtime=0)
SHORT = "public, max-age=60, must-revalidate"
YEAR = "public, max-age=31536000, immutable"
MISSING = "public, max-age=10"


@dataclass(frozen=True)
class Case:
    says: str
    request: Request
    status: int
    body: bytes | None = None
    has: dict[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()


def get(path: str, query: str = "", **headers: str) -> Request:
    fields: Fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Request("GET", path, fields, query)


def not_found(says: str, path: str) -> Case:
    return Case(
        says, get(path), 404, None, {"Cache-Control": MISSING, "Content-Type": "application/problem+json"}, ("ETag",)
    )


CASES = [
    Case(
        "a plain path is short and revalidated",
        get("/static/app.js"),
        200,
        SCRIPT,
        {
            "Cache-Control": SHORT,
            "Content-Type": "text/javascript; charset=utf-8",
            "Content-Length": str(len(SCRIPT)),
            "ETag": f'"{V}"',
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        },
        ("Content-Encoding",),
    ),
    Case("the right v is immutable", get("/static/app.js", f"v={V}"), 200, SCRIPT, {"Cache-Control": YEAR}),
    Case("the v of another release is not", get("/static/app.js", "v=0123"), 200, SCRIPT, {"Cache-Control": SHORT}),
    Case("two v are not", get("/static/app.js", f"v={V}&v={V}"), 200, SCRIPT, {"Cache-Control": SHORT}),
    Case("a fingerprinted name is immutable", get(f"/static/app.{V}.js"), 200, SCRIPT, {"Cache-Control": YEAR}),
    not_found("a name with another fingerprint is not there", "/static/app.0123456789abcdef.js"),
    Case(
        "the folder is its index",
        get("/static/"),
        200,
        FILES["index.html"],
        {"Content-Type": "text/html; charset=utf-8"},
    ),
    Case("also without a slash", get("/static"), 200, FILES["index.html"], {}, ("Vary",)),
    Case(
        "a file in a folder",
        get("/static/data/areas.json"),
        200,
        FILES["data/areas.json"],
        {"Content-Type": "application/json"},
    ),
    Case(
        "a font is not packed again",
        get("/static/fonts/naskh.woff2", Accept_Encoding="gzip"),
        200,
        b"\0" * 500,
        {},
        ("Vary",),
    ),
    Case("a type nobody knows", get("/static/blob.unknown"), 200, b"?", {"Content-Type": "application/octet-stream"}),
    Case("an empty file", get("/static/empty.txt"), 200, b"", {"Content-Length": "0"}),
    Case(
        "gzip where it is welcome",
        get("/static/app.js", Accept_Encoding="br;q=1, gzip;q=0.8"),
        200,
        GZIPPED,
        {"Content-Encoding": "gzip", "Vary": "Accept-Encoding", "ETag": f'"{V}-gzip"'},
    ),
    Case(
        "not where it is refused",
        get("/static/app.js", Accept_Encoding="gzip;q=0, *"),
        200,
        SCRIPT,
        {},
        ("Content-Encoding",),
    ),
    Case("not where plain is liked better", get("/static/app.js", Accept_Encoding="gzip;q=0.5, identity"), 200, SCRIPT),
    Case("anything is welcome", get("/static/app.js", Accept_Encoding="*"), 200, GZIPPED),
    Case("a weight that is none", get("/static/app.js", Accept_Encoding="gzip;q=yes"), 200, SCRIPT),
    Case(
        "304 for what is held",
        get("/static/app.js", If_None_Match=f'"old", W/"{V}"'),
        304,
        b"",
        {"ETag": f'"{V}"', "Cache-Control": SHORT, "Vary": "Accept-Encoding"},
        ("Content-Encoding",),
    ),
    Case("304 for anything", get("/static/app.js", If_None_Match="*"), 304, b""),
    Case(
        "304 for the packed one", get("/static/app.js", Accept_Encoding="gzip", If_None_Match=f'"{V}-gzip"'), 304, b""
    ),
    Case(
        "200 when another encoding is held",
        get("/static/app.js", Accept_Encoding="gzip", If_None_Match=f'"{V}"'),
        200,
        GZIPPED,
    ),
    Case("200 when another content is held", get("/static/app.js", If_None_Match='"other"'), 200, SCRIPT),
    Case("200 for a tag without quotes", get("/static/app.js", If_None_Match=V), 200, SCRIPT),
    Case(
        "HEAD is GET without the body",
        Request("HEAD", "/static/app.js"),
        200,
        b"",
        {"Content-Length": str(len(SCRIPT)), "ETag": f'"{V}"', "Content-Type": "text/javascript; charset=utf-8"},
    ),
    Case("HEAD knows 304", Request("HEAD", "/static/app.js", (("If-None-Match", f'"{V}"'),)), 304, b""),
    Case("HEAD of nothing", Request("HEAD", "/static/none"), 404, b"", {"Cache-Control": MISSING}),
    *(
        Case(
            f"{method} is refused",
            Request(method, "/static/app.js"),
            405,
            None,
            {"Allow": "GET, HEAD", "Cache-Control": "no-store"},
        )
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PURGE")
    ),
    not_found("nothing by this name", "/static/none.js"),
    not_found("names have a case", "/static/APP.js"),
    not_found("nor a folder", "/static/data"),
    not_found("nor a folder with a slash", "/static/data/"),
    not_found("no way up", "/static/../pyproject.toml"),
    not_found("no way up in disguise", "/static/%2e%2e/pyproject.toml"),
    not_found("no way up behind a slash in disguise", "/static/..%2f..%2fetc%2fpasswd"),
    not_found("no way up with the other slash", "/static/..%5c..%5cpyproject.toml"),
    not_found("no absolute path", "/static//etc/passwd"),
    not_found("no NUL", "/static/app.js%00.html"),
    not_found("no broken UTF-8", "/static/%ff"),
    not_found("no double decoding", "/static/%2561pp.js"),
    not_found("outside of the prefix", "/staticapp.js"),
    Case("a name may be encoded", get("/static/%61pp.js"), 200, SCRIPT),
]
