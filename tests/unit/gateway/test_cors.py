"""CORS: exact origins or none, and every answer says to caches that it depends on the origin."""

import pytest

from gateway.cors import Cors

APP = "https://app.example"
ASKED = {"Origin": APP, "Access-Control-Request-Method": "PUT"}


def test_by_default_no_origin_may_call() -> None:
    cors = Cors.parse("")
    assert (cors.enabled, cors.preflight(ASKED), cors.answer(APP), cors.lists(APP)) == (False, None, {}, False)


def test_a_listed_origin_may_call_with_cookies_and_read_our_headers() -> None:
    cors = Cors.parse(f"http://localhost:5173, {APP}")
    said = cors.answer(APP)
    assert (said["Access-Control-Allow-Origin"], said["Access-Control-Allow-Credentials"]) == (APP, "true")
    assert said["Vary"] == "Origin"
    assert {"Consistency-Token", "RateLimit", "Retry-After", "X-Request-Id"} <= set(
        said["Access-Control-Expose-Headers"].split(", ")
    )
    allowed = cors.preflight(ASKED)
    assert allowed is not None
    assert (allowed["Access-Control-Allow-Origin"], allowed["Access-Control-Max-Age"]) == (APP, "7200")
    assert "PUT" in allowed["Access-Control-Allow-Methods"].split(", ")
    assert "Idempotency-Key" in allowed["Access-Control-Allow-Headers"].split(", ")
    assert "Origin" in allowed["Vary"]


@pytest.mark.parametrize(
    "origin", [None, "null", "https://app.example.evil", "https://evil-app.example", "http://app.example", APP + ":444"]
)
def test_another_origin_gets_nothing_but_the_word_to_caches(origin: str | None) -> None:
    cors = Cors.parse(APP)
    assert cors.answer(origin) == {"Vary": "Origin"}
    asked = {**ASKED, "Origin": origin} if origin else {"Access-Control-Request-Method": "PUT"}
    assert cors.preflight(asked) is None


def test_options_without_a_wanted_method_is_no_preflight() -> None:
    assert Cors.parse(APP).preflight({"Origin": APP}) is None


def test_any_origin_is_without_cookies_and_none_is_ours() -> None:
    cors = Cors.parse("*")
    said = cors.answer("https://anybody.example")
    assert said["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in said
    assert "Vary" not in said
    assert not cors.lists("https://anybody.example")


@pytest.mark.parametrize(
    "text",
    [
        "app.example",
        "https://app.example/",
        "https://App.example",
        "https://*.example",
        "https://app.example:443",
        "http://app.example:80",
        "null",
        "ftp://app.example",
        "https://",
        "https://user@app.example",
        "*, https://app.example",
        "https://app.example https://other.example",
    ],
)
def test_what_no_browser_would_send_as_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"origin"):
        Cors.parse(text)
