"""What answers the requests of a listener's connections, and what those share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, Protocol, TypeVar

from edge.bounds import Bounds
from edge.http1.head import Refused
from edge.http1.limits import Limits
from edge.messages import Request, Response, Stream

T = TypeVar("T")
_KNOWN_MAX = 256


class Service(Protocol[T]):
    """What answers. `arrived` is asked once for equal heads of a connection: it depends on its arguments alone."""

    def arrived(self, request: Request, peer: str) -> T:
        """A request as the service understands it, of a client at that address."""
        ...

    def at_once(self, arrival: T) -> Response | None:
        """The whole answer to a GET without a body, where that needs no waiting; else None. Never raises."""
        ...

    def answer(self, arrival: T, stream: Stream | None) -> Awaitable[Response]:
        """The answer; the body of the request is `stream`, whose Refused it may let through. Raises nothing else."""
        ...

    def refuse(self, refused: Refused) -> Response:
        """The answer to what cannot be read."""
        ...


@dataclass(slots=True)
class Shared(Generic[T]):
    """What the connections of a listener share.

    `date` is the present as an HTTP date; a connection that falls idle now has patience `until_idle`.

    `known` are the bytes of answers that went out since `date` was set, by the identity of the answer, which is kept
    beside them so that no other can have it.
    """

    service: Service[T]
    bounds: Bounds
    limits: Limits
    clock: Callable[[], float]
    date: str = ""
    until_idle: float = inf
    closing: bool = False
    known: dict[int, tuple[Response, bytes]] = field(default_factory=dict)

    def remember(self, known: tuple[Response, bytes]) -> None:
        """Keep the bytes of an answer, if there are not too many."""
        if len(self.known) < _KNOWN_MAX:
            self.known[id(known[0])] = known
