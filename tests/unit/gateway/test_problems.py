"""The one table from core's errors to HTTP is total, unambiguous and says what the contract says."""

from collections.abc import Iterator
from typing import Any

import pytest

from core import errors
from core.errors import (
    FieldError,
    InternalFault,
    Invalid,
    MeridianError,
    MethodNotAllowed,
    RateLimited,
    ShardUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.problems import STATUS, problem_body, problem_response

CONTRACT = {
    400: {"malformed"},
    401: {"unauthenticated", "token_expired"},
    403: {"forbidden"},
    404: {"not_found"},
    409: {"conflict", "write_lost"},
    413: {"too_large"},
    415: {"unsupported_media"},
    421: {"region_unavailable"},
    422: {"invalid"},
    429: {"rate_limited"},
    503: {"shard_unavailable", "pool_exhausted", "outcome_unknown", "draining"},
    504: {"deadline"},
}


def leaves(of: type[MeridianError] = MeridianError) -> Iterator[type[MeridianError]]:
    """Every error of core/errors.py that declares a code of its own."""
    for kind in of.__subclasses__():
        if kind.__module__ == errors.__name__ and "code" in vars(kind):
            yield kind
        yield from leaves(kind)


def test_every_error_of_core_has_a_status_and_every_status_an_error() -> None:
    assert {kind.code for kind in leaves()} == set(STATUS)


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in leaves()]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize(("status", "codes"), CONTRACT.items())
def test_the_contracts_codes_have_the_contracts_status(status: int, codes: set[str]) -> None:
    assert codes <= {code for code, (of, _) in STATUS.items() if of == status}


def test_a_problem_has_the_members_of_the_contract() -> None:
    assert problem_body(ShardUnavailable("the shard rests"), "r-1") == {
        "type": "/api/docs#problem-shard_unavailable",
        "title": "The data's shard is not available",
        "status": 503,
        "detail": "the shard rests",
        "code": "shard_unavailable",
        "request_id": "r-1",
    }


def test_wrong_fields_are_listed() -> None:
    body = problem_body(Invalid([FieldError("year", "is too big"), FieldError("vin", "is too short")]), "r-1")
    assert body["errors"] == [
        {"field": "year", "message": "is too big"},
        {"field": "vin", "message": "is too short"},
    ]


def test_a_fault_of_ours_says_nothing_of_our_inside() -> None:
    assert "secret table" not in problem_body(InternalFault("secret table"), "r-1")["detail"]


HEADERS: list[tuple[MeridianError, dict[str, str]]] = [
    (ShardUnavailable("x", retry_after_s=5), {"Retry-After": "5"}),
    (RateLimited("x"), {"Retry-After": "1"}),
    (Unauthenticated("x"), {"WWW-Authenticate": 'Bearer realm="meridian"'}),
    (
        TokenExpired("x"),
        {"WWW-Authenticate": 'Bearer realm="meridian", error="invalid_token", error_description="expired"'},
    ),
    (MethodNotAllowed("x", allowed=["GET", "PUT"]), {"Allow": "GET, PUT"}),
]


@pytest.mark.parametrize(("error", "expected"), HEADERS)
def test_a_problem_carries_the_headers_of_its_status(error: MeridianError, expected: dict[str, str]) -> None:
    response = problem_response(error, "r-1")
    sent: dict[str, Any] = {name: response.headers.get(name) for name in expected}
    assert sent == expected
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
