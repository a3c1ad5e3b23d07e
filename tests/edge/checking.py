"""What every runner of the table shares: an origin that says its lines, and one check. No pytest: Pyodide runs it."""

from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from re import sub

from edge.messages import Fields, Request, Response
from edge.origin import OriginFailed
from tests.edge.table import START, Answer, Case, Step


class ScriptedOrigin:
    """Says what the step at hand has it say, each line once, and keeps the requests it was asked with."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self._lines: list[Answer] = []
        self._now = START

    def expect(self, step: Step) -> None:
        """The step that follows: forget what was asked before."""
        self.asked, self._lines, self._now = [], lines_of(step), now_at(step)

    async def __call__(self, request: Request) -> Response:
        """The next line. Raises OriginFailed where the table has it so; AssertionError when there is none left."""
        self.asked.append(request)
        assert self._lines, f"the origin was asked once too often: {request.method} {request.url}"
        line = self._lines.pop(0)
        if line.fails:
            raise OriginFailed("the table says so")
        return said(line, self._now)


def now_at(step: Step) -> float:
    """The time of a step, Unix seconds."""
    return START + step.at


def lines_of(step: Step) -> list[Answer]:
    """What the origin says in a step, in order; as many times it must be asked."""
    return [line for line in (step.origin, step.refresh) if line is not None]


def said(line: Answer, now: float) -> Response:
    """A line as a response of that moment, with its Date."""
    fields = dated(line.headers, now)
    if not any(name.lower() == "date" for name, _ in fields):
        fields = (*fields, ("Date", formatdate(now, usegmt=True)))
    return Response(line.status, fields, line.body)


def dated(fields: Fields, now: float) -> Fields:
    """Fields with each `{at+N}` and `{at-N}` replaced by the HTTP date that far from `now`."""
    return tuple((name, dated_text(value, now)) for name, value in fields)


def dated_text(text: str, now: float) -> str:
    """A text with its `{at+N}` and `{at-N}` replaced."""
    return sub(r"\{at([+-]\d+)\}", lambda found: formatdate(now + int(found[1]), usegmt=True), text)


def with_dates(case: Case) -> Case:
    """The case with the dates in its requests written out."""

    def step(old: Step) -> Step:
        return replace(old, request=replace(old.request, headers=dated(old.request.headers, now_at(old))))

    return replace(case, steps=tuple(step(old) for old in case.steps))


def marked(case: Case, mark: str) -> Case:
    """The case with every `/-/` of its paths and header values made its own, so that cases can share a cache."""

    def own(text: str) -> str:
        return text.replace("/-/", f"/{mark}/")

    def all_own(fields: Fields) -> Fields:
        return tuple((name, own(value)) for name, value in fields)

    def line(answer: Answer | None) -> Answer | None:
        return answer and replace(answer, headers=all_own(answer.headers))

    def step(old: Step) -> Step:
        request = replace(old.request, path=own(old.request.path), headers=all_own(old.request.headers))
        has = {name: own(value) for name, value in old.has.items()}
        return replace(old, request=request, origin=line(old.origin), refresh=line(old.refresh), has=has)

    return replace(case, steps=tuple(step(old) for old in case.steps))


def check(step: Step, response: Response, asked: Sequence[Request]) -> None:
    """Raises AssertionError, in words, unless the response and what the origin was asked are what the step says."""
    assert response.status == step.status, f"status {response.status}, not {step.status}: {response}"
    if step.body is not None:
        assert response.body == step.body, f"body {response.body[:200]!r}, not {step.body[:200]!r}"
    for name, value in step.has.items():
        found, wanted = response.field(name), dated_text(value, now_at(step))
        assert found == wanted, f"{name}: {found!r}, not {wanted!r}"
    for name in step.lacks:
        assert response.field(name) is None, f"{name}: {response.field(name)!r} should not be there"
    assert response.field("Cache-Status"), "every answer has a Cache-Status"
    _check_asked(step, asked)


def _check_asked(step: Step, asked: Sequence[Request]) -> None:
    times = len(lines_of(step))
    assert len(asked) == times, f"the origin was asked {len(asked)} times, not {times}"
    if not asked:
        return
    for name, value in step.sent.items():
        found, wanted = asked[0].field(name), value and dated_text(value, now_at(step))
        assert found == wanted, f"sent {name}: {found!r}, not {wanted!r}"
