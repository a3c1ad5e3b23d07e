"""The edge: a shared HTTP cache in front of one origin, and of what is shipped for when there is none."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from edge import status
from edge.asked import Asked, of_nobody, passed_on
from edge.bounds import Bounds
from edge.cache import Cache, Entry, Purge
from edge.collapsing import Flights, Landed, Spawn, closed
from edge.conditions import answered
from edge.directives import OWN_FIELD, directives
from edge.fetching import Fetcher
from edge.fields import beyond_connection, end_to_end, indexed, without
from edge.guessing import depends_on_region, for_one_client
from edge.hits import Hits
from edge.invalidation import SAFE, obsolete
from edge.messages import Request, Response, joined
from edge.origin import Origin, OriginFailed
from edge.plain import CUT, LOOKED_AT, Plain
from edge.policy import ERRORS
from edge.refusals import INTERNAL, NOT_KEPT, OVERLOADED, TIMED_OUT, UNREACHABLE, Refusal, refusal_of
from edge.resting import Resting
from edge.reuse import Found, Use, is_for_asker, is_new_enough, is_used_on_error, use_of
from edge.variants import Variants, vary_names
from edge.writes import seen_through

Shipped = Callable[[Request, str], Response | None]
"""An answer to a request from a region out of what is shipped, or None."""

_ROUNDS: Final = 3  # of joining others; variants that turn out to be different ask side by side after them
_ALONE: Final = frozenset({"authorization", "range"})
"""With one of these, and nothing kept, the answer is most likely for nobody else."""

_DETAILS: Final[Mapping[Use | None, str | None]] = {
    Use.FRESH: None,
    Use.STALE: "max-stale",
    Use.REFRESH: "stale-while-revalidate",
}
"""The uses that need no origin first, and how Cache-Status puts it."""

_PAST_THE_CACHE: Final = frozenset({"if-match", "if-unmodified-since", "transfer-encoding"})

_log: Final = logging.getLogger(__name__)


class Edge:
    """Answers requests from its cache, from its origin, or from what is shipped, in this order (RFC 9111).

    `name` stands in Cache-Status. `spawn` runs what goes on after an answer was given. `regional` are paths whose
    answers depend on the region: there the edge says which, in X-Region, if the client did not. `languages` are all
    that the origin speaks, the default first. `shipped` is asked when the origin fails and nothing kept may be used.
    `look` is the cache's `get` where that needs no waiting.
    `collapses`: whether requests may wait for one another; where each has a world of its own, they cannot.
    `failed` are the urls that failed just now, where edges of one process share that.
    """

    def __init__(
        self,
        *,
        name: str,
        cache: Cache,
        origin: Origin | None,
        clock: Callable[[], float],
        spawn: Spawn,
        bounds: Bounds | None = None,
        regional: tuple[str, ...] = ("/api/v1/reference",),
        languages: tuple[str, ...] = (),
        shipped: Shipped | None = None,
        look: Callable[[str], Sequence[Entry]] | None = None,
        collapses: bool = True,
        failed: Resting | None = None,
    ) -> None:
        self._name, self._cache, self._look, self._clock = name, cache, look, clock
        self._bounds = bounds or Bounds()
        self._regional, self._below_regional = regional, tuple(f"{path}/" for path in regional)
        self._shipped, self._collapses = shipped, collapses
        self._variants, self._spawn = Variants(languages), spawn
        self._fetcher = Fetcher(cache=cache, origin=origin, clock=clock, bounds=self._bounds, variants=self._variants)
        self._flights = Flights(spawn, wait_s=self._bounds.wait_s)
        self._apart = Resting(self._bounds.apart_s, self._bounds.apart_urls)
        self._failed = Resting(self._bounds.rest_s, self._bounds.apart_urls) if failed is None else failed
        names = ("hit", "miss", "stale", "revalidated", "collapsed", "pass", "error", "shipped", "refused", "refreshed")
        self._counts = dict.fromkeys(names, 0)
        self._hits = Hits(name, clock, self._variants, self._counts)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests came to each end, since the start."""
        return self._counts

    async def handle(self, request: Request, region: str) -> Response:
        """The answer to a request from a region. Never raises; every answer says in Cache-Status how it came about."""
        try:
            request, fields, guesses = self._read(request, region)
            if request.method == "GET" and LOOKED_AT.isdisjoint(fields):
                hit = self._hits.of(await self._cache.get(request.url), fields, guesses=guesses)
                if hit is not None:
                    return hit if CUT.isdisjoint(fields) else answered(hit, fields)
            response = await self._considered(_asked(request, fields, region))
            return for_one_client(response) if guesses and depends_on_region(response) else response
        except Exception:  # noqa: BLE001  the boundary: a client is always answered
            _log.exception("the edge failed")
            return self._refused(request, INTERNAL)

    def plain(self, request: Request, region: str) -> Plain | None:
        """A request from a region as `hit` takes it; None if it is not plain. Depends on its arguments alone."""
        request, fields, guesses = self._read(request, region)
        if request.method != "GET" or not (LOOKED_AT | CUT).isdisjoint(fields):
            return None
        return Plain(request.url, fields, guesses)

    def hit(self, plain: Plain) -> Response | None:
        """The answer at once, if it is kept, fresh and for this request; None: `handle` has to say. Never raises."""
        if self._look is None:
            return None
        try:
            return self._hits.of(self._look(plain.key), plain.fields, guesses=plain.guesses)
        except Exception:  # noqa: BLE001  the boundary: `handle` answers
            _log.exception("the edge failed")
            return None

    async def purge(self, purge: Purge) -> int:
        """Trust no longer what a purge names, kept or under way; how many kept entries it met."""
        self.purged(purge)
        return await self._cache.purge(purge, self._clock())

    def purged(self, purge: Purge) -> None:
        """Trust no longer what is under way of what was purged elsewhere from the cache that this edge shares."""
        self._fetcher.purged(purge)
        self._flights.detach(purge.url)

    def _read(self, request: Request, region: str) -> tuple[Request, dict[str, str], bool]:
        """What of a request counts; its fields by lower-case name, with the region where it may matter; and whether
        that is a guess.
        """
        fields = {name.lower(): value for name, value in request.headers}
        if "connection" in fields:
            # Taken off before anything is made of them: what the origin will not see must not be in the key.
            request = replace(request, headers=beyond_connection(request.headers))
            fields = indexed(request.headers)
        if len(fields) != len(request.headers):
            fields = indexed(request.headers)
        if not (request.path.startswith(self._below_regional) or request.path in self._regional):
            return request, fields, False
        guesses = "x-region" not in fields
        if guesses and region:
            fields["x-region"] = region
        return request, fields, guesses

    async def _considered(self, asked: Asked) -> Response:
        refusal = refusal_of(asked, self._bounds)
        if refusal is not None:
            self._counts["refused"] += 1
            return self._refused(asked.request, refusal)
        request = asked.request
        if request.method not in ("GET", "HEAD"):
            return await self._passed(asked, "method")
        has_body = request.body or request.stream is not None or asked.fields.get("content-length", "0") != "0"
        if has_body or not _PAST_THE_CACHE.isdisjoint(asked.fields):
            return await self._passed(asked, "bypass")
        return await self._looked_up(asked)

    async def _looked_up(self, asked: Asked) -> Response:
        """From what is kept; else from the origin, together with whoever asks for the same."""
        for _ in range(_ROUNDS):
            found = await self._found(asked)
            response = self._kept(asked, found)
            if response is not None:
                return response
            if self._is_away(asked, found):
                response = self._instead(asked, found, Landed(failure=OriginFailed("it failed just now")))
                if response is not None:
                    return response
            if asked.is_head:
                return await self._head(asked, found)
            if not self._may_join(asked, found):
                break
            response = await self._together(asked, found)
            if response is not None:
                return response
        return await self._alone(asked, await self._found(asked))

    async def _found(self, asked: Asked) -> Found:
        entries = await self._cache.get(asked.key)
        entry = next((entry for entry in entries if self._variants.matches(entry, asked.fields)), None)
        if entry is not None and not is_for_asker(entry, asked.fields):
            return Found(None, None, entry.selecting, "request")
        if entry is not None:
            return Found(entry, use_of(entry, asked.fields, asked.directives, self._clock()), entry.selecting)
        if not entries:
            return Found(None, None, ())
        names = vary_names(joined(entries[0].headers, "Vary")) or ()
        return Found(None, None, self._variants.selecting(names, asked.fields), "vary-miss")

    def _kept(self, asked: Asked, found: Found) -> Response | None:
        """The answer from what is kept, if that may be used, or if nothing else may be asked."""
        entry, now = found.entry, self._clock()
        if entry is not None and found.use in _DETAILS:
            self._counts["hit" if found.use is Use.FRESH else "stale"] += 1
            if found.use is Use.REFRESH:
                self._refresh(of_nobody(asked, entry), found)
            return self._of_entry(asked, entry, status.hit(self._name, entry.ttl_s(now), _DETAILS[found.use]))
        if "only-if-cached" in asked.directives:
            self._counts["refused"] += 1
            return self._refused(asked.request, NOT_KEPT)
        return None

    def _is_away(self, asked: Asked, found: Found) -> bool:
        """Whether there is no origin, or it failed to answer this just now, or lets us wait for it."""
        if self._fetcher.has_no_origin or self._failed.has(asked.key, self._clock()):
            return True
        flight = self._flights.get((asked.key, found.selecting))
        return flight is not None and flight.is_late

    def _patience_s(self, asked: Asked, found: Found) -> float | None:
        """For how long the origin is waited for: not long, where something can be said without it."""
        away = Landed(failure=OriginFailed("it lets us wait"))
        has_other = (found.entry is not None and self._is_used_on_error(asked, found.entry, away)) or (
            self._shipped is not None and self._shipped(asked.request, asked.region) is not None
        )
        return self._bounds.patience_s if has_other else None

    def _may_join(self, asked: Asked, found: Found) -> bool:
        """Whether the answer may turn out to be for others too."""
        if not self._collapses or found.use is Use.REQUESTED or "no-store" in asked.directives:
            return False
        if found.entry is None and not _ALONE.isdisjoint(asked.fields):
            return False
        return not self._apart.has(asked.key, self._clock())

    async def _together(self, asked: Asked, found: Found) -> Response | None:
        """What the first to ask gets; None if it cannot be shared with this one."""
        key = (asked.key, found.selecting)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights.start(key, self._fetched(asked, found.entry), has_leader=True)
            landed = await self._flights.lead(flight, within_s=self._patience_s(asked, found))
            return self._answer(asked, found, landed)
        if len(flight.followers) >= self._bounds.waiting:
            self._counts["refused"] += 1
            return self._refused(asked.request, OVERLOADED, found.why)
        landed = await self._flights.follow(flight, within_s=self._patience_s(asked, found))
        if _failed(landed):
            return self._answer(asked, found, landed)
        entry = landed.entry
        if entry is None or not self._variants.matches(entry, asked.fields):
            return None
        use = use_of(entry, asked.fields, asked.directives, self._clock())
        if use not in _DETAILS:
            return None
        self._counts["collapsed"] += 1
        return self._of_entry(asked, entry, status.forwarded(self._name, found.why, is_collapsed=True))

    async def _alone(self, asked: Asked, found: Found) -> Response:
        try:
            async with asyncio.timeout(self._patience_s(asked, found)):
                landed = await self._fetched(asked, found.entry, as_sent=found.entry is None)
        except TimeoutError:
            self._failed.add(asked.key, self._clock())
            landed = Landed(failure=OriginFailed("no answer in time", timed_out=True))
        return self._answer(asked, found, landed)

    async def _fetched(self, asked: Asked, entry: Entry | None, *, as_sent: bool = False) -> Landed:
        landed = await self._fetcher.fetch(asked, entry, as_sent=as_sent)
        now = self._clock()
        if _failed(landed):
            self._failed.add(asked.key, now)
            return landed
        self._failed.discard(asked.key)
        if landed.entry is not None and use_of(landed.entry, {}, {}, now) in _DETAILS:
            self._apart.discard(asked.key)
        elif not as_sent:
            self._apart.add(asked.key, now)
        return landed

    def _refresh(self, asked: Asked, found: Found) -> None:
        """Ask the origin in the background, unless that is under way, or failed just now."""
        key = (asked.key, found.selecting)
        if self._flights.get(key) is None and not self._failed.has(asked.key, self._clock()):
            self._counts["refreshed"] += 1
            self._flights.start(key, self._fetched(asked, found.entry), has_leader=False)

    def _answer(self, asked: Asked, found: Found, landed: Landed) -> Response:
        """What the asker gets of what came of asking the origin."""
        if _failed(landed):
            response = self._instead(asked, found, landed)
            if response is not None or landed.response is None:
                self._let_go(landed.response)
                return response or self._gone(asked, landed, found.why)
        assert landed.response is not None, "what did not fail was answered"
        self._counts["revalidated" if landed.status == 304 else "miss"] += 1
        text = status.forwarded(
            self._name, found.why, status=landed.status, is_stored=landed.is_stored, detail=landed.reason
        )
        return status.told(self._for_client(asked, landed.response), text)

    def _instead(self, asked: Asked, found: Found, landed: Landed) -> Response | None:
        """What may be said although the origin failed: what is kept, or what is shipped."""
        entry = found.entry
        if entry is not None and self._is_used_on_error(asked, entry, landed):
            self._counts["stale"] += 1
            ttl_s = entry.ttl_s(self._clock())
            text = status.forwarded(self._name, found.why, status=landed.status, ttl_s=ttl_s, detail="stale-if-error")
            return self._of_entry(asked, entry, text)
        response = self._shipped(asked.request, asked.region) if self._shipped is not None else None
        if response is None:
            return None
        self._counts["shipped"] += 1
        return status.told(response, status.forwarded(self._name, found.why, status=landed.status, detail="shipped"))

    def _is_used_on_error(self, asked: Asked, entry: Entry, landed: Landed) -> bool:
        is_disconnected, default_s = landed.failure is not None, self._bounds.if_error_s
        return is_new_enough(entry, asked.fields) and is_used_on_error(
            entry, self._clock(), is_disconnected=is_disconnected, default_s=default_s
        )

    def _gone(self, asked: Asked, landed: Landed, why: str) -> Response:
        self._counts["error"] += 1
        is_late = landed.failure is not None and landed.failure.timed_out
        return self._refused(asked.request, TIMED_OUT if is_late else UNREACHABLE, why)

    async def _head(self, asked: Asked, found: Found) -> Response:
        try:
            response = await self._fetcher.head(asked, found.entry)
        except OriginFailed as failure:
            self._failed.add(asked.key, self._clock())
            return self._answer(asked, found, Landed(failure=failure))
        if response.status in ERRORS:
            instead = self._instead(asked, found, Landed(status=response.status))
            if instead is not None:
                self._let_go(response)
                return instead
        self._counts["pass"] += 1
        return status.told(response, status.forwarded(self._name, found.why, status=response.status))

    async def _passed(self, asked: Asked, why: str) -> Response:
        """The origin's own answer. What a write makes obsolete is so, whether or not its client is still there."""
        if asked.request.method in SAFE:
            return await self._exchanged(passed_on(asked), asked, why)
        return await seen_through(lambda sent: self._exchanged(sent, asked, why), passed_on(asked), self._spawn)

    async def _exchanged(self, request: Request, asked: Asked, why: str) -> Response:
        is_write = asked.request.method not in SAFE
        try:
            response = await self._fetcher.ask(request)
        except (Exception, asyncio.CancelledError) as failure:
            if is_write:
                # It may have been done all the same.
                await self.purge(Purge(url=asked.key))
            if not isinstance(failure, OriginFailed):
                raise
            return self._gone(asked, Landed(failure=failure), why)
        self._counts["pass"] += 1
        for purge in obsolete(asked.key, asked.fields, response) if is_write else ():
            await self.purge(purge)
        passed = replace(response, headers=without(end_to_end(response.headers), frozenset({OWN_FIELD})))
        return status.told(passed, status.forwarded(self._name, why, status=response.status))

    def _of_entry(self, asked: Asked, entry: Entry, text: str) -> Response:
        headers = (*entry.headers, *status.aged(entry.age_s(self._clock())))
        return status.told(self._for_client(asked, Response(entry.status, headers, entry.body)), text)

    def _for_client(self, asked: Asked, response: Response) -> Response:
        """As much of a whole answer as the client asked for."""
        cut = answered(response, asked.fields, is_head=asked.is_head)
        if cut is not response:
            self._let_go(response)
        return cut

    def _let_go(self, response: Response | None) -> None:
        if response is not None and response.stream is not None:
            self._spawn(closed(response.stream))

    def _refused(self, request: Request, refusal: Refusal, why: str | None = None) -> Response:
        return refusal.response(request, self._name, why=why, retry_after_s=self._bounds.retry_after_s)


def _failed(landed: Landed) -> bool:
    return landed.failure is not None or (landed.entry is None and landed.status in ERRORS)


def _asked(request: Request, fields: Mapping[str, str], region: str) -> Asked:
    wanted = directives(fields.get("cache-control"))
    if not wanted and "no-cache" in fields.get("pragma", "").lower():
        wanted = directives("no-cache")
    return Asked(request, request.url, fields, wanted, region)
