"""Every failure of PostgreSQL or of asyncpg in Meridian's words: what may be retried, and nobody's data in it."""

import asyncpg
import pytest

from core.database.translate import BROKEN, NodeLost, RecoveryConflict, Refused, RoleChanged, translated
from core.errors import (
    Conflict,
    DeadlineExceeded,
    InternalFault,
    MeridianError,
    PoolExhausted,
    ShardUnavailable,
    WrongShard,
)

WHERE = "10.0.0.1:5432"


def failure(sqlstate: str, message: str = "what the server said", **more: str) -> asyncpg.PostgresError:
    """An error as asyncpg makes it from the server's message."""
    fields = {"S": "ERROR", "C": sqlstate, "M": message, **more}
    made = asyncpg.PostgresError.new(fields)
    assert isinstance(made, asyncpg.PostgresError)
    return made


TABLE: list[tuple[BaseException, type[MeridianError], bool]] = [
    (failure("MD001"), WrongShard, True),
    (failure("25006"), RoleChanged, True),
    (failure("40001", "canceling statement due to conflict with recovery"), RecoveryConflict, True),
    (failure("40001", "could not serialize access"), Conflict, False),
    (failure("40P01"), Conflict, False),
    (failure("55P03"), Conflict, False),
    (failure("57P01"), NodeLost, True),
    (failure("57P02"), NodeLost, True),
    (failure("57P03"), NodeLost, True),
    (failure("57P05"), NodeLost, True),
    (failure("08006"), NodeLost, True),
    (failure("28P01"), NodeLost, True),
    (failure("3D000"), NodeLost, True),
    (failure("57014"), DeadlineExceeded, True),
    (failure("53300"), PoolExhausted, True),
    (failure("53100"), ShardUnavailable, True),
    (failure("53200"), ShardUnavailable, True),
    (failure("42P01"), ShardUnavailable, True),
    (failure("3F000"), ShardUnavailable, True),
    (failure("42883"), ShardUnavailable, True),
    (failure("23505", n="identity_taken"), Refused, False),
    (failure("23514", n="placed"), Refused, False),
    (failure("23503", n="some_key"), Refused, False),
    (failure("23502"), InternalFault, False),
    (failure("22003"), InternalFault, False),
    (failure("42601"), InternalFault, False),
    (asyncpg.DataError("invalid input for query argument $2: '+97455001234' (an int is wanted)"), InternalFault, False),
    (ConnectionResetError("peer"), NodeLost, True),
    (OSError("no route"), NodeLost, True),
    (EOFError(), NodeLost, True),
    (asyncpg.InterfaceError("connection is closed"), NodeLost, True),
    (asyncpg.InternalClientError("got result for unknown protocol state"), NodeLost, True),
    (asyncpg.ConnectionDoesNotExistError("closed in the middle of an operation"), NodeLost, True),
]


@pytest.mark.parametrize(
    ("exc", "kind", "retryable"), TABLE, ids=lambda value: getattr(value, "sqlstate", None) or None
)
@pytest.mark.parametrize("sent", [True, False])
def test_each_failure_has_one_meaning(
    exc: BaseException, kind: type[MeridianError], retryable: bool, sent: bool
) -> None:
    error = translated(exc, where=WHERE, sent=sent)
    assert type(error) is kind
    assert error.retryable is retryable
    if isinstance(error, NodeLost):
        assert error.sent is sent
        assert WHERE in error.detail


def test_a_refusal_carries_the_constraints_name() -> None:
    error = translated(failure("23505", n="identity_taken"), where=WHERE, sent=True)
    assert isinstance(error, Refused)
    assert error.constraint == "identity_taken"


def test_an_exhausted_server_says_pool_exhausted() -> None:
    assert "pool exhausted" in translated(failure("53300"), where=WHERE, sent=False).detail


def test_a_missing_table_says_what_to_do() -> None:
    assert "meridian migrate" in translated(failure("42P01"), where=WHERE, sent=True).detail


@pytest.mark.parametrize("exc", [exc for exc, *_ in TABLE], ids=lambda exc: type(exc).__name__)
def test_what_a_pool_catches_is_all_that_is_translated(exc: BaseException) -> None:
    assert isinstance(exc, (*BROKEN, asyncpg.PostgresError))


@pytest.mark.parametrize("sqlstate", ["23502", "22003", "25006", "57P01", "42P01", "53100", "MD001", "XX000"])
def test_no_error_repeats_the_row_that_the_server_quotes(sqlstate: str) -> None:
    exc = failure(sqlstate, D="Failing row contains (9, Somebody, +97455001234).", H="Ask +97455001234.")
    assert "+97455001234" in str(exc), "asyncpg's own text does"
    assert "+974" not in translated(exc, where=WHERE, sent=True).detail


def test_an_argument_that_does_not_fit_is_named_by_number_not_by_value() -> None:
    exc = asyncpg.DataError("invalid input for query argument $2: '+97455001234' (an int is wanted)")
    assert translated(exc, where=WHERE, sent=True).detail == f"{WHERE}: invalid input for query argument $2"
