"""The one door to JavaScript: bytes, header fields and streams on their way between the two languages."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Any, Final

import js  # type: ignore[import-not-found]
from pyodide.ffi import JsException, to_js  # type: ignore[import-not-found]

from edge.messages import Fields, Stream

JavaScriptError: Final[type[Exception]] = JsException

_QUIET_S: Final = 15.0
"""How long a body may be silent before it counts as broken off."""


def options(**values: Any) -> Any:
    """A JavaScript object with these properties, all the way down."""
    return to_js(values, dict_converter=js.Object.fromEntries)


def js_bytes(data: bytes) -> Any:
    """The bytes as a Uint8Array of their own."""
    return to_js(data)


async def bytes_of(message: Any) -> bytes:
    """The whole body of a JavaScript Request or Response."""
    data: bytes = (await message.arrayBuffer()).to_bytes()
    return data


def fields_of(headers: Any) -> Fields:
    """The fields of JavaScript Headers: values of one name are joined already, but those of Set-Cookie."""
    return tuple((name, value) for name, value in getattr(js.Array, "from")(headers).to_py())


def js_headers(fields: Fields) -> Any:
    """JavaScript Headers with these fields."""
    return js.Headers.new(to_js([list(field) for field in fields]))


class Pieces(AsyncGenerator[bytes, None]):
    """A JavaScript ReadableStream, piece by piece.

    `broken` makes the exception that is raised when the stream breaks off or says nothing for 15 s.
    """

    def __init__(self, stream: Any, *, broken: Callable[[str], Exception]) -> None:
        self._stream = stream
        self._broken = broken
        self._reader: Any = None

    def untouched(self) -> Any:
        """The stream itself, to be handed on in one piece; None if something of it was read."""
        return None if self._reader is not None else self._stream

    async def asend(self, value: None) -> bytes:
        """The next piece."""
        if self._reader is None:
            self._reader = self._stream.getReader()
        try:
            async with asyncio.timeout(_QUIET_S):
                result = await self._reader.read()
        except TimeoutError:
            await self.aclose()
            raise self._broken("it fell silent") from None
        except JavaScriptError as exc:
            raise self._broken("it broke off") from exc
        if result.done:
            raise StopAsyncIteration
        piece: bytes = result.value.to_bytes()
        return piece

    async def athrow(self, typ: Any, val: BaseException | object = None, tb: TracebackType | None = None, /) -> bytes:
        """Stop reading, and raise what was thrown."""
        await self.aclose()
        raise typ

    async def aclose(self) -> None:
        """Tell the sender that nobody reads on."""
        try:
            await (self._reader or self._stream).cancel()
        except JavaScriptError:  # it is closed or broken already
            return


def js_stream(stream: Stream, length: int | None, spawn: Callable[[Any], None]) -> Any:
    """A JavaScript ReadableStream of the pieces: the sender's own where none was read, else one that is fed."""
    own = stream.untouched() if isinstance(stream, Pieces) else None
    if own is not None:
        return own
    fixed = getattr(js, "FixedLengthStream", None) if length is not None else None
    pipe = fixed.new(length) if fixed else js.TransformStream.new()
    spawn(_feed(stream, pipe.writable.getWriter()))
    return pipe.readable


async def _feed(stream: Stream, writer: Any) -> None:
    try:
        async for piece in stream:
            await writer.write(js_bytes(piece))
        await writer.close()
    except JavaScriptError:  # the reader has gone
        await stream.aclose()
    except Exception as exc:  # noqa: BLE001  whatever broke it: the reader must not take it for the end
        await _abort(writer, exc)


async def _abort(writer: Any, exc: Exception) -> None:
    try:
        # An Error: Python cannot await what is rejected with anything else.
        await writer.abort(js.Error.new(type(exc).__name__))
    except JavaScriptError:
        return
