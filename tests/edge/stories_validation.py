"""Stories of validation: what the origin is asked of what is kept, and what clients ask of us. No pytest."""

from tests.edge.table import Answer, Case, Step
from tests.edge.telling import MISS, get, hit, says, status, story

TAGGED = {"Cache_Control": "max-age=60", "ETag": '"a"'}
DATED = {"Cache_Control": "max-age=60", "Last_Modified": "{at-1000}", "Content_Type": "text/plain"}
STILL = status("fwd=stale; fwd-status=304; stored")


def asked(sentence: str, status_code: int, body: bytes, **headers: str) -> Case:
    """What a client with these headers gets of what is kept, which is `"a"` and changed 1000 seconds ago."""
    full = {**TAGGED, **DATED}
    return story(
        sentence,
        Step(get(), says(b"0123456789", **full), has=MISS),
        Step(get(**headers), None, status_code, body=body, has={**hit(60), "ETag": '"a"'}),
    )


STORIES: list[Case] = [
    story(
        "what is stale is asked for by its tag, and good again",
        Step(get(), says(**TAGGED), has=MISS),
        Step(get(), Answer(304, (("ETag", '"a"'),)), body=b"one", has=STILL, sent={"If-None-Match": '"a"'}, at=60),
        Step(get(), body=b"one", has={**hit(60), "Date": "{at+0}"}, at=60),
    ),
    story(
        "a weak tag serves as well",
        Step(get(), says(Cache_Control="max-age=60", ETag='W/"a"'), has=MISS),
        Step(get(), Answer(304, (("ETag", 'W/"a"'),)), body=b"one", sent={"If-None-Match": 'W/"a"'}, at=60),
    ),
    story(
        "what is stale is asked for by its date",
        Step(get(), says(Cache_Control="max-age=60", Last_Modified="{at-1000}"), has=MISS),
        Step(get(), Answer(304), body=b"one", has=STILL, sent={"If-Modified-Since": "{at-1060}"}, at=60),
    ),
    story(
        "another answer takes the place of the stale one",
        Step(get(), says(**TAGGED), has=MISS),
        Step(
            get(),
            says(b"two", Cache_Control="max-age=60", ETag='"b"'),
            body=b"two",
            has=status("fwd=stale; fwd-status=200; stored"),
            at=60,
        ),
        Step(get(), body=b"two", has=hit(60), at=60),
    ),
    story(
        "a 304 brings new headers and leaves the others",
        Step(get(), says(**TAGGED, X_A="1", X_B="1"), has=MISS),
        Step(
            get(),
            Answer(304, (("Cache-Control", "max-age=600"), ("X-A", "2"), ("X-C", "3"))),
            has={"X-A": "2", "X-B": "1", "X-C": "3", "Cache-Control": "max-age=600"},
            at=60,
        ),
        Step(get(), has={**hit(600), "X-A": "2", "X-B": "1", "X-C": "3"}, at=60),
    ),
    story(
        "a 304 tells nothing of the body",
        Step(get(), says(**TAGGED, Content_Encoding="x-none"), has=MISS),
        Step(
            get(),
            Answer(304, (("Content-Encoding", "x-other"), ("Content-Range", "bytes 0-1/2"))),
            has={"Content-Encoding": "x-none", "Content-Length": "3"},
            lacks=("Content-Range",),
            at=60,
        ),
    ),
    story(
        "a 304 that makes it private drops it",
        Step(get(), says(**TAGGED), has=MISS),
        Step(get(), Answer(304, (("Cache-Control", "private"),)), body=b"one", at=60),
        Step(get(), says(b"two"), body=b"two", sent={"If-None-Match": None}, at=60),
    ),
    story(
        "a cookie of a 304 is not kept",
        Step(get(), says(**TAGGED), has=MISS),
        Step(
            get(), Answer(304, (("Cache-Control", 'no-cache="set-cookie", max-age=60'), ("Set-Cookie", "a=b"))), at=60
        ),
        Step(get(), body=b"one", lacks=("Set-Cookie",), at=60),
    ),
    story(
        "no-cache is kept and asked for each time",
        Step(get(), says(Cache_Control="no-cache, max-age=60", ETag='"a"'), has=MISS),
        Step(get(), Answer(304), body=b"one", has=STILL, sent={"If-None-Match": '"a"'}),
        Step(get(), says(b"two", Cache_Control="no-cache", ETag='"b"'), body=b"two"),
    ),
    story(
        "the validators of a client are not the cache's",
        Step(get(If_None_Match='"z"'), says(**TAGGED), body=b"one", sent={"If-None-Match": None}),
        Step(get(If_None_Match='"z"'), Answer(304), body=b"one", sent={"If-None-Match": '"a"'}, at=60),
    ),
    story(
        "a client that holds what is new gets a 304 from a miss too",
        Step(get(If_None_Match='"a"'), says(**TAGGED), 304, body=b"", has={**MISS, "ETag": '"a"'}),
        Step(get(), body=b"one", has=hit(60)),
    ),
    asked("304 for the tag that is held", 304, b"", If_None_Match='"a"'),
    asked("304 for one tag of several", 304, b"", If_None_Match='"x", W/"a", "y"'),
    asked("304 for any tag", 304, b"", If_None_Match="*"),
    asked("200 for another tag", 200, b"0123456789", If_None_Match='"b"'),
    asked("the tag goes before the date", 200, b"0123456789", If_None_Match='"b"', If_Modified_Since="{at+0}"),
    asked("304 for the very date", 304, b"", If_Modified_Since="{at-1000}"),
    asked("304 for a later date", 304, b"", If_Modified_Since="{at-10}"),
    asked("200 for an earlier date", 200, b"0123456789", If_Modified_Since="{at-1001}"),
    asked("200 for what is no date", 200, b"0123456789", If_Modified_Since="yesterday"),
    asked("a part of what is kept", 206, b"23", Range="bytes=2-3"),
    asked("a part to the end", 206, b"789", Range="bytes=7-"),
    asked("the last bytes", 206, b"89", Range="bytes=-2"),
    asked("a part that ends after the end", 206, b"9", Range="bytes=9-100"),
    asked("a part from after the end", 416, b"", Range="bytes=10-"),
    asked("several parts are the whole", 200, b"0123456789", Range="bytes=0-1,3-4"),
    asked("parts of something else are the whole", 200, b"0123456789", Range="lines=0-1"),
    asked("a part, if it is still this", 206, b"01", Range="bytes=0-1", If_Range='"a"'),
    asked("the whole, if it is no longer that", 200, b"0123456789", Range="bytes=0-1", If_Range='"b"'),
    asked("the whole, if the tag is weak", 200, b"0123456789", Range="bytes=0-1", If_Range='W/"a"'),
    asked("the whole, if it is of another date", 200, b"0123456789", Range="bytes=0-1", If_Range="{at-5}"),
    asked("a 304 goes before a part", 304, b"", Range="bytes=0-1", If_None_Match='"a"'),
    story(
        "a part says where it is from, and 304 and 416 tell of no body",
        Step(get(), says(b"0123456789", **TAGGED, Content_Type="text/plain"), has=MISS),
        Step(get(Range="bytes=2-3"), None, 206, has={"Content-Range": "bytes 2-3/10", "Content-Length": "2"}),
        Step(get(Range="bytes=20-"), None, 416, has={"Content-Range": "bytes */10"}, lacks=("Content-Type",)),
        Step(get(If_None_Match='"a"'), None, 304, has={"Cache-Control": "max-age=60"}, lacks=("Content-Type",)),
    ),
    story(
        "a part of what turned stale is cut from what is still good",
        Step(get(), says(b"0123456789", **TAGGED), has=MISS),
        Step(get(Range="bytes=2-3"), Answer(304), 206, body=b"23", sent={"Range": None}, at=60),
    ),
    story(
        "HEAD is answered from a GET",
        Step(get(), says(**TAGGED), has=MISS),
        Step(get(method="HEAD"), body=b"", has={**hit(60), "Content-Length": "3", "ETag": '"a"'}),
    ),
    story(
        "HEAD of nothing is passed on and not kept",
        Step(get(method="HEAD"), says(b"", **TAGGED), body=b"", has=status("fwd=uri-miss; fwd-status=200")),
        Step(get(), says(**TAGGED), body=b"one", has=MISS),
    ),
    story(
        "HEAD of what is stale makes it good again",
        Step(get(), says(**TAGGED, X_A="1"), has=MISS),
        Step(
            get(method="HEAD"), says(b"", **TAGGED, X_A="2"), body=b"", has=status("fwd=stale; fwd-status=200"), at=60
        ),
        Step(get(), body=b"one", has={**hit(60), "X-A": "2"}, at=60),
    ),
    story(
        "HEAD that tells of another answer makes it stale",
        Step(get(), says(**TAGGED), has=MISS),
        Step(get(method="HEAD", Cache_Control="no-cache"), says(b"", Cache_Control="max-age=60", ETag='"b"'), at=10),
        Step(get(), says(b"two", **TAGGED), body=b"two", has=status("fwd=stale; fwd-status=200; stored"), at=10),
    ),
    *(
        story(
            f"HEAD that is told {code} {what} it stale",
            Step(get(), says(**TAGGED), has=MISS),
            Step(get(method="HEAD", Cache_Control="no-cache", X_Junk="1"), says(b"", code), code, at=10),
            Step(get(), says(b"two", **TAGGED) if what == "makes" else None, at=10),
        )
        for code, what in ((400, "does not make"), (403, "does not make"), (404, "makes"), (410, "makes"))
    ),
    story(
        "HEAD of somebody with a login makes nothing stale for others",
        Step(get(), says(**TAGGED), has=MISS),
        Step(get(method="HEAD", Cache_Control="no-cache", Authorization="Bearer x"), says(b"", ETag='"b"'), at=10),
        Step(get(), body=b"one", has=hit(50), at=10),
    ),
    story(
        "a condition on a write is the origin's business",
        Step(get(If_Match='"a"'), says(**TAGGED), has=status("fwd=bypass; fwd-status=200"), sent={"If-Match": '"a"'}),
        Step(get(), says(**TAGGED), has=MISS),
    ),
]
