"""Search over requests, orders and garages: whole words and their beginnings, misspelt words, and order numbers.

Words are found by full text over everything that the caller may see. Misspelt ones are found by trigrams, where there
is little to look through: among garages, the caller's own things, and what is open or under way.
"""

import re
import string
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from core.database.statement import Query
from core.ids import placement_of
from core.limits import SEARCH_CANDIDATES_MAX
from gateway.credentials import User
from gateway.marketplace import orders, requests
from gateway.marketplace.orders_standing import LIVE
from gateway.marketplace.roles import CUSTOMER, DRIVER, GARAGE
from gateway.operations import READ, Api, Call, Input, Output, Page, PartialItems

api = Api("/search", tag="search")

Kind = Literal["request", "order", "garage"]
_SPACES: Final = str.maketrans(string.punctuation, " " * len(string.punctuation))
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LAST: Final = "\U0010ffff"
_NEWEST: Final = f"ORDER BY id DESC LIMIT {SEARCH_CANDIDATES_MAX}"
_OPEN: Final = "status = 'active' AND expires_at > now()"


def _searchable(q: str) -> str:
    if _CONTROL.search(q):
        raise ValueError("must not have control characters")
    if len("".join(q.translate(_SPACES).split())) < 2:
        raise ValueError("must have at least two letters or digits")
    return q


_PRINTED: Final = r"[^\x00-\x1f\x7f-\x9f]*"
_MEANT: Final = r"[^\s\x00-/:-@\[-`{-\x9f]"
Text = Annotated[
    str,
    StringConstraints(min_length=2, max_length=100),
    AfterValidator(_searchable),
    Field(
        examples=["hilux mirror"],
        json_schema_extra={"pattern": f"^{_PRINTED}{_MEANT}{_PRINTED}{_MEANT}{_PRINTED}$"},
    ),
]


class Wanted(Input):
    """What to look for."""

    q: Text = Field(
        description="Words, in Arabic or English, or an order's number. All of the words must be there, each at least "
        "by its beginning. It must have at least two letters or digits."
    )
    kind: Kind | None = Field(None, description="Only things of this kind.")


class Found(Output):
    """Something that was found; `id` is its own in its listing. A higher `rank` fits better."""

    kind: Kind
    id: UUID
    title: str
    subtitle: str | None
    status: requests.Status | orders.Status | None
    created_at: datetime
    rank: int


class _Search:
    """The statement of one search, put together of branches: each the newest matches of one kind, of one sort of match.

    What a caller may not see is in no branch.
    """

    def __init__(self, q: str) -> None:
        self.args: list[object] = []
        self.branches: list[str] = []
        words = q.translate(_SPACES).split()
        # No word has a quotation mark or backslash left: each is one quoted lexeme, whatever else it is.
        lexemes = " & ".join(f"'{word}':*" for word in words)
        self._words = f"to_tsquery('simple', {self.arg(lexemes, 'text')})"
        self._said = self.arg(" ".join(words), "text")
        self._number = q.strip().upper()

    def arg(self, value: object, type: str) -> str:
        """The placeholder of an argument."""
        self.args.append(value)
        return f"${len(self.args)}::{type}"

    def own(self, user: User) -> str:
        """The condition of what belongs to the caller; to the staff, all of the region does."""
        if user.role == CUSTOMER:
            bucket = self.arg(placement_of(user.id).bucket, "smallint")
            return f"bucket = {bucket} AND customer = {self.arg(user.id, 'uuid')}"
        return f"{user.role} = {self.arg(user.id, 'uuid')}" if user.role in (GARAGE, DRIVER) else "true"

    def requests(self, whose: str, *, live: str) -> None:
        """Requests by their words; by trigrams those that are `live`."""
        text = "marketplace.request_text(car_make, car_model, car_year, part_number, part_category, part_description)"
        shown = """'request' AS kind, id, car_make || ' ' || car_model || ' ' || car_year AS title,
            left(part_description, 120) AS subtitle,
            CASE WHEN status = 'active' AND expires_at <= now() THEN 'expired' ELSE status END AS status, created_at"""
        self._by_text("marketplace.request", shown, text, whose, live)

    def orders(self, whose: str, *, live: str) -> None:
        """Orders by their number or its beginning, by their words, and by trigrams those that are `live`."""
        shown = "'order' AS kind, id, number AS title, left(part, 120) AS subtitle, status, created_at"
        first, last = self.arg(self._number, "text"), self.arg(self._number + _LAST, "text")
        is_number = f'number COLLATE "C" >= {first} AND number COLLATE "C" < {last}'
        self._branch(
            "marketplace.orders",
            shown,
            f"CASE WHEN number = {first} THEN 1000 ELSE 900 END",
            f"{whose} AND {is_number}",
        )
        self._by_text("marketplace.orders", shown, "part || ' ' || garage_name", f"{whose} AND NOT ({is_number})", live)

    def garages(self) -> None:
        """Garages by name, also a misspelt one."""
        shown = "'garage' AS kind, id, garage_name AS title, NULL AS subtitle, NULL AS status, created_at"
        are = "role = 'garage'"
        self._by_text("marketplace.account", shown, "garage_name", are, f"{self._said} OPERATOR(public.<%) garage_name")

    def _by_text(self, table: str, shown: str, text: str, whose: str, live: str) -> None:
        found = f"marketplace.words({text}) @@ {self._words}"
        rank = f"500 + least(100, round(1000 * ts_rank(marketplace.words({text}), {self._words}))::int)"
        self._branch(table, shown, rank, f"{whose} AND {found}")
        alike = f"public.word_similarity({self._said}, {text})"
        rank = f"round(400 * {alike})::int"
        near = f"(SELECT * FROM {table} WHERE {whose} AND {live} {_NEWEST}) AS near"
        self._branch(near, shown, rank, f"NOT {found} AND {alike} >= 0.6")

    def _branch(self, table: str, shown: str, rank: str, where: str) -> None:
        self.branches.append(f"(SELECT {shown}, {rank} AS rank FROM {table} WHERE {where} {_NEWEST})")

    def query(self, after: Any, limit: int) -> Query[Found]:
        """The best of all branches: by rank, then the newest."""
        where = ""
        if after is not None:
            where = f"WHERE (rank, id) < ({self.arg(after[0], 'int')}, {self.arg(after[1], 'uuid')})"
        # Named by hand: a branch may have a column of text that is null throughout.
        sql = f"""SELECT kind, id, title, subtitle::text, status::text, created_at, rank
                  FROM ({" UNION ALL ".join(self.branches)}) AS found {where}
                  ORDER BY rank DESC, id DESC LIMIT {self.arg(limit, "int")}"""
        return Query(sql, tuple(self.args), lambda row: Found.model_validate(dict(row)))


def _search(wanted: Wanted, user: User) -> _Search:
    """What the caller may see of what they look for."""
    search, role = _Search(wanted.q), user.role
    kinds = {wanted.kind} if wanted.kind else {"request", "order", "garage"}
    if "request" in kinds and role != DRIVER:
        whose = _OPEN if role == GARAGE else search.own(user)
        search.requests(whose, live="true" if role == CUSTOMER else _OPEN)
    if "order" in kinds:
        search.orders(search.own(user), live="true" if role == CUSTOMER else LIVE)
    if "garage" in kinds and role not in (GARAGE, DRIVER):
        search.garages()
    return search


@api.get("", intent=READ)
async def search(call: Call, wanted: Wanted, page: Page) -> PartialItems[Found]:
    """Find requests, orders and garages by words, in Arabic as in English, or an order by the beginning of its number.

    Customers find their own requests and orders, and the region's garages; garages the open requests of their region
    and their own orders; drivers their deliveries; staff all of the region. Misspelt words find garages, what is
    open or under way, and a customer's own. The newest 1,000 matches of a kind (on a shard) are ranked, and the newest
    1,000 are looked through for misspelt words.
    """
    found = _search(wanted, call.user)
    if not found.branches:
        return PartialItems[Found](items=[])
    query = found.query(page.after, page.fetch)
    return await call.across(query, page=page, key=lambda item: (item.rank, item.id), descending=True)
