"""Where answers come from when they are not at hand: one Protocol, and how it fails."""

from typing import Protocol

from edge.messages import Request, Response


class OriginFailed(Exception):
    """The origin gave no whole answer: it could not be reached, broke off, spoke no HTTP, or took too long.

    `timed_out` tells a 504 from a 502. The text says what happened, without any address.
    """

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class Origin(Protocol):
    """Answers a request. Which server that is, is not for the request to say."""

    async def __call__(self, request: Request) -> Response:
        """The origin's whole answer, or its head with a stream. Raises OriginFailed; a stream may raise it later."""
        ...
