"""Keyset pages: a limit and an opaque, signed cursor that names the last row seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any, TypeVar

import orjson

from core.errors import FieldError, Invalid
from core.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from gateway.operations.operation import Items
from gateway.signing import Signer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """The page a caller asked for: at most `limit` items after the key `after` (None: from the start).

    Ask the database for `fetch` rows, one more than a page, and let `items` make the answer.
    """

    limit: int
    after: Any
    _operation: str
    _signer: Signer

    @property
    def fetch(self) -> int:
        """How many rows to ask for: the one too many tells that there is another page."""
        return self.limit + 1

    def items(self, rows: Sequence[T], *, key: Callable[[T], Any]) -> Items[T]:
        """The page's answer from up to `fetch` rows; `key` is the sort key of a row, as JSON values."""
        shown = list(rows[: self.limit])
        more = len(rows) > self.limit
        cursor = self._signer.sign(orjson.dumps([self._operation, key(shown[-1])], default=str)) if more else None
        return Items[T].model_construct(items=shown, next=cursor)


def combined(rows: Sequence[T], *, key: Callable[[T], Any], combine: Callable[[T, T], T]) -> list[T]:
    """Rows in the order of `key`, with those of the same key made into one."""
    return [reduce(combine, group) for _, group in groupby(rows, key=key)]


def json_values(key: Any) -> Any:
    """A sort key as the cursor of a page gives it back."""
    return orjson.loads(orjson.dumps(key, default=str))


def parse_page(limit: str | None, cursor: str | None, *, operation: str, signer: Signer) -> Page:
    """The page of a query string. Raises Invalid naming `limit` or `cursor`; a cursor is good for its own list only."""
    faults: list[FieldError] = []
    size = PAGE_ITEMS_DEFAULT
    if limit is not None:
        if limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= PAGE_ITEMS_MAX and len(limit) <= 6:
            size = int(limit)
        else:
            faults.append(FieldError("limit", f"must be a whole number from 1 to {PAGE_ITEMS_MAX}"))
    after = None
    if cursor is not None:
        body = signer.open(cursor)
        made_for, after = orjson.loads(body) if body else (None, None)
        if made_for != operation:
            faults.append(
                FieldError("cursor", "is not a cursor of this list; use `next` of the page before, unchanged")
            )
    if faults:
        raise Invalid(faults)
    return Page(size, after, operation, signer)
