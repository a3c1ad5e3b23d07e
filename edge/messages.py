"""What comes in and what goes out of the edge: frozen values that belong to no server."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

Fields = tuple[tuple[str, str], ...]
"""Header fields in order, as (name, value); a name may stand more than once."""

Stream = AsyncGenerator[bytes, None]
"""A body that arrives piece by piece. Whoever has one reads it to its end or closes it (`aclose`)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `path` is as it was sent, percent-encoded and without the query; `query` without its question mark.

    A large body is a `stream`, and `body` is empty then.
    """

    method: str
    path: str
    headers: Fields = ()
    query: str = ""
    body: bytes = b""
    stream: Stream | None = None

    @property
    def url(self) -> str:
        """Path and query as they were sent."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def field(self, name: str) -> str | None:
        """All values of a header joined by commas, as HTTP lets any recipient do; None if it was not sent."""
        return joined(self.headers, name)


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `body` is empty for HEAD and 304; `Content-Length` is then what the GET would have.

    A large body is a `stream`, and `body` is empty then.
    """

    status: int
    headers: Fields = ()
    body: bytes = b""
    stream: Stream | None = None

    def field(self, name: str) -> str | None:
        """All values of a header joined by commas; None if it is not there."""
        return joined(self.headers, name)


def joined(fields: Fields, name: str) -> str | None:
    """The values of one header, joined by commas; names are compared without case."""
    wanted = name.lower()
    values = [value for key, value in fields if key.lower() == wanted]
    return ", ".join(values) if values else None
