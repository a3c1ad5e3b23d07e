"""No answer ever reaches anyone for whom it was not made."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bounds import Bounds
from edge.cache import Purge
from edge.fields import indexed
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Fields, Request, Response
from edge.negotiation import preferred_language, welcome_codings
from edge.origin import OriginFailed
from edge.tokens import covers
from tests.edge.background import Background

LANGUAGES = ("en", "ar")
PATHS = ("/api/v1/reference/makes", "/api/v1/requests", "/page")


def token(position: int) -> str:
    return urlsafe_b64encode(f"qa-1:7f:1:{position:x}".encode()).decode().rstrip("=") + ".x"


@dataclass(frozen=True)
class Habit:
    """How the origin makes the answers of one path, and says so."""

    control: str
    vary: tuple[str, ...]
    is_personal: bool
    sets_cookie: bool
    has_etag: bool

    def made_for(self, asked: Mapping[str, str]) -> str:
        """For whom an answer is: everything of the request that it was made from."""
        parts = [f"{name}={asked.get(name)}" for name in self.vary]
        if self.is_personal:
            parts += [f"user={asked.get('authorization')}", f"cookie={asked.get('cookie')}"]
        return "; ".join(parts)


@dataclass
class TellingOrigin:
    """Writes into each answer for whom it is, and how new it is."""

    habits: Mapping[str, Habit]
    position: int = 1
    is_away: bool = False
    made: int = 0
    whose: dict[int, tuple[str, int]] = field(default_factory=dict)

    async def __call__(self, request: Request) -> Response:
        await asyncio.sleep(0)
        if self.is_away:
            raise OriginFailed("the test says so")
        asked, habit = indexed(request.headers), self.habits[request.path]
        whose = habit.made_for(asked)
        etag = f'"{abs(hash(whose))}-{self.position}"'
        headers: list[tuple[str, str]] = [("Cache-Control", habit.control), ("Consistency-Token", token(self.position))]
        headers += [("Vary", ", ".join(habit.vary))] if habit.vary else []
        headers += [("Set-Cookie", whose)] if habit.sets_cookie else []
        headers += [("ETag", etag)] if habit.has_etag else []
        if asked.get("if-none-match") == etag and habit.has_etag:
            return Response(304, tuple(headers))
        return Response(200, tuple(headers), f"{whose}|{self.position}".encode())


# What is made for one user is told so, in every way that a shared cache must understand.
personal = st.builds(
    Habit,
    control=st.sampled_from(("private", "private, max-age=60", "no-store", "no-store, public", "private, s-maxage=60")),
    vary=st.sets(st.sampled_from(("accept-language", "x-region"))).map(lambda names: tuple(sorted(names))),
    is_personal=st.just(True),
    sets_cookie=st.booleans(),
    has_etag=st.booleans(),
)
shared = st.builds(
    Habit,
    control=st.sampled_from(
        (
            "max-age=60",
            "public, max-age=60",
            "s-maxage=60, stale-while-revalidate=60",
            "no-cache",
            "max-age=10, stale-if-error=600",
            "max-age=60, must-revalidate",
            "",
        )
    ),
    vary=st.sets(st.sampled_from(("accept-language", "accept-encoding", "x-region", "x-plan"))).map(
        lambda names: tuple(sorted(names))
    ),
    is_personal=st.just(False),
    sets_cookie=st.booleans(),
    has_etag=st.booleans(),
)
# Answers to somebody with Authorization that say neither public nor private are personal by RFC 9111 3.5.
by_authorization = st.builds(
    Habit,
    control=st.sampled_from(("max-age=60", "max-age=60, stale-while-revalidate=60", "no-cache", "")),
    vary=st.just(()),
    is_personal=st.just(True),
    sets_cookie=st.just(False),
    has_etag=st.booleans(),
)
optional = st.one_of(st.none(), st.none(), st.sampled_from(("1", "2")))


def request_of(path: str, known: bool, parts: Mapping[str, str | None]) -> Request:
    headers: Fields = tuple((name, value) for name, value in parts.items() if value is not None)
    if known:
        headers = (*headers, ("Authorization", f"Bearer {parts.get('Cookie') or 'x'}"))
    return Request("GET", path, headers)


requests = st.builds(
    request_of,
    st.sampled_from(PATHS),
    st.booleans(),
    st.fixed_dictionaries(
        {
            "Cookie": st.sampled_from((None, "user=1", "user=2")),
            "Accept-Language": st.sampled_from((None, "ar", "en", "fr", "ar-QA, en;q=0.1")),
            "Accept-Encoding": st.sampled_from((None, "gzip", "br, gzip", "gzip;q=0")),
            "X-Region": st.sampled_from((None, None, "qa", "sa")),
            "X-Plan": optional,
            "Cache-Control": st.sampled_from((None, None, None, "no-cache", "max-stale", "no-store")),
            "Consistency-Token": st.sampled_from((None, None, token(1), token(2), token(3))),
            "If-None-Match": st.sampled_from((None, None, '"x"')),
            "Range": st.sampled_from((None, None, None, "bytes=0-999")),
            "Connection": st.sampled_from(
                (None, None, None, "close", "X-Plan", "Authorization, Cookie", "x-region,X-Plan", "Consistency-Token")
            ),
        }
    ),
)
turns = st.one_of(
    st.tuples(st.lists(st.tuples(requests, st.sampled_from(("qa", "sa"))), min_size=1, max_size=8), st.integers(0, 40)),
    st.sampled_from(("write", "away", "back", "purge")),
)


def normal(asked: dict[str, str], path: str, region: str) -> dict[str, str]:
    """The request as the origin sees it."""
    for name in asked.pop("connection", "").lower().split(","):
        asked.pop(name.strip(), None)
    asked["accept-encoding"] = welcome_codings(asked.get("accept-encoding"))
    asked["accept-language"] = preferred_language(asked.get("accept-language"), LANGUAGES)
    if path.startswith("/api/v1/reference"):
        asked.setdefault("x-region", region)
    return asked


def check_is_for(request: Request, region: str, response: Response, habit: Habit) -> None:
    if response.status not in (200, 206):
        return
    whose, _, position = response.body.decode().rpartition("|")
    asked = normal(indexed(request.headers), request.path, region)
    assert whose == habit.made_for(asked), "somebody else's"
    seen = asked.get("consistency-token")
    if seen is not None and (response.field("Cache-Status") or "").startswith("meridian-test; hit"):
        assert covers(token(int(position)), seen), "older than what the client has seen"
    cookie = response.field("Set-Cookie")
    assert cookie is None or cookie == habit.made_for(asked), "somebody else's cookie"


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries({path: st.one_of(personal, shared, by_authorization) for path in PATHS}),
    st.lists(turns, max_size=14),
)
async def test_no_answer_reaches_anyone_for_whom_it_was_not_made(
    habits: Mapping[str, Habit], play: list[tuple[list[tuple[Request, str]], int] | str]
) -> None:
    origin, background, now = TellingOrigin(habits), Background(), 1_780_000_000.0
    edge = Edge(
        name="meridian-test",
        cache=MemoryCache(Bounds()),
        origin=origin,
        clock=lambda: now,
        spawn=background.spawn,
        languages=LANGUAGES,
    )
    for turn in play:
        if turn == "write":
            origin.position += 1
        elif turn in ("away", "back"):
            origin.is_away = turn == "away"
        elif isinstance(turn, str):
            await edge.purge(Purge(region="qa"))
        else:
            asked, later = turn
            known = [(r, region) for r, region in asked if _is_told(r, habits[r.path])]
            answers = await asyncio.gather(*(edge.handle(request, region) for request, region in known))
            for (request, region), response in zip(known, answers, strict=True):
                check_is_for(request, region, response, habits[request.path])
            now += later
    await background.done()


def _is_told(request: Request, habit: Habit) -> bool:
    """Whether HTTP tells a cache that the answer is personal: by its Cache-Control, or by Authorization."""
    told = "private" in habit.control or "no-store" in habit.control
    return not habit.is_personal or told or request.field("Authorization") is not None
