"""Where answers come from when they are not at hand: one Protocol, and how it fails."""

from typing import Protocol

from edge.messages import Request, Response


class OriginFailed(Exception):
    """The origin gave no whole answer: it could not be reached, broke off, spoke no HTTP, or took too long.

    `timed_out` tells a 504 from a 502. `by_client`: the request broke off, which tells nothing of the origin. The text
    says what happened, without any address.
    """

    def __init__(self, reason: str, *, timed_out: bool = False, by_client: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.by_client = by_client


class Origin(Protocol):
    """Answers a request. Which server that is, is not for the request to say."""

    async def __call__(self, request: Request) -> Response:
        """The origin's whole answer, or its head with a stream. Raises OriginFailed; a stream may raise it later."""
        ...
