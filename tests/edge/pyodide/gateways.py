"""The gateways behind the Worker in Pyodide: what its `fetch` reaches."""

from typing import Any

import js  # type: ignore[import-not-found]

from edge.messages import Request
from edge.worker.javascript import bytes_of, fields_of, js_bytes, js_headers, options
from tests.edge.checking import lines_of, now_at, said
from tests.edge.table import START, Answer, Step

_BODILESS = frozenset({204, 205, 304})


class Gateways:
    """What the gateways say, and the time. `places` are those that were asked, `away` those that cannot be reached."""

    def __init__(self) -> None:
        self.now = START
        self.asked: list[Request] = []
        self.places: list[str] = []
        self.away: frozenset[str] = frozenset()
        self.body: Any = None
        """A JavaScript stream to send in the place of an answer's own body."""
        self._lines: list[Answer] = []

    def expect(self, step: Step) -> None:
        """The step that follows."""
        self.say(*lines_of(step), now=now_at(step))

    def say(self, *lines: Answer, now: float = START, away: frozenset[str] = frozenset(), body: Any = None) -> None:
        """What they will say, each line once; to be asked more often is to reach nobody."""
        self.now, self.asked, self.places, self._lines = now, [], [], list(lines)
        self.away, self.body = away, body

    async def answer(self, url: str, init: Any) -> Any:
        """The next line as a JavaScript Response; None where the gateway cannot be reached."""
        place = js.URL.new(url)
        self.places.append(place.origin)
        if place.origin in self.away:
            return None
        body = await bytes_of(js.Response.new(init.body)) if getattr(init, "body", None) else b""
        query = place.search.removeprefix("?")
        self.asked.append(Request(init.method, place.pathname, fields_of(init.headers), query, body))
        line = self._lines.pop(0) if self._lines else Answer(fails=True)
        return None if line.fails else self._response(line, init.method)

    def _response(self, line: Answer, method: str) -> Any:
        response = said(line, self.now)
        init = options(status=response.status)
        init.headers = js_headers(response.headers)
        if response.status in _BODILESS or method == "HEAD":
            return js.Response.new(None, init)
        return js.Response.new(self.body or js_bytes(response.body), init)
