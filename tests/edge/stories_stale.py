"""Stories of staleness: while it is refreshed, while the origin fails, and when neither may be. No pytest."""

from tests.edge.table import Answer, Case, Step
from tests.edge.telling import AWAY, MISS, get, hit, says, status, story

GONE = status("fwd=stale; detail=origin-failed")


SHARED = "public, max-age=60, stale-while-revalidate=60, stale-if-error=600"


def outlasts(who: str, answer: Answer, **headers: str) -> Case:
    """Such a request with such an answer leaves what is kept for all the others."""
    return story(
        f"{who} takes nothing from the others",
        Step(get(), says(Cache_Control=SHARED, ETag='"a"'), has=MISS),
        Step(get(**headers), answer, 200 if answer.status == 304 else answer.status, at=130),
        Step(get(), AWAY, body=b"one", has=status("fwd=stale; ttl=-70; detail=stale-if-error"), at=130),
    )


def never_stale(sentence: str, control: str) -> Case:
    """Such an answer is not used when it is stale and the origin cannot be reached."""
    return story(
        sentence,
        Step(get(), says(Cache_Control=control, ETag='"a"')),
        Step(get(), AWAY, 502, has=GONE, at=60),
    )


STORIES: list[Case] = [
    story(
        "what is stale is used while it is refreshed",
        Step(get(), says(Cache_Control="max-age=60, stale-while-revalidate=30"), has=MISS),
        Step(
            get(),
            refresh=says(b"two", Cache_Control="max-age=60, stale-while-revalidate=30"),
            body=b"one",
            has={**status("hit; ttl=-10; detail=stale-while-revalidate"), "Age": "70"},
            at=70,
        ),
        Step(get(), body=b"two", has=hit(60), at=70),
    ),
    story(
        "a refresh asks whether it is still good",
        Step(get(), says(Cache_Control="max-age=60, stale-while-revalidate=30", ETag='"a"'), has=MISS),
        Step(get(), refresh=Answer(304), body=b"one", sent={"If-None-Match": '"a"'}, at=90),
        Step(get(), body=b"one", has=hit(60), at=90),
    ),
    story(
        "after the time to refresh it is asked for first",
        Step(get(), says(Cache_Control="max-age=60, stale-while-revalidate=30"), has=MISS),
        Step(get(), says(b"two", Cache_Control="max-age=60"), body=b"two", at=91),
    ),
    story(
        "s-maxage does not forbid what stale-while-revalidate allows",
        Step(get(), says(Cache_Control="s-maxage=60, stale-while-revalidate=30"), has=MISS),
        Step(get(), refresh=says(b"two", Cache_Control="s-maxage=60"), body=b"one", at=70),
    ),
    story(
        "must-revalidate forbids what stale-while-revalidate allows",
        Step(get(), says(Cache_Control="max-age=60, must-revalidate, stale-while-revalidate=30"), has=MISS),
        Step(get(), says(b"two", Cache_Control="max-age=60"), body=b"two", at=70),
    ),
    story(
        "a refresh that fails leaves what is there, and is not tried again at once",
        Step(get(), says(Cache_Control="max-age=60, stale-while-revalidate=30"), has=MISS),
        Step(get(), refresh=AWAY, body=b"one", at=70),
        Step(get(), body=b"one", at=70),
        Step(get(), refresh=says(b"two", Cache_Control="max-age=60"), body=b"one", at=71),
        Step(get(), body=b"two", at=71),
    ),
    story(
        "an origin that cannot be reached is forgiven for as long as was told",
        Step(get(), says(Cache_Control="max-age=60, stale-if-error=100"), has=MISS),
        Step(
            get(),
            AWAY,
            body=b"one",
            has={**status("fwd=stale; ttl=-100; detail=stale-if-error"), "Age": "160"},
            at=160,
        ),
        Step(get(), AWAY, 502, has={**GONE, "Retry-After": "2", "Cache-Control": "no-store"}, at=162),
    ),
    story(
        "a 503 is an error that stale-if-error is for",
        Step(get(), says(Cache_Control="max-age=60, stale-if-error=100"), has=MISS),
        Step(
            get(),
            says(b"down", 503),
            body=b"one",
            has=status("fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error"),
            at=70,
        ),
        Step(get(), says(b"two", Cache_Control="max-age=60"), body=b"two", at=72),
    ),
    story(
        "a 404 is an answer",
        Step(get(), says(Cache_Control="max-age=60, stale-if-error=100"), has=MISS),
        Step(get(), says(b"none", 404), 404, body=b"none", at=70),
        Step(get(), AWAY, 502, has=status("fwd=uri-miss; detail=origin-failed"), at=72),
    ),
    story(
        "without a word, what is kept is used while the origin cannot be reached",
        Step(get(), says(Cache_Control="max-age=60"), has=MISS),
        Step(get(), AWAY, body=b"one", has=status("fwd=stale; ttl=-10; detail=stale-if-error"), at=70),
        Step(get(), says(b"two", Cache_Control="max-age=60"), body=b"two", at=72),
    ),
    story(
        "without a word, a 503 is passed on",
        Step(get(), says(Cache_Control="max-age=60"), has=MISS),
        Step(get(), says(b"down", 503), 503, body=b"down", at=70),
    ),
    story(
        "without a word it is used for an hour",
        Step(get(), says(Cache_Control="max-age=60"), has=MISS),
        Step(get(), AWAY, body=b"one", at=3660),
        Step(get(), AWAY, 502, has=GONE, at=3662),
    ),
    story(
        "an origin that failed just now is not asked for what can be said without it",
        Step(get(), says(Cache_Control="max-age=60"), has=MISS),
        Step(get(), AWAY, body=b"one", at=70),
        Step(get(), body=b"one", has=status("fwd=stale; ttl=-10; detail=stale-if-error"), at=70),
        Step(get(), says(b"two", Cache_Control="max-age=60"), body=b"two", at=71),
    ),
    story(
        "a refresh is asked for in nobody's name, so that a bad login takes nothing from the others",
        Step(get(), says(Cache_Control=SHARED), has=MISS),
        Step(
            get(Authorization="Bearer bad", Cookie="a=b", Cache_Control="no-store"),
            refresh=says(b"two", Cache_Control=SHARED),
            body=b"one",
            sent={"Authorization": None, "Cookie": None, "Cache-Control": None},
            at=70,
        ),
        Step(get(), body=b"two", has=hit(60), at=70),
    ),
    story(
        "a refresh keeps what its answer depends on",
        Step(get(Cookie="a=b"), says(Cache_Control=SHARED, Vary="Cookie"), has=MISS),
        Step(
            get(Cookie="a=b"),
            refresh=says(b"two", Cache_Control=SHARED, Vary="Cookie"),
            body=b"one",
            sent={"Cookie": "a=b"},
            at=70,
        ),
        Step(get(Cookie="a=b"), body=b"two", has=hit(60), at=70),
    ),
    *(
        outlasts(sentence, answer, **headers)
        for sentence, answer, headers in (
            ("a login that is refused", says(b"no", 401), {"Authorization": "Bearer bad"}),
            ("a login that is told it is gone", says(b"no", 404), {"Authorization": "Bearer bad"}),
            ("a cookie that leads elsewhere", says(b"", 302, Cache_Control="no-store"), {"Cookie": "a=b"}),
            ("a request that is refused", says(b"no", 400), {"X_Junk": "1"}),
            ("a client that is refused", says(b"no", 403), {}),
            ("a client that wants nothing stored", says(b"two", Cache_Control=SHARED), {"Cache_Control": "no-store"}),
            ("a client that wants nothing stored of what is still good", Answer(304), {"Cache_Control": "no-store"}),
        )
    ),
    never_stale("must-revalidate is never used stale, whatever it is said to be", "max-age=60, must-revalidate=1"),
    never_stale("no-cache with an argument that cannot be read is for all fields", "max-age=60, no-cache=1"),
    never_stale("must-revalidate is never used stale", "max-age=60, must-revalidate, stale-if-error=100"),
    never_stale("proxy-revalidate is never used stale", "max-age=60, proxy-revalidate"),
    never_stale("s-maxage is not used stale without a word", "s-maxage=60"),
    never_stale("no-cache is never used unasked", "no-cache, stale-if-error=100"),
    story(
        "HEAD of what is stale is answered while the origin is away",
        Step(get(), says(Cache_Control="max-age=60"), has=MISS),
        Step(get(method="HEAD"), AWAY, body=b"", has=status("fwd=stale; ttl=-10; detail=stale-if-error"), at=70),
    ),
    story(
        "an origin that is away is a problem to come again for",
        Step(
            get(),
            AWAY,
            502,
            has={
                **status("fwd=uri-miss; detail=origin-failed"),
                "Retry-After": "2",
                "Content-Type": "application/problem+json",
            },
        ),
    ),
    story(
        "a problem of the edge repeats the id of its request",
        Step(
            get(X_Request_Id="a.b:c-1"),
            AWAY,
            502,
            has={"X-Request-Id": "a.b:c-1", "Cache-Control": "no-store"},
            sent={"X-Request-Id": "a.b:c-1"},
        ),
        Step(get(X_Request_Id="<b>"), AWAY, 502, lacks=("X-Request-Id",), at=2),
    ),
    story(
        "a write to an origin that is away is a problem to come again for",
        Step(
            get(method="POST", content="new"),
            AWAY,
            502,
            has={**status("fwd=method; detail=origin-failed"), "Retry-After": "2"},
        ),
    ),
]
