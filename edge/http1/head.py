"""Reading the head of a request (RFC 9112): one way to understand it, or none.

Whatever two readers in a row could understand in two ways is refused, because what the second one takes for another
request is smuggled past the first (RFC 9112 11.2).
"""

import re
from dataclasses import dataclass

from edge.bounds import Bounds
from edge.messages import Fields

END = b"\r\n\r\n"
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# No `[ \t]*` before the value: beside a value that may be spaces it would be tried in every way there is.
_FIELD = rf"({_WORD}):([\t\x20-\x7e\x80-\xff]*)\r\n"
_START = re.compile(rf"({_WORD}) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\r\n")
_FIELDS = re.compile(rf"(?:{_FIELD})*\r\n")
_EACH = re.compile(_FIELD)
_ABSOLUTE = re.compile(r"https?://([^/?#]+)([/?].*)?", re.IGNORECASE)
_HOST = re.compile(r"[0-9A-Za-z.\-_~%!$&'()*+,;=]*(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*")
_RARE = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))


class Refused(Exception):
    """A request that is not answered but refused: the status, and why in words that repeat nothing of it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. `length` is how many bytes of body follow, None if they come in chunks."""

    method: str
    path: str
    query: str
    headers: Fields
    length: int | None
    keep_alive: bool
    expects: bool
    """The client waits for `100 Continue` before it sends the body."""
    is_old: bool
    """HTTP/1.0: it understands no chunks."""

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return self.length != 0


def parse(data: bytes, bounds: Bounds) -> Head:
    """The head that `data` is, its empty line included. Raises Refused."""
    text = data.decode("latin-1")
    start = _START.match(text)
    if start is None:
        raise Refused(400, "the request line cannot be read")
    method, target, major, minor = start.groups()
    if major != "1":
        raise Refused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if _FIELDS.fullmatch(text, start.end()) is None:
        raise Refused(400, "a header field cannot be read")
    headers: Fields = tuple([(name, value.strip(" \t")) for name, value in _EACH.findall(text, start.end())])
    return understood(method, target, headers, bounds, is_old=minor == "0")


def understood(method: str, target: str, headers: Fields, bounds: Bounds, *, is_old: bool) -> Head:
    """The head of which these are the parts, however they were written. Raises Refused."""
    if len(headers) > bounds.header_count:
        raise Refused(431, f"more than {bounds.header_count} header fields")
    path, query = _target(method, target, bounds)
    return _framed(method, path, query, headers, is_old=is_old)


def _target(method: str, target: str, bounds: Bounds) -> tuple[str, str]:
    if len(target) > bounds.url_bytes:
        raise Refused(414, f"an address longer than {bounds.url_bytes} bytes")
    if method in ("CONNECT", "TRACE") or _METHOD.fullmatch(method) is None:
        raise Refused(501, "a method that is not done here")
    if not target.startswith("/"):
        target = _of_absolute(target)
    if "#" in target:
        raise Refused(400, "an address with a fragment")
    path, _, query = target.partition("?")
    return path, query


def _of_absolute(target: str) -> str:
    """Path and query of an absolute address. Its host is not asked: there is one origin."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or "@" in absolute[1] or _HOST.fullmatch(absolute[1]) is None:
        raise Refused(400, "the address is not a path")
    rest = absolute[2] or "/"
    return rest if rest.startswith("/") else f"/{rest}"


def _framed(method: str, path: str, query: str, headers: Fields, *, is_old: bool) -> Head:
    rare: dict[str, list[str]] = {}
    for name, value in headers:
        if (lower := name.lower()) in _RARE:
            rare.setdefault(lower, []).append(value)
    _require_host(rare.get("host", []), is_old=is_old)
    options = ",".join(rare["connection"]).lower().replace(" ", "").split(",") if "connection" in rare else ()
    expected = rare.get("expect", [])
    if expected and [value.lower() for value in expected] != ["100-continue"]:
        raise Refused(417, "an expectation that nobody meets here")
    return Head(
        method,
        path,
        query,
        headers,
        _length(rare, is_old=is_old),
        keep_alive="keep-alive" in options if is_old else "close" not in options,
        expects=bool(expected) and not is_old,
        is_old=is_old,
    )


def _require_host(hosts: list[str], *, is_old: bool) -> None:
    if len(hosts) > 1 or (not hosts and not is_old):
        raise Refused(400, "exactly one Host is needed")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise Refused(400, "the Host is none")


def _length(rare: dict[str, list[str]], *, is_old: bool) -> int | None:
    lengths, codings = rare.get("content-length"), rare.get("transfer-encoding")
    if codings is not None:
        if lengths is not None or is_old:
            raise Refused(400, "a body whose end is told in two ways")
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise Refused(501, "a transfer coding other than chunked")
        return None
    if lengths is None:
        return 0
    if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise Refused(400, "a Content-Length that is no single number")
    return int(lengths[0])
