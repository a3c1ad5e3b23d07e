"""Stories of what may be kept, and what of it. No pytest: Pyodide runs it."""

from tests.edge.table import Answer, Case, Step
from tests.edge.telling import MISS, get, hit, says, status, story

FRESH = "max-age=60"


def kept(sentence: str, answer: Answer, **headers: str) -> Case:
    """Such an answer to a request with these headers is kept and used for another like it."""
    again = status("hit; ttl=60")
    return story(
        sentence,
        Step(get(**headers), answer, answer.status, has=status(f"fwd=uri-miss; fwd-status={answer.status}; stored")),
        Step(get(**headers), None, answer.status, body=answer.body, has=again),
    )


def passed(sentence: str, why: str, answer: Answer, **headers: str) -> Case:
    """Such an answer to a request with these headers is not kept."""
    told = status(f"fwd=uri-miss; fwd-status={answer.status}; detail={why}")
    return story(
        sentence,
        Step(get(**headers), answer, answer.status, body=answer.body, has=told),
        Step(get(**headers), says(b"again"), body=b"again"),
    )


STORIES: list[Case] = [
    *(
        kept(f"a {code} that says how long is kept", says(b"" if code == 204 else b"x", code, Cache_Control=FRESH))
        for code in (200, 203, 204, 301, 302, 307, 308, 400, 404, 410, 451, 500, 501)
    ),
    kept("a status nobody knows is kept when it says how long", says(b"x", 299, Cache_Control=FRESH)),
    passed(
        "a status nobody knows is not kept when it must be understood",
        "not-understood",
        says(b"x", 299, Cache_Control="max-age=60, must-understand"),
    ),
    kept(
        "a status we know is kept when it must be understood, no-store or not",
        says(Cache_Control="max-age=60, must-understand, no-store"),
    ),
    passed("a status without a heuristic is not kept", "no-freshness", says(b"x", 403, Last_Modified="{at-1000}")),
    passed("no-store", "no-store", says(Cache_Control="no-store, max-age=60")),
    passed("no-store in any case", "no-store", says(Cache_Control="No-Store", Expires="{at+60}")),
    passed("private", "private", says(Cache_Control="private, max-age=60")),
    passed("private, even if it says public too", "private", says(Cache_Control="public, max-age=60, private")),
    passed("private with and without fields", "private", says(Cache_Control='private="X-A", max-age=60, private')),
    passed("an answer that varies by everything", "vary-all", says(Cache_Control=FRESH, Vary="Accept, *")),
    passed("an answer with a cookie", "set-cookie", says(Cache_Control="public, max-age=60", Set_Cookie="a=b")),
    passed("an answer to somebody known", "authorization", says(Cache_Control=FRESH), Authorization="Bearer x"),
    passed(
        "an answer to somebody known, by Expires",
        "authorization",
        says(Expires="{at+60}"),
        Authorization="Bearer x",
    ),
    kept(
        "an answer to somebody known that is public",
        says(Cache_Control="public, max-age=60"),
        Authorization="Bearer x",
    ),
    kept("an answer to somebody known with s-maxage", says(Cache_Control="s-maxage=60"), Authorization="Bearer x"),
    kept(
        "an answer to somebody known with must-revalidate",
        says(Cache_Control="max-age=60, must-revalidate"),
        Authorization="Bearer x",
    ),
    passed(
        "private is private for somebody known, public or not",
        "private",
        says(Cache_Control="public, private, s-maxage=60"),
        Authorization="Bearer x",
    ),
    story(
        "an answer to nobody known is for somebody known only if it says so",
        Step(get(), says(b"nobody", Cache_Control=FRESH), has=MISS),
        Step(get(Authorization="Bearer x"), says(b"him", Cache_Control="private"), body=b"him"),
        Step(get(), body=b"nobody", has=hit(60)),
    ),
    story(
        "a public answer is for somebody known too",
        Step(get(), says(Cache_Control="public, max-age=60"), has=MISS),
        Step(get(Authorization="Bearer x"), body=b"one", has=hit(60)),
    ),
    story(
        "a request with a cookie is answered from what is kept",
        Step(get(Cookie="a=1"), says(Cache_Control=FRESH), has=MISS),
        Step(get(Cookie="a=2"), body=b"one", has=hit(60)),
    ),
    story(
        "the fields that private names are for their client alone",
        Step(get(), says(Cache_Control='private="X-Who", max-age=60', X_Who="him"), has={**MISS, "X-Who": "him"}),
        Step(get(), body=b"one", has=hit(60), lacks=("X-Who",)),
    ),
    story(
        "the fields that no-cache names are for their client alone, a cookie among them",
        Step(
            get(),
            says(Cache_Control='no-cache="Set-Cookie, X-Who", max-age=60', Set_Cookie="a=b", X_Who="him"),
            has={**MISS, "Set-Cookie": "a=b", "X-Who": "him"},
        ),
        Step(get(), body=b"one", has=hit(60), lacks=("Set-Cookie", "X-Who")),
    ),
    story(
        "what the client wants not to be stored is not stored",
        Step(
            get(Cache_Control="no-store"),
            says(Cache_Control=FRESH),
            has=status("fwd=uri-miss; fwd-status=200; detail=no-store"),
        ),
        Step(get(), says(b"two", Cache_Control=FRESH), body=b"two", has=MISS),
    ),
    story(
        "all headers are kept but those of one connection",
        Step(
            get(), says(Cache_Control=FRESH, X_Test="1", Link="</a>", Content_Type="text/plain", ETag='"a"'), has=MISS
        ),
        Step(
            get(),
            has={**hit(60), "X-Test": "1", "Link": "</a>", "Content-Type": "text/plain", "ETag": '"a"'},
            lacks=("Connection", "Keep-Alive", "Transfer-Encoding"),
        ),
    ),
    story(
        "headers that stand twice are kept twice",
        Step(get(), Answer(200, (("Cache-Control", FRESH), ("Link", "</a>"), ("Link", "</b>")), b"one")),
        Step(get(), has={"Link": "</a>, </b>"}),
    ),
    story(
        "a part of an answer is passed on and not kept",
        Step(
            get(Range="bytes=0-1"),
            says(b"on", 206, Cache_Control=FRESH, Content_Range="bytes 0-1/3"),
            206,
            has={"Content-Range": "bytes 0-1/3", **status("fwd=uri-miss; fwd-status=206; detail=partial")},
            sent={"Range": "bytes=0-1"},
        ),
        Step(get(), says(Cache_Control=FRESH), body=b"one", has=MISS),
    ),
]
