"""The stage on which a journey is played: it speaks HTTP as each person's app, and tells what is done and answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, FormData

Json = dict[str, Any]
Kind = Literal["title", "step", "call", "outcome", "blank"]
Show = Callable[[Kind, str], None]
"""Prints a line; the kind says what it is, so that a terminal can set them apart."""

CALL_S: Final = 30.0
"""How long one call may take: twice the gateway's own deadline."""
WAIT_S: Final = 30.0
"""How long something that comes by itself, as a notification does, is waited for."""
PAUSE_S: Final = 0.8
"""Between two steps, so that a person can read along."""
PAGES_MAX: Final = 50
_LOOK_S: Final = 0.3
_ID_CHARS: Final = 36


class StepFailed(Exception):
    """A step was not as it should be: which one, the request, and what was wrong, each on a line of its own."""


@dataclass(slots=True)
class Person:
    """Somebody who is logged in, and what their app keeps."""

    name: str
    id: str
    token: str
    seen: str

    @property
    def first(self) -> str:
        """How they are spoken of."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered. `seen` is the answer's consistency token, empty where there is none."""

    status: int
    json: Json
    body: bytes
    seen: str


class Stage:
    """Plays steps one after the other. Raises StepFailed for the first that is not as it should be."""

    def __init__(self, session: ClientSession, show: Show, *, pause_s: float) -> None:
        self._session = session
        self._show = show
        self._pause_s = pause_s
        self._steps = 0
        self._step = "the beginning"
        self._request = ""
        self._hidden = False

    def title(self, text: str) -> None:
        """Begin a journey."""
        self._steps = 0
        self._show("blank", "")
        self._show("title", text)

    async def step(self, text: str) -> None:
        """Begin a step."""
        await asyncio.sleep(self._pause_s)
        self._steps += 1
        self._step = f"{self._steps}. {text}"
        self._show("blank", "")
        self._show("step", f"{self._steps:>3}. {text}")

    def tell(self, text: str) -> None:
        """Say what came of a call."""
        self._show("outcome", f"     {text}")

    def expect(self, holds: bool, what: str) -> None:
        """Fail the step unless `what` holds."""
        if not holds:
            raise self.failed(f"expected: {what}")

    def failed(self, *why: str) -> StepFailed:
        """The error that tells what the step failed for."""
        return StepFailed("\n".join([f"failed at step {self._step}", *(f"  {line}" for line in (self._request, *why))]))

    async def post(self, who: Person | None, path: str, body: Json | FormData | None = None) -> Json:
        """A POST that must succeed."""
        return (await self.call(who, "POST", path, body)).json

    async def look(self, who: Person | None, path: str, **query: str) -> Json:
        """A GET that must succeed; it also shows what somebody else did a moment ago."""
        return (await self.call(who, "GET", path, query=query)).json

    async def every(self, who: Person, path: str, **query: str) -> list[Json]:
        """All items of a list, page by page."""
        page = await self.look(who, path, limit="100", **query)
        items: list[Json] = page["items"]
        for _ in range(PAGES_MAX):
            if page["next"] is None:
                break
            page = await self.look(who, path, limit="100", cursor=page["next"], **query)
            items += page["items"]
        return items

    async def call(
        self,
        who: Person | None,
        method: str,
        path: str,
        body: Json | FormData | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200, 201),
    ) -> Answer:
        """Any call, and a line that tells of it. Fails the step for an answer whose status is not in `accept`."""
        shown = "&".join(f"{name}={value}" for name, value in (query or {}).items() if name != "cursor")
        self._request = f"{method} {path}{'?' if shown else ''}{shown}"
        answer, route = await self._sent(who, method, path, body, query)
        if not self._hidden:
            self._show("call", f"     {shortened(self._request)} -> {answer.status}, {said_of(route)}")
        if answer.status not in accept:
            raise self.failed(*problem(answer))
        return answer

    async def _sent(
        self, who: Person | None, method: str, path: str, body: Json | FormData | None, query: Mapping[str, str] | None
    ) -> tuple[Answer, str]:
        sent: dict[str, Any] = {"data": body} if isinstance(body, FormData) else {} if body is None else {"json": body}
        try:
            async with self._session.request(
                method,
                f"/api/v1{path}",
                params=query,
                headers=_headers(who, method),
                timeout=ClientTimeout(total=CALL_S),
                **sent,
            ) as response:
                answer = await _read(response)
        except (ClientError, TimeoutError) as exc:
            raise self.failed(f"no answer: {exc or 'it took too long'}") from exc
        if who is not None:
            who.seen = answer.seen or who.seen
        return answer, response.headers.get("Meridian-Route", "")

    async def wait(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Look again and again until something has come about by itself; only the first look is shown."""
        deadline = monotonic() + WAIT_S
        try:
            while not await condition():
                if monotonic() > deadline:
                    raise self.failed(f"expected within {WAIT_S:.0f} s: {what}")
                self._hidden = True
                await asyncio.sleep(_LOOK_S)
        finally:
            self._hidden = False


def _headers(who: Person | None, method: str) -> dict[str, str]:
    headers = {"Consistency": "strong"} if method == "GET" else {}
    if who is not None:
        headers["Authorization"] = f"Bearer {who.token}"
        if who.seen:
            headers["Consistency-Token"] = who.seen
    return headers


async def _read(response: ClientResponse) -> Answer:
    body = await response.read()
    try:
        found = await response.json(content_type=None) if "json" in response.headers.get("Content-Type", "") else None
    except ValueError:
        found = None
    seen = response.headers.get("Consistency-Token", "")
    return Answer(response.status, found if isinstance(found, dict) else {}, body, seen)


def problem(answer: Answer) -> list[str]:
    """What a refusal says, a line for each thing."""
    told = answer.json
    if "code" not in told:
        return [f"answered {answer.status}, and no problem that is known: is this a Meridian gateway?"]
    fields = [f"{error.get('field')}: {error.get('message')}" for error in told.get("errors", [])]
    return [f"{answer.status} {told['code']}: {told.get('detail')}", *fields, f"request_id {told.get('request_id')}"]


def shortened(request: str) -> str:
    """A request with its ids cut short, so that its line fits a terminal."""
    return "/".join(f"{part[:8]}~" if len(part) == _ID_CHARS else part for part in request.split("/"))


def said_of(route: str) -> str:
    """What a `Meridian-Route` like `sa-2/replica; by=id; epoch=7` says; for many shards or none it names the region."""
    where, *more = (part.strip() for part in route.split(";"))
    node, _, role = where.partition("/")
    by = next((part.removeprefix("by=") for part in more if part.startswith("by=")), "")
    place = where if role not in ("", "none") else f"region {node}" if node else "no route"
    return f"{place}{f' by {by}' if by else ''}"
