"""The rules of caching one by one, where the stories cannot tell them apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bounds import Bounds
from edge.directives import dictionary, directives
from edge.failover import Failover
from edge.fields import SECONDS_MAX, beyond_connection, date, date_text, end_to_end, indexed, listed, seconds
from edge.invalidation import REMEMBERED_MAX, Recent, obsolete
from edge.messages import Request, Response
from edge.origin import OriginFailed
from edge.resting import Resting
from edge.tokens import covers
from tests.edge.cache_contract import NOW, entry


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max-age=60, Public", {"max-age": "60", "public": ""}),
        ('a="x, y", b', {"a": "x, y", "b": ""}),
        (r'a="x\"y"', {"a": 'x"y'}),
        ("max-age =60", {}),
        ("max-age= 60", {"max-age": " 60"}),
        ('private="a", private', {"private": ""}),
        ("private=1, no-cache=set-cookie", {"private": "", "no-cache": ""}),
        ('private=" , "', {"private": ""}),
        ('private="a , b"', {"private": "a, b"}),
        ("must-revalidate=1", {"must-revalidate": "1"}),
        ('private="a", private="b"', {"private": "a, b"}),
        ('no-cache, no-cache="a"', {"no-cache": ""}),
        ('a="never closed, b', {"a": '"never closed, b'}),
        ("", {}),
    ],
)
def test_directives_are_read(text: str, found: dict[str, str]) -> None:
    assert directives(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max-age=60, public", {"max-age": "60", "public": ""}),
        ("max-age=60;x=1, a=?1, b=?0", {"max-age": "60", "a": ""}),
        ('private="x-a", c=:YQ==:, d=1.5, e=word', {"private": "x-a", "c": ":YQ==:", "d": "1.5", "e": "word"}),
        ("max-age=60, max-age=5", {"max-age": "5"}),
        ("private=a, no-cache=1", {"private": "", "no-cache": ""}),
        ('private="x-a,x-b", no-cache=?0', {"private": "x-a, x-b"}),
        *(
            (bad, {})
            for bad in ("", "Max-Age=60", "max-age=60,", "max-age=60, &", 'max-age="60"', "max-age", "a=", "a b")
        ),
    ],
)
def test_a_dictionary_is_read_whole_or_not_at_all(text: str, found: dict[str, str]) -> None:
    assert dictionary(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Thu, 28 May 2026 20:26:40 GMT",
        "Thursday, 28-May-26 20:26:40 GMT",
        "Thu May 28 20:26:40 2026",
        "THU, 28 MAY 2026 20:26:40 gmt",
    ],
)
def test_a_date_has_three_forms(text: str) -> None:
    assert date(text) == 1_780_000_000


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0",
        "Thu, 28 May 2026 20:26:40 UTC",
        "Thu, 28 May 26 20:26:40 GMT",
        "Thu 28 May 2026 20:26:40 GMT",
        "Thu, 28  May 2026 20:26:40 GMT",
        "Thu, 28 May 2026 20.26.40 GMT",
        "Thu, 28 May 2026 2:26:40 GMT",
        "Thu, 28 May 2026 25:26:40 GMT",
        "Thu, 28 May 2026 20:26:40 GMT, Thu, 28 May 2026 20:26:40 GMT",
    ],
)
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert date(text) is None


@given(st.integers(0, 4_000_000_000))
def test_a_date_that_was_written_is_read(time: int) -> None:
    assert date(date_text(time)) == time


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("60", 60),
        ("0060", 60),
        ("9" * 30, SECONDS_MAX),
        ("-1", None),
        ("6.0", None),
        ("", None),
        (None, None),
        ("٦", None),
    ],
)
def test_seconds_are_digits(text: str | None, found: int | None) -> None:
    assert seconds(text) == found


@given(st.text(max_size=40))
def test_nothing_anybody_sends_breaks_the_reading(text: str) -> None:
    for read in (directives, dictionary, date, seconds, listed):
        read(text)
    covers(text, text + "x")
    assert obsolete("/a", {"host": text}, Response(200, (("Location", text), ("Cache-Group-Invalidation", text))))


def test_hop_by_hop_fields_end_here_and_so_does_what_connection_names() -> None:
    fields = (("Connection", "close, X-A"), ("X-A", "1"), ("X-B", "2"), ("TE", "trailers"), ("Upgrade", "h2c"))
    assert end_to_end(fields) == (("X-B", "2"),)
    assert beyond_connection(fields) == (("X-B", "2"), ("TE", "trailers"), ("Upgrade", "h2c"))
    framed = (("Connection", "Transfer-Encoding"), ("Transfer-Encoding", "chunked"))
    assert beyond_connection(framed) == (("Transfer-Encoding", "chunked"),)
    assert indexed((("A", "1"), ("a", "2"))) == {"a": "1, 2"}


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b?c=1", "/b?c=1"),
        ("b", "/x/b"),
        ("../b", "/b"),
        ("http://edge.example/b", "/b"),
        ("http://EDGE.example", "/"),
        ("https://edge.example/b#part", "/b"),
        ("http://other.example/b", None),
        ("http://edge.example:81/b", None),
        ("//other.example/b", None),
        ("http://[", None),
        ("x" * 10_000, None),
    ],
)
def test_a_location_makes_obsolete_what_is_of_this_host(location: str, url: str | None) -> None:
    asked = {"host": "edge.example"}
    purges = obsolete("/x/a", asked, Response(201, (("Location", location),)))
    assert [purge.url for purge in purges] == ["/x/a", *([url] if url else [])]
    assert all(purge.hard for purge in purges)


def test_purges_are_remembered_while_something_is_under_way_and_no_more_than_so_many() -> None:
    recent = Recent()
    (purge,) = obsolete("/a", {}, Response(200))
    recent.add(purge)
    early = recent.opened()
    assert not recent.meets(early, "/a", entry()), "that was before"
    recent.add(purge)
    late = recent.opened()
    assert recent.meets(early, "/a", entry())
    assert not recent.meets(early, "/b", entry())
    assert not recent.meets(late, "/a", entry())
    for _ in range(REMEMBERED_MAX):
        recent.add(purge)
    assert recent.meets(early, "/b", entry()), "what is no longer known is taken to be about this"
    recent.closed(early)
    recent.closed(late)
    assert not recent.meets(recent.opened(), "/a", entry())


def test_keys_are_left_alone_for_a_while_and_no_more_than_so_many() -> None:
    resting = Resting(5.0, 2)
    for key, now in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
        resting.add(key, now)
    assert [key for key in ("a", "b", "c") if resting.has(key, 3.0)] == ["b", "c"]
    assert not resting.has("b", 6.0)
    assert len(resting) == 1


def test_a_clock_that_is_set_back_leaves_nothing_alone_for_longer() -> None:
    resting = Resting(5.0, 2)
    resting.add("a", 100.0)
    assert resting.has("a", 100.0)
    assert not resting.has("a", 50.0)


async def test_a_clock_that_is_set_back_lets_no_origin_rest_for_longer() -> None:
    now, asked = 100.0, []

    async def first(request: Request) -> Response:
        asked.append("first")
        if len(asked) == 1:
            raise OriginFailed("the test says so")
        return Response(204)

    async def second(request: Request) -> Response:
        asked.append("second")
        return Response(204)

    origins = Failover([first, second], clock=lambda: now, rest_s=10)
    await origins(Request("GET", "/"))
    await origins(Request("GET", "/"))
    assert asked == ["first", "second", "second"]
    now = 50.0
    await origins(Request("GET", "/"))
    assert asked[3:] == ["first"]


def test_what_is_ahead_of_the_clock_is_stale() -> None:
    kept = entry()
    assert (kept.stale_s(NOW), kept.ttl_s(NOW)) == (-60.0, 60)
    assert (kept.stale_s(NOW - 0.5), kept.ttl_s(NOW - 0.5)) == (-60.0, 60), "two processes may see the clock so"
    assert (kept.stale_s(NOW - 2), kept.ttl_s(NOW - 2)) == (0.0, 0)


@pytest.mark.parametrize(
    "wrong", [{"object_bytes": 0}, {"object_bytes": 2, "store_bytes": 1}, {"variants": 0}, {"wait_s": -1.0}]
)
def test_bounds_that_contradict_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|may be"):
        Bounds(**wrong)
