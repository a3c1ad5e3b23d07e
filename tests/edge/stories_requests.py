"""Stories of what a request asks of caches: its directives, its tokens, and what goes on of it. No pytest."""

from base64 import urlsafe_b64encode

from tests.edge.table import Answer, Case, Step
from tests.edge.telling import MISS, get, hit, says, status, story

FRESH = "max-age=60"
ASKED = status("fwd=request; fwd-status=200; stored")


def token(*entries: str) -> str:
    """A Consistency-Token with these entries; nobody here checks its signature."""
    return urlsafe_b64encode(",".join(entries).encode()).decode().rstrip("=") + ".c2lnbmVk"


def asks(sentence: str, at: int, control: str, answered: str = FRESH) -> Case:
    """A request with such a Cache-Control is not answered from what is kept after so many seconds."""
    return story(
        sentence,
        Step(get(), says(Cache_Control=answered), has=MISS),
        Step(get(Cache_Control=control), says(b"two", Cache_Control=FRESH), body=b"two", has=ASKED, at=at),
    )


def takes(sentence: str, at: int, control: str, told: str, answered: str = FRESH) -> Case:
    """A request with such a Cache-Control is answered from what is kept after so many seconds."""
    return story(
        sentence,
        Step(get(), says(Cache_Control=answered), has=MISS),
        Step(get(Cache_Control=control), body=b"one", has=status(told), at=at),
    )


def seen(sentence: str, kept: str, client: str, is_used: bool) -> Case:
    """Whether an answer with the one token is used for a client with the other."""
    answer = says(b"two", Cache_Control=FRESH, Consistency_Token=client)
    return story(
        sentence,
        Step(get(), says(Cache_Control=FRESH, Consistency_Token=kept), has=MISS),
        Step(get(Consistency_Token=client), body=b"one", has=hit(60))
        if is_used
        else Step(get(Consistency_Token=client), answer, body=b"two", has=ASKED, sent={"Consistency-Token": client}),
    )


AT_5 = token("qa-1:7f:1:5")

STORIES: list[Case] = [
    asks("no-cache asks for a new one", 0, "no-cache"),
    asks("max-age=0 asks for a new one", 0, "max-age=0"),
    asks("max-age asks for one no older", 20, "max-age=19"),
    asks("min-fresh asks for one that stays fresh", 20, "min-fresh=41"),
    asks("a max-age that is no number asks for a new one", 0, "max-age=x"),
    takes("max-age takes one no older", 20, "max-age=20", "hit; ttl=40"),
    takes("min-fresh takes one that stays fresh", 20, "min-fresh=40", "hit; ttl=40"),
    takes("max-stale takes a stale one", 70, "max-stale=10", "hit; ttl=-10; detail=max-stale"),
    takes("max-stale without a number takes any", 700, "max-stale", "hit; ttl=-640; detail=max-stale"),
    takes("only-if-cached takes what is fresh", 20, "only-if-cached", "hit; ttl=40"),
    takes("no-store takes what is there", 20, "no-store", "hit; ttl=40"),
    takes("a directive nobody knows takes what is fresh", 20, "whatever=1", "hit; ttl=40"),
    story(
        "max-stale takes nothing staler than it says",
        Step(get(), says(Cache_Control=FRESH), has=MISS),
        Step(get(Cache_Control="max-stale=9"), says(b"two", Cache_Control=FRESH), body=b"two", at=70),
    ),
    story(
        "max-stale does not take what must be asked for",
        Step(get(), says(Cache_Control="max-age=60, must-revalidate"), has=MISS),
        Step(get(Cache_Control="max-stale"), says(b"two", Cache_Control=FRESH), body=b"two", at=70),
    ),
    story(
        "only-if-cached asks nobody",
        Step(
            get(Cache_Control="only-if-cached"),
            None,
            504,
            has={"Cache-Status": "meridian-test; detail=only-if-cached", "Cache-Control": "no-store"},
        ),
    ),
    story(
        "only-if-cached does not even ask whether it is still good",
        Step(get(), says(Cache_Control=FRESH), has=MISS),
        Step(get(Cache_Control="only-if-cached"), None, 504, at=60),
    ),
    story(
        "Pragma asks for a new one, as of old",
        Step(get(), says(Cache_Control=FRESH), has=MISS),
        Step(get(Pragma="no-cache"), says(b"two", Cache_Control=FRESH), body=b"two", has=ASKED),
    ),
    story(
        "Pragma does not matter beside Cache-Control, nor in an answer",
        Step(get(), says(Cache_Control=FRESH, Pragma="no-cache"), has=MISS),
        Step(get(Pragma="no-cache", Cache_Control="max-age=100"), body=b"one", has=hit(60)),
    ),
    story(
        "no-cache asks whether it is still good",
        Step(get(), says(Cache_Control=FRESH, ETag='"a"'), has=MISS),
        Step(
            get(Cache_Control="no-cache"),
            Answer(304),
            body=b"one",
            has=status("fwd=request; fwd-status=304; stored"),
            sent={"If-None-Match": '"a"', "Cache-Control": "no-cache"},
        ),
    ),
    seen("an answer as new as what the client has seen is used", AT_5, AT_5, True),
    seen("an answer newer than what the client has seen is used", AT_5, token("qa-1:7f:1:4"), True),
    seen("an answer older than what the client has seen is not", AT_5, token("qa-1:7f:1:6"), False),
    seen("an answer of an earlier timeline is older", AT_5, token("qa-1:7f:2:1"), False),
    seen("an answer of another cluster is no measure", AT_5, token("qa-1:80:1:5"), False),
    seen("an answer that knows nothing of a shard is older", AT_5, token("qa-1:7f:1:5", "sa-1:9:1:1"), False),
    seen("an answer that knows of more shards is used", token("qa-1:7f:1:5", "sa-1:9:1:1"), AT_5, True),
    seen("a token that is none counts as newer", AT_5, "nonsense", False),
    story(
        "an answer without a token depends on no shard, and is used for all",
        Step(get(), says(Cache_Control=FRESH), has=MISS),
        Step(get(Consistency_Token=AT_5), body=b"one", has=hit(60)),
    ),
    story(
        "not even while the origin is away is an answer used that is older than what was seen",
        Step(get(), says(Cache_Control=FRESH, Consistency_Token=AT_5), has=MISS),
        Step(get(Consistency_Token=token("qa-1:7f:1:6")), Answer(fails=True), 502),
    ),
    story(
        "headers of the client go on, and those of its connection do not",
        Step(
            get(Connection="X-Hop", X_Hop="1", X_Own="2", Cookie="a=b", TE="trailers", Proxy_Authorization="x"),
            says(),
            sent={"X-Own": "2", "Cookie": "a=b", "X-Hop": None, "Proxy-Authorization": None},
        ),
    ),
    story(
        "headers of the origin's connection go no further",
        Step(
            get(),
            says(Cache_Control=FRESH, Connection="X-Hop", X_Hop="1", X_Own="2", Keep_Alive="timeout=5"),
            has={"X-Own": "2"},
            lacks=("X-Hop", "Keep-Alive"),
        ),
        Step(get(), has={**hit(60), "X-Own": "2"}, lacks=("X-Hop", "Keep-Alive")),
    ),
    story(
        "the Cache-Status of caches behind stands before",
        Step(
            get(),
            says(Cache_Control=FRESH, Cache_Status="behind; hit"),
            has={"Cache-Status": "behind; hit, meridian-test; fwd=uri-miss; fwd-status=200; stored"},
        ),
    ),
]
