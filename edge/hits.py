"""Answers out of what is kept and fresh, at the cost of a look-up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from edge import status
from edge.cache import Entry
from edge.guessing import depends_on_region, for_one_client
from edge.messages import Response
from edge.variants import Variants

COUNTED: Final = "hit"


class Hits:
    """Finds the entry for a plain request among those of its url. `counts` has `COUNTED`."""

    def __init__(self, name: str, clock: Callable[[], float], variants: Variants, counts: dict[str, int]) -> None:
        self._name, self._clock, self._variants, self._counts = name, clock, variants, counts

    def of(self, entries: Sequence[Entry], fields: Mapping[str, str], *, guesses: bool) -> Response | None:
        """The answer to a GET with nothing particular, if one of the entries is for it and fresh.

        `guesses`: the client named no region, so that what depends on it is for this client only.
        """
        for entry in entries:
            if not entry.selecting or self._variants.matches(entry, fields):
                return self._answer(entry, fields, guesses=guesses)
        return None

    def _answer(self, entry: Entry, fields: Mapping[str, str], *, guesses: bool) -> Response | None:
        now = self._clock()
        age_s = entry.age_s(now)
        if age_s >= entry.fresh_s or entry.always_validate or entry.purged_at is not None or entry.is_ahead(now):
            return None
        if not entry.is_for_all and "authorization" in fields:
            return None
        self._counts[COUNTED] += 1
        memo, second = entry.memo, int(age_s)
        if memo.second != second or memo.response is None:
            text = status.hit(self._name, int(entry.fresh_s) - second)
            whole = Response(entry.status, (*entry.headers, *status.aged(age_s)), entry.body)
            memo.response, memo.second = status.told(whole, text), second
            memo.private = for_one_client(memo.response) if depends_on_region(whole) else memo.response
        return memo.private if guesses else memo.response
