"""Words to write stories with. No pytest: Pyodide runs it."""

from collections.abc import Mapping
from typing import Final

from edge.messages import Fields, Request
from tests.edge.table import EDGE_NAME, Answer, Case, Step

PATH: Final = "/-/thing"


def get(path: str = PATH, /, query: str = "", method: str = "GET", content: str = "", **headers: str) -> Request:
    """A request; `Accept_Language="ar"` is a header, and `content` the body."""
    return Request(method, path, fields(headers), query, content.encode())


def says(body: bytes = b"one", status: int = 200, /, **headers: str) -> Answer:
    """What the origin says."""
    return Answer(status, fields(headers), body)


AWAY: Final = Answer(fails=True)


def fields(headers: Mapping[str, str]) -> Fields:
    """Headers written as Python's names."""
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())


def status(text: str) -> dict[str, str]:
    """What Cache-Status must be, after the edge's name."""
    return {"Cache-Status": f"{EDGE_NAME}; {text}"}


MISS: Final = status("fwd=uri-miss; fwd-status=200; stored")


def hit(ttl: int) -> dict[str, str]:
    """The Cache-Status of a hit."""
    return status(f"hit; ttl={ttl}")


def story(sentence: str, *steps: Step) -> Case:
    """A case."""
    return Case(sentence, steps)
