"""Stories of freshness: how long an answer lives, and how old it says it is. No pytest: Pyodide runs it."""

from tests.edge.table import Case, Step
from tests.edge.telling import MISS, get, hit, says, status, story


def lives(sentence: str, seconds: int, **headers: str) -> Case:
    """Such an answer is fresh for that many seconds, counted from when it came in, and then asked for again."""
    return story(
        sentence,
        Step(get(), says(**headers), body=b"one", has=MISS),
        Step(get(), body=b"one", has=hit(1), at=seconds - 1),
        Step(get(), says(b"two", **headers), body=b"two", at=seconds),
    )


def dies(sentence: str, **headers: str) -> Case:
    """Such an answer may not be used without asking."""
    return story(
        sentence,
        Step(get(), says(**headers), body=b"one"),
        Step(get(), says(b"two", **headers), body=b"two"),
    )


STORIES: list[Case] = [
    lives("max-age is how long an answer lives", 60, Cache_Control="max-age=60"),
    lives("s-maxage goes before max-age when it is longer", 60, Cache_Control="max-age=10, s-maxage=60"),
    lives("s-maxage goes before max-age when it is shorter", 10, Cache_Control="s-maxage=10, max-age=60"),
    lives("max-age goes before Expires", 60, Cache_Control="max-age=60", Expires="{at-10}"),
    lives("Expires counts from Date", 30, Expires="{at+30}"),
    lives("Expires counts from when it came in where Date is no date", 30, Expires="{at+30}", Date="yesterday"),
    lives("an age on arrival is taken off", 40, Cache_Control="max-age=60", Age="20"),
    lives("a Date in the past is an age", 40, Cache_Control="max-age=60", Date="{at-20}"),
    lives("the greater of Age and Date counts", 30, Cache_Control="max-age=60", Date="{at-20}", Age="30"),
    lives("a Date in the future makes nothing younger", 60, Cache_Control="max-age=60", Date="{at+500}"),
    lives("an Age that is no number does not count", 60, Cache_Control="max-age=60", Age="old"),
    lives("a negative Age does not count", 60, Cache_Control="max-age=60", Age="-30"),
    lives("of several Ages the first counts", 60, Cache_Control="max-age=60", Age="0, 50"),
    lives("leading zeros are a number", 60, Cache_Control="max-age=0060"),
    lives("a quoted number is a number", 60, Cache_Control='max-age="60"'),
    lives("directives have no case", 60, Cache_Control="MAX-Age=60"),
    lives("a directive nobody knows does no harm", 60, Cache_Control="max-age=60, community=x"),
    lives("empty members of a list do no harm", 60, Cache_Control=", ,max-age=60,"),
    lives("of two max-age the first counts", 60, Cache_Control="max-age=60, max-age=90"),
    lives("a tenth of the time since it changed, where nothing else is told", 100, Last_Modified="{at-1000}"),
    lives("an invalid Expires does not matter beside max-age", 60, Cache_Control="max-age=60", Expires="0"),
    lives("immutable changes nothing for a cache", 60, Cache_Control="max-age=60, immutable"),
    dies("max-age=0 is no life", Cache_Control="max-age=0", ETag=""),
    dies("max-age=0 goes before an Expires to come", Cache_Control="max-age=0", Expires="{at+100}"),
    dies("a negative max-age is none", Cache_Control="max-age=-60"),
    dies("a max-age with a fraction is none", Cache_Control="max-age=60.5"),
    dies("a max-age in single quotes is none", Cache_Control="max-age='60'"),
    dies("a max-age inside of another's string is none", Cache_Control='extension="max-age=60", max-age=0'),
    dies("an Expires that has passed", Expires="{at-1}"),
    dies("an Expires of now", Expires="{at+0}"),
    dies("an Expires that is no date", Expires="0"),
    dies("an Age beyond max-age", Cache_Control="max-age=60", Age="60"),
    dies("the first of several Ages beyond max-age", Cache_Control="max-age=60", Age="7200, 0"),
    dies("nothing told at all"),
    dies("a heuristic for a status that has none", Expires=""),
    story(
        "a hit tells its age and keeps its Date",
        Step(get(), says(Cache_Control="max-age=60", Age="5"), has={**MISS, "Age": "5"}),
        Step(get(), has={**hit(43), "Age": "17", "Date": "{at-12}", "Content-Length": "3"}, at=12),
    ),
    story(
        "an answer without freshness or validator is not kept, and it is told why",
        Step(get(), says(), has=status("fwd=uri-miss; fwd-status=200; detail=no-freshness"), lacks=("Age",)),
    ),
    story(
        "two urls are two answers, and so are two queries",
        Step(get(query="a=1"), says(Cache_Control="max-age=60"), body=b"one"),
        Step(get(query="a=2"), says(b"two", Cache_Control="max-age=60"), body=b"two"),
        Step(get(), says(b"three", Cache_Control="max-age=60"), body=b"three"),
        Step(get(query="a=1"), body=b"one", has=hit(60)),
    ),
    story(
        "a life longer than a number holds is a long one",
        Step(get(), says(Cache_Control="max-age=99999999999999999999"), has=MISS),
        Step(get(), body=b"one", at=1_000_000),
    ),
]
