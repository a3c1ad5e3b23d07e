"""Asking the origin for an answer, and keeping it if it may be kept."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Final

from edge.asked import Asked, for_all, in_one_form
from edge.bounds import Bounds
from edge.cache import Cache, Entry, Purge
from edge.collapsing import Landed
from edge.directives import NONE
from edge.fields import indexed, seconds
from edge.invalidation import Recent
from edge.messages import Request, Response, Stream
from edge.origin import Origin, OriginFailed
from edge.policy import ERRORS, Heard, entry_of, is_same, updated, whole_length_fits, why_not
from edge.reuse import is_used_on_error
from edge.variants import Variants

TOO_LARGE: Final = "too-large"
TOO_SLOW: Final = "too-slow"
_GATHERING_SHARE: Final = 0.5  # of the time that others wait: beyond it, the body goes through as it comes
GROUPS_MAX: Final = 128
"""An answer of more groups is not kept: each costs as much as a small answer."""


class Fetcher:
    """Asks one origin on behalf of one cache."""

    def __init__(
        self,
        *,
        cache: Cache,
        origin: Origin | None,
        clock: Callable[[], float],
        bounds: Bounds,
        variants: Variants,
    ) -> None:
        self._cache, self._origin, self._clock = cache, origin, clock
        self._bounds, self._variants = bounds, variants
        self._recent = Recent()

    @property
    def has_no_origin(self) -> bool:
        """Whether there is nobody to ask."""
        return self._origin is None

    def purged(self, purge: Purge) -> None:
        """An answer that was asked for before this purge is not kept after it."""
        self._recent.add(purge)

    async def ask(self, request: Request) -> Response:
        """The origin's own answer. Raises OriginFailed."""
        if self._origin is None:
            raise OriginFailed("there is no origin")
        return await self._origin(request)

    async def fetch(self, asked: Asked, entry: Entry | None, *, as_sent: bool = False) -> Landed:
        """The origin's answer to a GET, kept if it may be; with an entry, whether that is still good.

        `as_sent`: with the client's own conditions and ranges, because nobody else will have the answer.
        """
        normalised = self._variants.normalised(asked.fields)
        request = in_one_form(asked, normalised) if as_sent else for_all(asked, normalised, entry)
        mark, asked_at = self._recent.opened(), self._clock()
        try:
            response = await self.ask(request)
            heard = Heard(response.status, response.headers, asked.fields, asked_at, self._clock())
            if response.status == 304 and entry is not None:
                return await self._updated(asked, entry, heard, mark)
            return await self._fetched(asked, entry, heard, response, mark)
        except OriginFailed as failure:
            return Landed(failure=failure)
        finally:
            self._recent.closed(mark)

    async def head(self, asked: Asked, entry: Entry | None) -> Response:
        """The origin's answer to a HEAD, which tells of the entry whether it is still good. Raises OriginFailed."""
        mark, asked_at = self._recent.opened(), self._clock()
        try:
            response = await self.ask(in_one_form(asked, self._variants.normalised(asked.fields)))
            heard = Heard(response.status, response.headers, asked.fields, asked_at, self._clock())
            if entry is not None and is_same(entry, heard):
                await self._updated(asked, entry, heard, mark)
            elif entry is not None and _is_for_all(heard):
                await self._cache.purge(Purge(url=asked.key), self._clock())
            return replace(response, headers=heard.passed_on)
        finally:
            self._recent.closed(mark)

    async def _updated(self, asked: Asked, entry: Entry, heard: Heard, mark: int) -> Landed:
        fresh = updated(entry, heard)
        response = Response(entry.status, fresh.passed_on, entry.body)
        reason = why_not(fresh, asked.directives)
        if reason is not None:
            if _has_no_login(heard) and why_not(fresh, NONE) is not None:
                await self._cache.drop(asked.key)
            return Landed(response=response, status=heard.status, reason=reason)
        return replace(await self._kept(asked, fresh, entry.body, mark), response=response, status=heard.status)

    async def _fetched(self, asked: Asked, entry: Entry | None, heard: Heard, response: Response, mark: int) -> Landed:
        response = replace(response, headers=heard.passed_on)
        if entry is not None and self._is_worse(entry, heard):
            return Landed(response=response, status=heard.status, reason="error")
        reason = why_not(heard, asked.directives) or self._too_large(heard)
        if reason is None:
            within_s = self._bounds.wait_s * _GATHERING_SHARE
            response, reason = await gathered(response, self._bounds.object_bytes, within_s=within_s)
            reason = reason or (None if whole_length_fits(response) else "incomplete")
        if reason is not None:
            if entry is not None and _is_for_all(heard) and (reason == TOO_LARGE or why_not(heard, NONE) is not None):
                await self._cache.drop(asked.key)
            return Landed(response=response, status=heard.status, reason=reason)
        return replace(await self._kept(asked, heard, response.body, mark), response=response, status=heard.status)

    async def _kept(self, asked: Asked, heard: Heard, body: bytes, mark: int) -> Landed:
        entry = entry_of(heard, body, region=asked.region, variants=self._variants)
        if len(entry.groups) > GROUPS_MAX:
            return Landed(entry=entry, reason="too-many-groups")
        # One that came in after this was asked for may tell of a later time.
        newer = any(
            other.selecting == entry.selecting
            and other.received_at > heard.asked_at
            and not other.is_ahead(heard.received_at)
            for other in await self._cache.get(asked.key)
        )
        if newer or self._recent.meets(mark, asked.key, entry):
            return Landed(entry=entry, reason="outdated")
        is_stored = await self._cache.put(asked.key, entry)
        return Landed(entry=entry, is_stored=is_stored, reason=None if is_stored else "no-room")

    def _is_worse(self, entry: Entry, heard: Heard) -> bool:
        return heard.status in ERRORS and is_used_on_error(
            entry, heard.received_at, is_disconnected=False, default_s=self._bounds.if_error_s
        )

    def _too_large(self, heard: Heard) -> str | None:
        length = seconds(indexed(heard.headers).get("content-length"))
        return TOO_LARGE if length is not None and length > self._bounds.object_bytes else None


def _is_for_all(heard: Heard) -> bool:
    """Whether an answer tells everybody what has become of what is kept, and not only whoever asked, as he asked.

    Otherwise anybody could empty the cache: by a login that is none, or by a request that must be refused.
    """
    is_about_it = heard.status < 400 and heard.status not in (206, 304)
    return _has_no_login(heard) and (is_about_it or heard.status in (404, 410))


def _has_no_login(heard: Heard) -> bool:
    return "authorization" not in heard.asked and "cookie" not in heard.asked


async def gathered(response: Response, bytes_max: int, *, within_s: float) -> tuple[Response, str | None]:
    """The response with its whole body, if that is no larger and comes in no longer.

    Otherwise with a stream that begins with what was read, and why. Raises OriginFailed when it breaks off.
    """
    stream = response.stream
    if stream is None:
        if len(response.body) <= bytes_max:
            return response, None
        return replace(response, body=b"", stream=_once(response.body)), TOO_LARGE
    pieces, size, loop = [], 0, asyncio.get_running_loop()
    until = loop.time() + within_s
    try:
        async for piece in stream:
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max or loop.time() > until:
                response = replace(response, stream=_chained(pieces, stream))
                return response, TOO_LARGE if size > bytes_max else TOO_SLOW
    except BaseException:
        await stream.aclose()
        raise
    return replace(response, body=b"".join(pieces), stream=None), None


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _chained(read: list[bytes], rest: Stream) -> AsyncGenerator[bytes, None]:
    try:
        while read:
            yield read.pop(0)
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()
