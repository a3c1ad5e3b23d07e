"""What goes to caches is for everybody: the last look at every answer's headers, whoever made it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from core.limits import EDGE_FRESH_MAX_S
from gateway.caching import CONTROL, Kind, Shared, fit_for_caches, is_shared, listed

OF_ONE = {
    "X-Request-Id": "mine",
    "RateLimit": '"user";r=1;t=1',
    "RateLimit-Policy": '"user";q=1;w=1',
    "Meridian-Route": "qa-1/replica; by=user; epoch=1",
    "Idempotent-Replayed": "true",
}
HSTS = "Strict-Transport-Security"


def fitted(control: str | None, *, authorized: bool = False, secure: bool = True, **more: str) -> CIMultiDict[str]:
    headers = CIMultiDict(
        {**OF_ONE, HSTS: "max-age=1", **{name.replace("_", "-"): text for name, text in more.items()}}
    )
    if control is not None:
        headers["Cache-Control"] = control
    fit_for_caches(headers, authorized=authorized, secure=secure)
    return headers


@pytest.mark.parametrize("control", ["public, max-age=5", "max-age=5", "no-cache", "s-maxage=5"])
def test_what_may_be_shared_has_nothing_of_the_one_who_asked(control: str) -> None:
    headers = fitted(control, Set_Nothing="1")
    assert not OF_ONE.keys() & headers.keys()
    assert headers["Set-Nothing"] == "1"


@pytest.mark.parametrize(
    "control", ["private", "private, max-age=5", "no-store", "Private, no-cache", "max-age=1, PRIVATE"]
)
def test_what_is_for_one_keeps_what_is_theirs(control: str) -> None:
    headers = fitted(control)
    assert OF_ONE.items() <= headers.items()
    assert headers["Cache-Control"] == control


def test_an_answer_that_says_nothing_is_kept_by_nobody() -> None:
    assert fitted(None)["Cache-Control"] == "no-store"


@pytest.mark.parametrize("control", ["public, max-age=31536000, immutable", "no-cache"])
def test_an_answer_with_a_cookie_is_never_shared(control: str) -> None:
    headers = fitted(control, Set_Cookie="a=b")
    assert (headers["Cache-Control"], headers["X-Request-Id"]) == ("private, no-store", "mine")
    assert fitted("private, no-cache", Set_Cookie="a=b")["Cache-Control"] == "private, no-cache"


def test_public_is_said_to_whom_it_means_something() -> None:
    assert fitted("public, max-age=5", authorized=True)["Cache-Control"] == "public, max-age=5"
    assert fitted("public, max-age=5", authorized=False)["Cache-Control"] == "max-age=5"
    assert fitted("max-age=5", authorized=True)["Cache-Control"] == "max-age=5"


def test_https_is_promised_over_https_or_where_nothing_is_kept() -> None:
    for control, kept in (("max-age=5", True), ("private, max-age=5", True), ("private, no-store", False)):
        assert HSTS in fitted(control, secure=True)
        assert (HSTS in fitted(control, secure=False)) is not kept


@given(st.lists(st.sampled_from(["public", "private", "no-store", "no-cache", "max-age=5", "immutable"]), max_size=4))
def test_an_answer_is_never_both_shared_and_of_one(directives: list[str]) -> None:
    headers = fitted(", ".join(directives))
    assert is_shared(headers["Cache-Control"]) is not ("X-Request-Id" in headers)


def test_every_kind_of_answer_says_what_caches_may_do() -> None:
    assert set(CONTROL) == set(Kind)
    assert {kind for kind, control in CONTROL.items() if is_shared(control)} == {Kind.DOCUMENT, Kind.KEYS}


def test_groups_are_a_list_of_strings() -> None:
    assert listed(["garage-1", "reference"]) == '"garage-1", "reference"'


@pytest.mark.parametrize("fresh", [(0, 30), (60, 30), (30, EDGE_FRESH_MAX_S + 1)])
def test_nothing_is_fresh_for_longer_than_it_may_be_wrong(fresh: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="freshness"):
        Shared(("a",), fresh_s=fresh[0], told_fresh_s=fresh[1])


def test_edges_keep_longer_only_what_they_are_told_of() -> None:
    shared = Shared(("garage-{id}",))
    told, untold, developing = (
        shared.fields({"id": 7}, production=production, told=told)
        for production, told in ((True, True), (True, False), (False, True))
    )
    assert told["Meridian-CDN-Cache-Control"].startswith("public, max-age=300,")
    assert "Meridian-CDN-Cache-Control" not in untold
    assert (developing["Cache-Control"], developing["Meridian-CDN-Cache-Control"]) == (
        "no-cache",
        told["Meridian-CDN-Cache-Control"],
    )
    assert told["Cache-Groups"] == untold["Cache-Groups"] == '"garage-7"'
