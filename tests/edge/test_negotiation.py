"""What a client takes: codings and languages by weight, and the part of an answer that it asks for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.negotiation import preferred_coding, preferred_language
from edge.ranges import Part, Unsatisfiable, part_asked

CODINGS = [
    (None, "identity"),
    ("", "identity"),
    ("gzip", "gzip"),
    ("br", "br"),
    ("gzip, br", "br"),
    ("gzip, deflate, br, zstd", "br"),
    ("br;q=0.5, gzip", "gzip"),
    ("br;q=0.5, gzip;q=0.5", "br"),
    ("BR;Q=1.0", "br"),
    ("x-gzip", "gzip"),
    ("*", "br"),
    ("br;q=0, *", "gzip"),
    ("br;q=0, gzip;q=0, *", "identity"),
    ("*;q=0", "identity"),
    ("identity;q=0", "identity"),
    ("identity, gzip;q=0.5", "identity"),
    ("identity;q=0.5, gzip;q=0.5", "gzip"),
    ("deflate", "identity"),
    ("gzip;q=2", "identity"),
    ("gzip;q=", "identity"),
    ("gzip;level=9", "gzip"),
    (",,;q=1, gzip", "gzip"),
]


@pytest.mark.parametrize(("field", "coding"), CODINGS)
def test_the_most_welcome_coding_is_chosen(field: str | None, coding: str) -> None:
    assert preferred_coding(field) == coding


def test_only_what_is_offered_is_chosen() -> None:
    assert preferred_coding("br, gzip;q=0.1", ("gzip",)) == "gzip"
    assert preferred_coding("br, gzip", ()) == "identity"


LANGUAGES = [
    (None, "en"),
    ("", "en"),
    ("ar", "ar"),
    ("AR", "ar"),
    ("ar-QA", "ar"),
    ("ar-QA, en;q=0.9", "ar"),
    ("en-GB;q=0.7, ar;q=0.3", "en"),
    ("fr, ar;q=0.1", "ar"),
    ("ar, en", "ar"),
    ("en, ar", "en"),
    ("*", "en"),
    ("*;q=0.5, ar;q=0.4", "en"),
    ("en;q=0, *", "ar"),
    ("en;q=0, ar;q=0", "en"),
    ("ar;q=0, ar-QA", "en"),
    ("arabic", "en"),
    ("de", "en"),
    (";q=1", "en"),
]


@pytest.mark.parametrize(("field", "language"), LANGUAGES)
def test_the_most_welcome_language_is_spoken(field: str | None, language: str) -> None:
    assert preferred_language(field, ("en", "ar")) == language


@settings(deadline=None)
@given(st.text(st.sampled_from("argzipbenQA-*;q=01.5, \t"), max_size=40))
def test_whatever_is_sent_something_offered_is_chosen(field: str) -> None:
    assert preferred_coding(field) in ("br", "gzip", "identity")
    assert preferred_language(field, ("en", "ar")) in ("en", "ar")


PARTS: list[tuple[str | None, Part | None]] = [
    (None, None),
    ("", None),
    ("bytes=0-0", Part(0, 0)),
    ("bytes=2-5", Part(2, 5)),
    ("bytes=5-", Part(5, 9)),
    ("bytes=5-99", Part(5, 9)),
    ("bytes=-3", Part(7, 9)),
    ("bytes=-99", Part(0, 9)),
    ("BYTES= 1-2 ", Part(1, 2)),
    ("bytes=5-2", None),
    ("bytes=0-1,3-4", None),
    ("bytes=-", None),
    ("bytes=a-b", None),
    ("bytes=1", None),
    ("items=0-1", None),
    ("bytes=0-" + "9" * 4000, None),
]


@pytest.mark.parametrize(("field", "part"), PARTS)
def test_one_part_is_cut_and_everything_else_is_the_whole(field: str | None, part: Part | None) -> None:
    assert part_asked(field, 10) == part


@pytest.mark.parametrize(("field", "size"), [("bytes=10-", 10), ("bytes=11-20", 10), ("bytes=-0", 10), ("bytes=-5", 0)])
def test_nothing_is_beyond_the_end(field: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        part_asked(field, size)
