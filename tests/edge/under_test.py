"""The one edge that every runner of the table plays against."""

from collections.abc import Callable, Coroutine

from edge.cache import Cache
from edge.handler import Edge
from edge.origin import Origin
from tests.edge.stories_static import shipped
from tests.edge.table import EDGE_NAME

LANGUAGES = ("en", "ar")


def edge_under_test(
    *,
    cache: Cache,
    origin: Origin | None,
    clock: Callable[[], float],
    spawn: Callable[[Coroutine[None, None, None]], None],
) -> Edge:
    """An edge as the table's cases expect it."""
    return Edge(
        name=EDGE_NAME,
        cache=cache,
        origin=origin,
        clock=clock,
        spawn=spawn,
        languages=LANGUAGES,
        shipped=shipped,
    )
