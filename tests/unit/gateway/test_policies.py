"""Limits as text: how settings say them, and how answers tell them."""

import pytest

from core.limiter import MICROSECONDS, Limit, Verdict
from gateway.policies import Policies, Standing, limit_field, parse_limit, policy_field


@pytest.mark.parametrize(
    ("text", "count", "seconds"), [("600/60s", 600, 60), ("600/60", 600, 60), (" 1/86400s ", 1, 86_400)]
)
def test_a_limit_is_a_count_and_seconds(text: str, count: int, seconds: int) -> None:
    assert parse_limit(text) == Limit(count, seconds * MICROSECONDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("600", "as in 600/60s"),
        ("600/1m", "as in 600/60s"),
        ("-1/60s", "as in 600/60s"),
        ("0/60s", "between 1 and"),
        ("10000000/60s", "between 1 and"),
        ("600/0s", "over 1 to"),
        ("600/90000s", "over 1 to"),
        ("", "as in 600/60s"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_limit(text)


def test_an_address_may_try_ten_times_what_one_identifier_may_be_tried() -> None:
    policies = Policies(parse_limit("600/60s"), parse_limit("1200/60s"), parse_limit("20/300s"))
    assert policies.credentials_by_address == parse_limit("200/300s")


def test_the_fields_are_lists_of_named_items_with_whole_seconds_rounded_up() -> None:
    user = Standing("user", parse_limit("600/60s"), Verdict(True, 599, 0, 100_000))
    other = Standing("credentials", parse_limit("20/300s"), Verdict(False, 0, 1, 300_000_001))
    assert policy_field([user, other]) == '"user";q=600;w=60, "credentials";q=20;w=300'
    assert limit_field([user, other]) == '"user";r=599;t=1, "credentials";r=0;t=301'
