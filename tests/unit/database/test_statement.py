"""A write goes out as one statement, with its event and its receipt, and every value finds its own parameter."""

import re
from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.statement import Event, ReceiptKey, Row, Write, compose

EVENT = Event(UUID(int=1), "request.created", UUID(int=2), {"make": "Toyota"})
RECEIPT = ReceiptKey(UUID(int=3), "a-key", b"digest")
EVENT_ARGS = (9, EVENT.id, EVENT.kind, EVENT.subject, {"make": "Toyota"})
RECEIPT_ARGS = (9, RECEIPT.owner, RECEIPT.key, RECEIPT.fingerprint)
INSERT = "INSERT INTO thing (bucket, name) VALUES ($1, $2) RETURNING name"


def write(*, args: tuple[object, ...] = (9, "bolt"), first: str = "", event: Event | None = None) -> Write[Row]:
    """A small write to bucket 9."""
    return Write(bucket=9, sql=INSERT, args=args, row=_same, first=first, event=event)


def _same(row: Mapping[str, object]) -> Mapping[str, object]:
    return row


def parameters(sql: str) -> set[int]:
    """The numbers of all parameters in a statement."""
    return {int(number) for number in re.findall(r"\$(\d+)", sql)}


def test_a_plain_write_goes_out_as_it_is() -> None:
    assert compose(write(), None) == (INSERT, (9, "bolt"))


def test_a_write_with_event_and_receipt_is_one_statement_whose_event_and_receipt_need_a_row() -> None:
    sql, args = compose(write(event=EVENT), RECEIPT)
    assert args == (9, "bolt", *EVENT_ARGS, *RECEIPT_ARGS)
    assert sql == (
        f"WITH outcome AS ({INSERT}), "
        "event AS (INSERT INTO meridian.outbox (bucket, id, kind, subject, body)"
        " SELECT $3::smallint, $4::uuid, $5::text, $6::uuid, $7::jsonb FROM outcome), "
        "receipt AS (INSERT INTO meridian.receipt (bucket, owner, key, fingerprint, outcome)"
        " SELECT $8::smallint, $9::uuid, $10::text, $11::bytea, to_jsonb(outcome) FROM outcome) "
        "SELECT * FROM outcome"
    )


@pytest.mark.parametrize(
    ("event", "receipt", "added"),
    [(EVENT, None, EVENT_ARGS), (None, RECEIPT, RECEIPT_ARGS), (EVENT, RECEIPT, (*EVENT_ARGS, *RECEIPT_ARGS))],
    ids=["event", "receipt", "both"],
)
@pytest.mark.parametrize("first", ["", "a AS (SELECT $1::smallint)"])
def test_what_is_added_follows_the_writes_own_arguments(
    event: Event | None, receipt: ReceiptKey | None, added: tuple[object, ...], first: str
) -> None:
    sql, args = compose(write(first=first, event=event), receipt)
    assert args == (9, "bolt", *added)
    assert sql.startswith(f"WITH {first}, outcome AS (" if first else "WITH outcome AS (")
    assert ("meridian.outbox" in sql, "meridian.receipt" in sql) == (event is not None, receipt is not None)


@given(st.integers(0, 40), st.booleans(), st.booleans())
def test_every_argument_has_one_parameter_and_every_parameter_an_argument(
    count: int, with_event: bool, with_receipt: bool
) -> None:
    own = tuple(range(count))
    sql = f"SELECT {', '.join(f'${n}' for n in range(1, count + 1)) or '1'}"
    composed = Write(bucket=9, sql=sql, args=own, row=_same, event=EVENT if with_event else None)
    text, args = compose(composed, RECEIPT if with_receipt else None)
    assert args[:count] == own
    assert parameters(text) == set(range(1, len(args) + 1))


def test_composing_changes_neither_the_write_nor_its_event() -> None:
    one = write(event=EVENT)
    compose(one, RECEIPT)
    assert (one.sql, one.args, one.event) == (INSERT, (9, "bolt"), EVENT)
    assert EVENT.body == {"make": "Toyota"}
