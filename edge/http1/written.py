"""Writing the head of an answer."""

from http import HTTPStatus

from edge.fields import without
from edge.messages import Fields, Response

_LENGTH = frozenset({"content-length"})
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Unwritable(Exception):
    """An answer whose head would not be one: a line break or a foreign letter in a header."""


def is_bodiless(method: str, status: int) -> bool:
    """Whether an answer ends with its head, whatever its Content-Length says (RFC 9112 6.3)."""
    return method == "HEAD" or status in (204, 304)


def head_of(response: Response, *, method: str, date: str, keep_alive: bool, is_old: bool) -> bytes:
    """The head as it goes out, its empty line included, with how the body ends. Raises Unwritable.

    A body whose length is not known goes out in chunks; to an old client until the connection closes.
    """
    status, headers = response.status, response.headers
    if status == 204:  # it may not say how long the body is that it has not (RFC 9110 8.6)
        headers = without(headers, _LENGTH)
    text = f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n" + "".join([f"{n}: {v}\r\n" for n, v in headers])
    if text.count("\n") != len(headers) + 1:
        raise Unwritable
    lower = text.lower()
    if "\ndate: " not in lower:
        text += f"Date: {date}\r\n"
    if "\ncontent-length: " not in lower and not is_bodiless(method, status):
        text += _framing(response, is_old=is_old)
    if not keep_alive:
        text += "Connection: close\r\n"
    elif is_old:
        text += "Connection: keep-alive\r\n"
    try:
        return (text + "\r\n").encode("latin-1")
    except UnicodeEncodeError as exc:
        raise Unwritable from exc


def length_of(headers: Fields) -> int | None:
    """The Content-Length of an answer, if it has one."""
    for name, value in headers:
        if name.lower() == "content-length" and value.isdecimal():
            return int(value)
    return None


def _framing(response: Response, *, is_old: bool) -> str:
    if response.stream is None:
        return f"Content-Length: {len(response.body)}\r\n"
    return "" if is_old else "Transfer-Encoding: chunked\r\n"
