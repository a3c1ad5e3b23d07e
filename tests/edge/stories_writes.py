"""Stories of writes and of what they make obsolete, and of fields meant for CDNs. No pytest: Pyodide runs it."""

from tests.edge.table import Answer, Case, Step
from tests.edge.telling import AWAY, MISS, get, hit, says, status, story

FRESH = "max-age=60"
PASSED = status("fwd=method; fwd-status=200")


def forgets(sentence: str, path: str, method: str, answer: Answer) -> Case:
    """A write with such an answer makes `/-/kept` obsolete."""
    return story(
        sentence,
        Step(get("/-/kept"), says(Cache_Control=FRESH), has=MISS),
        Step(get(path, method=method, content="x"), answer, answer.status),
        Step(get("/-/kept"), says(b"two", Cache_Control=FRESH), body=b"two", has=MISS),
    )


def remembers(sentence: str, path: str, method: str, answer: Answer) -> Case:
    """A request with such an answer makes `/-/kept` not obsolete."""
    return story(
        sentence,
        Step(get("/-/kept"), says(Cache_Control=FRESH), has=MISS),
        Step(get(path, method=method), answer, answer.status),
        Step(get("/-/kept"), body=b"one", has=hit(60)),
    )


def lives(sentence: str, seconds: int, **headers: str) -> Case:
    """An answer with these headers is fresh for so many seconds here."""
    return story(
        sentence,
        Step(get(), says(**headers), has=MISS),
        Step(get(), body=b"one", has=hit(1), at=seconds - 1),
        Step(get(), says(b"two"), body=b"two", at=seconds),
    )


STORIES: list[Case] = [
    *(
        forgets(f"{method} makes its url obsolete", "/-/kept", method, says(b"", code))
        for method, code in (("POST", 201), ("PUT", 200), ("PATCH", 200), ("DELETE", 204), ("MOVE", 302))
    ),
    forgets("a write makes obsolete what Location names", "/-/all", "POST", says(b"", 201, Location="/-/kept")),
    forgets("a write makes obsolete what Content-Location names", "/-/all", "POST", says(Content_Location="/-/kept")),
    forgets("a Location may be relative", "/-/all", "POST", says(b"", 201, Location="kept")),
    forgets(
        "a write makes obsolete the groups it names",
        "/-/all",
        "POST",
        says(Cache_Group_Invalidation='"others", "g"', Location="/-/kept"),
    ),
    remembers("a write that failed makes nothing obsolete", "/-/kept", "POST", says(b"", 500)),
    remembers("a write that was refused makes nothing obsolete", "/-/kept", "DELETE", says(b"", 403)),
    remembers("OPTIONS makes nothing obsolete", "/-/kept", "OPTIONS", says(b"", 204)),
    remembers(
        "another host's Location makes nothing obsolete",
        "/-/all",
        "POST",
        says(b"", 201, Location="http://elsewhere.example/-/kept"),
    ),
    remembers("a read makes no group obsolete", "/-/other", "GET", says(Cache_Group_Invalidation='"g"')),
    story(
        "a group is all answers that name it",
        Step(get("/-/a"), says(Cache_Control=FRESH, Cache_Groups='"makes", "all"'), has=MISS),
        Step(get("/-/b"), says(Cache_Control=FRESH, Cache_Groups='"all"'), has=MISS),
        Step(get("/-/c"), says(Cache_Control=FRESH, Cache_Groups='"areas"'), has=MISS),
        Step(get("/-/w", method="POST"), says(Cache_Group_Invalidation='"all"'), has=PASSED),
        Step(get("/-/a"), says(b"two", Cache_Control=FRESH), body=b"two", has=MISS),
        Step(get("/-/b"), says(b"two", Cache_Control=FRESH), body=b"two", has=MISS),
        Step(get("/-/c"), body=b"one", has=hit(60)),
    ),
    story(
        "a write makes every variant obsolete",
        Step(get(Foo="1"), says(Cache_Control=FRESH, Vary="Foo"), has=MISS),
        Step(get(Foo="2"), says(Cache_Control=FRESH, Vary="Foo")),
        Step(get(method="PUT", content="x"), says(), has=PASSED),
        Step(get(Foo="1"), says(b"two", Cache_Control=FRESH, Vary="Foo"), body=b"two", has=MISS),
    ),
    story(
        "a write whose answer was lost leaves what is kept to be asked for",
        Step(get(), says(Cache_Control=FRESH), has=MISS),
        Step(get(method="PUT", content="x"), AWAY, 502, has=status("fwd=method; detail=origin-failed")),
        Step(get(), says(b"two", Cache_Control=FRESH), body=b"two", has=status("fwd=stale; fwd-status=200; stored")),
    ),
    story(
        "after a soft purge the first reader gets the new answer; with the origin away, the old one",
        Step(get(), says(Cache_Control="max-age=60, stale-while-revalidate=60, stale-if-error=100"), has=MISS),
        Step(get(method="PUT", content="x"), AWAY, 502),
        Step(get(), AWAY, body=b"one", has=status("fwd=stale; ttl=0; detail=stale-if-error")),
        Step(get(), says(b"two", Cache_Control=FRESH), body=b"two", at=2),
        Step(get(), body=b"two", has=hit(60), at=2),
    ),
    story(
        "what was purged softly is asked for whatever staleness its client allows",
        Step(get(), says(Cache_Control=FRESH), has=MISS),
        Step(get(method="PUT", content="x"), AWAY, 502),
        Step(get(Cache_Control="max-stale"), says(b"two", Cache_Control=FRESH), body=b"two"),
    ),
    story(
        "what was purged softly stands in for no longer than it may",
        Step(get(), says(Cache_Control="max-age=60, stale-if-error=100"), has=MISS),
        Step(get(method="PUT", content="x"), AWAY, 502),
        Step(get(), AWAY, body=b"one", at=100),
        Step(get(), AWAY, 502, at=102),
    ),
    story(
        "the answer to a write is not kept",
        Step(get(method="POST", content="x"), says(Cache_Control=FRESH), body=b"one", has=PASSED),
        Step(get(), says(b"two", Cache_Control=FRESH), body=b"two", has=MISS),
    ),
    story(
        "a body and its headers go on as they are",
        Step(
            get(method="PUT", content="x", Content_Type="text/plain", If_Match='"a"', Accept_Encoding="gzip, br"),
            says(),
            sent={"Content-Type": "text/plain", "If-Match": '"a"', "Accept-Encoding": "gzip, br"},
        ),
    ),
    lives("CDN-Cache-Control goes before Cache-Control", 60, CDN_Cache_Control="max-age=60", Cache_Control="no-store"),
    lives("our own goes before all CDNs'", 60, Meridian_CDN_Cache_Control="max-age=60", CDN_Cache_Control="max-age=5"),
    lives("a CDN's field goes before Expires", 60, CDN_Cache_Control="max-age=60", Expires="{at-5}"),
    lives("a CDN's field that is malformed does not count", 60, CDN_Cache_Control="max-age=5, &&", Cache_Control=FRESH),
    lives("a CDN's field of a wrong type does not count", 60, CDN_Cache_Control='max-age="5"', Cache_Control=FRESH),
    lives("an empty field for CDNs does not count", 60, CDN_Cache_Control="", Cache_Control=FRESH),
    story(
        "a CDN's no-store goes before Cache-Control",
        Step(get(), says(CDN_Cache_Control="no-store", Cache_Control=FRESH)),
        Step(get(), says(b"two"), body=b"two"),
    ),
    story(
        "a CDN's private goes before Cache-Control",
        Step(get(), says(CDN_Cache_Control="private", Cache_Control=FRESH)),
        Step(get(), says(b"two"), body=b"two"),
    ),
    story(
        "the field for all CDNs is passed on, our own is not",
        Step(
            get(),
            says(Meridian_CDN_Cache_Control="max-age=60", CDN_Cache_Control="max-age=5", Cache_Control="max-age=1"),
            has={**MISS, "CDN-Cache-Control": "max-age=5", "Cache-Control": "max-age=1"},
            lacks=("Meridian-CDN-Cache-Control",),
        ),
        Step(get(), has={**hit(60), "CDN-Cache-Control": "max-age=5"}, lacks=("Meridian-CDN-Cache-Control",)),
    ),
]
