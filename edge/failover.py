"""Several origins as one: the first, and the next ones only while it is away."""

from collections.abc import Callable, Sequence
from typing import Final

from edge.messages import Request, Response
from edge.origin import Origin, OriginFailed

REST_S: Final = 10.0
"""So long an origin that failed is asked last."""

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Failover:
    """Asks the origins in order until one answers.

    A request that changes something is sent once: whether the origin that failed did it, nobody knows. It goes to the
    next one only while the first is known to be away, because it failed within the last `rest_s` seconds.
    """

    def __init__(self, origins: Sequence[Origin], *, clock: Callable[[], float], rest_s: float = REST_S) -> None:
        """`origins`: at least one. Raises ValueError for none."""
        if not origins:
            raise ValueError("there must be an origin")
        self._origins = tuple(origins)
        self._clock = clock
        self._rest_s = rest_s
        self._rests_until = [float("-inf")] * len(self._origins)

    async def __call__(self, request: Request) -> Response:
        """The answer of the first origin that gives one. Raises OriginFailed as the last one asked did."""
        tries = self._order() if _is_repeatable(request) else self._order()[:1]
        for index in tries[:-1]:
            try:
                return await self._ask(index, request)
            except OriginFailed:
                continue
        return await self._ask(tries[-1], request)

    def _order(self) -> list[int]:
        """The origins that are not resting, then those that are, each in their order.

        None rests for longer than `rest_s`, also when the clock was set back.
        """
        now = self._clock()
        return sorted(range(len(self._origins)), key=lambda index: now < self._rests_until[index] <= now + self._rest_s)

    async def _ask(self, index: int, request: Request) -> Response:
        try:
            response = await self._origins[index](request)
        except OriginFailed:
            self._rests_until[index] = self._clock() + self._rest_s
            raise
        self._rests_until[index] = float("-inf")
        return response


def _is_repeatable(request: Request) -> bool:
    return request.method in _REPEATABLE and not request.body and request.stream is None
