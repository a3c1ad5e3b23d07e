"""Stories of variants: Vary, languages, encodings and regions. No pytest: Pyodide runs it."""

from tests.edge.table import Case, Step
from tests.edge.telling import MISS, get, hit, says, status, story

FRESH = "max-age=60"
REFERENCE = "/api/v1/reference/-/makes"
OTHER = status("fwd=vary-miss; fwd-status=200; stored")


def same(sentence: str, vary: str, first: dict[str, str], second: dict[str, str]) -> Case:
    """Two requests that are one by such a Vary."""
    return story(
        sentence,
        Step(get(**first), says(Cache_Control=FRESH, Vary=vary), has=MISS),
        Step(get(**second), body=b"one", has={**hit(60), "Vary": vary}),
    )


def different(sentence: str, vary: str, first: dict[str, str], second: dict[str, str]) -> Case:
    """Two requests that are two by such a Vary, each with its own answer."""
    return story(
        sentence,
        Step(get(**first), says(Cache_Control=FRESH, Vary=vary), has=MISS),
        Step(get(**second), says(b"two", Cache_Control=FRESH, Vary=vary), body=b"two", has=OTHER),
        Step(get(**first), body=b"one", has=hit(60)),
        Step(get(**second), body=b"two", has=hit(60)),
    )


STORIES: list[Case] = [
    same("the same header is the same answer", "Foo", {"Foo": "1"}, {"Foo": "1"}),
    same("headers that Vary does not name do not matter", "Foo", {"Foo": "1", "Bar": "1"}, {"Foo": "1", "Bar": "2"}),
    same("spaces do not matter", "Foo", {"Foo": "1, 2"}, {"Foo": "1,2"}),
    same("the names in Vary have no case", "FOO, bar", {"Foo": "1", "Bar": "2"}, {"foo": "1", "bar": "2"}),
    same("neither sent it", "Foo", {}, {}),
    different("another value is another answer", "Foo", {"Foo": "1"}, {"Foo": "2"}),
    different("not sent is another than sent", "Foo", {"Foo": "1"}, {}),
    different("sent empty is another than not sent", "Foo", {}, {"Foo": ""}),
    different("one of two differs", "Foo, Bar", {"Foo": "1", "Bar": "1"}, {"Foo": "1", "Bar": "2"}),
    same(
        "encodings are what they come to",
        "Accept-Encoding",
        {"Accept_Encoding": "gzip, deflate"},
        {"Accept_Encoding": "gzip;q=0.5"},
    ),
    same(
        "brotli and gzip in any order are both welcome",
        "Accept-Encoding",
        {"Accept_Encoding": "gzip, br"},
        {"Accept_Encoding": "deflate, br;q=0.9, gzip;q=0.8"},
    ),
    different(
        "brotli alone is another than both",
        "Accept-Encoding",
        {"Accept_Encoding": "gzip, br"},
        {"Accept_Encoding": "br, gzip;q=0"},
    ),
    same("what nobody knows is plain", "Accept-Encoding", {}, {"Accept_Encoding": "zstd"}),
    different(
        "gzip is another than plain", "Accept-Encoding", {"Accept_Encoding": "gzip"}, {"Accept_Encoding": "gzip;q=0"}
    ),
    same(
        "languages are what they come to",
        "Accept-Language",
        {"Accept_Language": "ar-QA, en;q=0.5"},
        {"Accept_Language": "ar"},
    ),
    same(
        "an unknown language is the default", "Accept-Language", {"Accept_Language": "fr"}, {"Accept_Language": "en-GB"}
    ),
    different(
        "Arabic is another than English", "Accept-Language", {"Accept_Language": "ar"}, {"Accept_Language": "en"}
    ),
    story(
        "the origin sees what encoding and language come to",
        Step(
            get(Accept_Encoding="gzip;q=0.8, deflate, br", Accept_Language="fr, ar-SA;q=0.9"),
            says(Cache_Control=FRESH),
            sent={"Accept-Encoding": "br, gzip", "Accept-Language": "ar"},
        ),
    ),
    story(
        "a stale variant is asked for with its own headers",
        Step(get(Foo="1"), says(Cache_Control=FRESH, Vary="Foo", ETag='"a"'), has=MISS),
        Step(get(Foo="2"), says(b"two", Cache_Control=FRESH, Vary="Foo", ETag='"b"'), has=OTHER),
        Step(get(Foo="1"), says(b"three", Cache_Control=FRESH), sent={"Foo": "1", "If-None-Match": '"a"'}, at=60),
    ),
    story(
        "the region is said where the answer depends on it",
        Step(get(REFERENCE), says(Cache_Control=FRESH, Vary="X-Region"), sent={"X-Region": "qa"}, region="qa"),
        Step(get(REFERENCE), body=b"one", has=hit(60), region="qa"),
        Step(
            get(REFERENCE),
            says(b"two", Cache_Control=FRESH, Vary="X-Region"),
            body=b"two",
            has=OTHER,
            sent={"X-Region": "sa"},
            region="sa",
        ),
        Step(get(REFERENCE), body=b"one", has=hit(60), region="qa"),
    ),
    story(
        "values are the same but for the spaces around their members",
        Step(get(Foo="a,b"), says(Cache_Control=FRESH, Vary="Foo"), has=MISS),
        Step(get(Foo="a ,  b"), body=b"one", has=hit(60)),
        *(
            Step(get(Foo=value), says(b"two", Cache_Control=FRESH, Vary="Foo"), body=b"two", has=OTHER)
            for value in ("a,b,", "a,,b", "a b", "a;b", '"a,b"', '"a, b"')
        ),
    ),
    story(
        "a field of the connection makes no variant, because the origin does not see it",
        Step(get(Connection="Foo", Foo="1"), says(Cache_Control=FRESH, Vary="Foo"), has=MISS, sent={"Foo": None}),
        Step(get(), body=b"one", has=hit(60)),
        Step(get(Foo="1"), says(b"two", Cache_Control=FRESH, Vary="Foo"), body=b"two", has=OTHER, sent={"Foo": "1"}),
    ),
    story(
        "the client's own choice of region goes before",
        Step(get(REFERENCE, X_Region="sa"), says(Cache_Control=FRESH, Vary="X-Region"), sent={"X-Region": "sa"}),
        Step(get(REFERENCE), body=b"one", has=hit(60), region="sa"),
    ),
    story(
        "an answer of a region that the client did not name is private beyond the edge",
        Step(
            get(REFERENCE),
            says(Cache_Control="public, max-age=60, s-maxage=90", CDN_Cache_Control="max-age=60", Vary="X-Region"),
            has={"Cache-Control": "private, max-age=60"},
            lacks=("CDN-Cache-Control",),
        ),
        Step(get(REFERENCE), has={**hit(60), "Cache-Control": "private, max-age=60"}, lacks=("CDN-Cache-Control",)),
        Step(get(REFERENCE, X_Region="qa"), has={**hit(60), "Cache-Control": "public, max-age=60, s-maxage=90"}),
        Step(get(REFERENCE), has={**hit(60), "Cache-Control": "private, max-age=60"}),
    ),
    story(
        "an answer of a region that is private already says so once",
        Step(
            get(REFERENCE),
            says(Cache_Control="private, max-age=60", Vary="X-Region"),
            has={"Cache-Control": "private, max-age=60"},
        ),
    ),
    story(
        "an answer that does not vary by region is as public as it was",
        Step(get(REFERENCE), says(Cache_Control="public, max-age=60"), has={"Cache-Control": "public, max-age=60"}),
        Step(get(REFERENCE), has={**hit(60), "Cache-Control": "public, max-age=60"}),
    ),
    story(
        "elsewhere no region is said, and the answer is for all",
        Step(get(), says(Cache_Control=FRESH), sent={"X-Region": None}, region="qa"),
        Step(get(), body=b"one", has=hit(60), region="sa"),
    ),
    story(
        "a path that only begins like one of a region is none",
        Step(get("/api/v1/references/-/x"), says(Cache_Control=FRESH), sent={"X-Region": None}),
    ),
]
