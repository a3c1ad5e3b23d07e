"""What comes in and what goes out of the edge: frozen values that belong to no server."""

from dataclasses import dataclass

Fields = tuple[tuple[str, str], ...]
"""Header fields in order, as (name, value); a name may stand more than once."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `path` is as it was sent, percent-encoded and without the query; `query` without its question mark."""

    method: str
    path: str
    headers: Fields = ()
    query: str = ""

    def field(self, name: str) -> str | None:
        """All values of a header joined by commas, as HTTP lets any recipient do; None if it was not sent."""
        return joined(self.headers, name)


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `body` is empty for HEAD and 304; `Content-Length` is then what the GET would have."""

    status: int
    headers: Fields = ()
    body: bytes = b""

    def field(self, name: str) -> str | None:
        """All values of a header joined by commas; None if it is not there."""
        return joined(self.headers, name)


def joined(fields: Fields, name: str) -> str | None:
    """The values of one header, joined by commas; names are compared without case."""
    wanted = name.lower()
    values = [value for key, value in fields if key.lower() == wanted]
    return ", ".join(values) if values else None
