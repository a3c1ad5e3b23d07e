"""The one table: every story that any runtime of the edge must tell alike."""

from tests.edge import (
    stories_freshness,
    stories_requests,
    stories_stale,
    stories_static,
    stories_storing,
    stories_validation,
    stories_variants,
    stories_writes,
)
from tests.edge.checking import with_dates
from tests.edge.table import Case

_TOLD: list[Case] = [
    *stories_freshness.STORIES,
    *stories_storing.STORIES,
    *stories_validation.STORIES,
    *stories_variants.STORIES,
    *stories_requests.STORIES,
    *stories_stale.STORIES,
    *stories_writes.STORIES,
    *stories_static.STATIC,
]

STORIES: list[Case] = [with_dates(case) for case in _TOLD]
