"""Where the body of a request ends: counted bytes, or chunks (RFC 9112 7.1), read strictly."""

import re
from typing import Protocol

from edge.http1.head import Refused

_LINE_BYTES_MAX = 1024
_TRAILER_BYTES_MAX = 8 * 1024
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class Frame(Protocol):
    """Takes what belongs to a body out of what was received."""

    done: bool

    def take(self, received: bytearray) -> bytes:
        """Content out of the front of `received`; b"" if there is none yet. Raises Refused."""
        ...


class Counted:
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def take(self, received: bytearray) -> bytes:
        """What is there, up to the length."""
        piece = bytes(received[: self._left])
        del received[: len(piece)]
        self._left -= len(piece)
        self.done = self._left == 0
        return piece


class Chunked:
    """A body in chunks. Extensions are passed over and trailers dropped, both bounded."""

    def __init__(self) -> None:
        self._left = 0
        self._trailer_bytes = 0
        self._state = self._size
        self.done = False

    def take(self, received: bytearray) -> bytes:
        """What is there of the present chunk, or of the next."""
        while not self.done:
            piece = self._state(received)
            if piece is None:
                return b""
            if piece:
                return piece
        return b""

    # Each state gives content, b"" after a step without any, or None if more must be received first.

    def _size(self, received: bytearray) -> bytes | None:
        line = _line(received)
        if line is None:
            return None
        size = _SIZE.fullmatch(line)
        if size is None:
            raise Refused(400, "a chunk whose size cannot be read")
        self._left = int(size[1], 16)
        self._state = self._content if self._left else self._trailer
        return b""

    def _content(self, received: bytearray) -> bytes | None:
        piece = bytes(received[: self._left])
        if not piece:
            return None
        del received[: len(piece)]
        self._left -= len(piece)
        if not self._left:
            self._state = self._end
        return piece

    def _end(self, received: bytearray) -> bytes | None:
        if len(received) < 2:
            return None
        if received[:2] != b"\r\n":
            raise Refused(400, "a chunk longer than its size")
        del received[:2]
        self._state = self._size
        return b""

    def _trailer(self, received: bytearray) -> bytes | None:
        line = _line(received)
        if line is None:
            return None
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _TRAILER_BYTES_MAX:
            raise Refused(431, "trailers that are too long")
        if line and _TRAILER.fullmatch(line) is None:
            raise Refused(400, "a trailer that cannot be read")
        self.done = not line
        return b""


def _line(received: bytearray) -> bytes | None:
    """The first line without its end; None if it is not whole."""
    end = received.find(b"\n", 0, _LINE_BYTES_MAX)
    if end < 0:
        if len(received) >= _LINE_BYTES_MAX:
            raise Refused(400, "a line of the body that is too long")
        return None
    if end == 0 or received[end - 1] != 13:
        raise Refused(400, "a line of the body that ends in a bare LF")
    line = bytes(received[: end - 1])
    del received[: end + 1]
    return line
