"""The shape of the one table of cases that every runtime of the edge answers alike. No server and no pytest in it.

A case is a story told in steps against one edge with an empty cache. Time stands still but for `at`. A runner
replaces a leading `/-/` of a path by something that no other case has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.messages import Request

EDGE_NAME = "meridian-test"
START = 1_780_000_000.0
"""The time of `at=0`, Unix seconds; a whole second."""


@dataclass(frozen=True)
class Answer:
    """What the origin says when it is asked. `Date` is the present unless the headers say otherwise.

    A header value with `{at+N}` or `{at-N}` is replaced by the HTTP date N seconds from the present.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    fails: bool = False
    """It cannot be reached."""


@dataclass(frozen=True)
class Step:
    """A request, what the origin would say, and what must come back.

    `origin` None: the origin must not be asked. `refresh`: it is asked once more, in the background. `has` and `lacks`
    are of the answer, `sent` of the request that the origin saw (None: the header must not be there).
    """

    request: Request
    origin: Answer | None = None
    status: int = 200
    body: bytes | None = None
    has: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    sent: Mapping[str, str | None] = field(default_factory=dict)
    refresh: Answer | None = None
    at: float = 0.0
    region: str = "qa"


@dataclass(frozen=True)
class Case:
    """A story; `says` is a sentence."""

    says: str
    steps: tuple[Step, ...]
