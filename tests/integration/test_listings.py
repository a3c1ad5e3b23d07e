"""No listing asks more often the more there is, and none reads a whole table: on a year's data, one shard and two."""

from collections import Counter
from collections.abc import Mapping

import pytest

from bench.listings import LISTINGS, Listing, listings_of, recorded
from bench.plans import explained
from gateway.marketplace import SERVICE
from tests.integration.year import Year

pytestmark = pytest.mark.usefixtures("no_jobs")

WAYS = [(name, listing) for name, ways in LISTINGS.items() for listing in ways]


def test_every_listing_is_known() -> None:
    assert listings_of(SERVICE.api.operations) == set(LISTINGS), "add the new listing to bench/listings.py"


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_a_listing_sends_one_statement_to_each_shard_however_much_there_is(
    years: Mapping[str, Year], region: str
) -> None:
    year = years[region]
    for name, listing in WAYS:
        few, many = [await statements(year, listing, rows) for rows in (3, 12)]
        assert few == many, f"{name} as {listing.role} {dict(listing.query)}"
        assert set(many.values()) == {1}, f"{name} as {listing.role} {dict(listing.query)}: {many}"


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_whoever_has_written_nothing_is_answered_by_replicas_alone(
    years: Mapping[str, Year], region: str
) -> None:
    """The scaling guide: dashboards, reports, search and review listings are read from replicas. So is every list."""
    year = years[region]
    for name, listing in WAYS:
        with recorded(year.asker.database) as sent:
            await year.asker.ask(listing)
        assert {year.shards[statement.port] for statement in sent}, name
        assert not {statement.port for statement in sent} & set(year.primaries), name


async def statements(year: Year, listing: Listing, rows: int) -> Counter[str]:
    """How many statements a page of so many rows sends to each shard."""
    with recorded(year.asker.database) as sent:
        answer = await year.asker.ask(listing, **({"limit": rows} if listing.paged else {}))
    if listing.paged:
        assert len(answer["items"]) == rows, f"{listing} has only {len(answer['items'])}"
    return Counter(year.shards[statement.port] for statement in sent)


async def test_every_statement_of_a_listing_has_its_index(years: Mapping[str, Year]) -> None:
    """Small tables are read whole because it is quicker; with that forbidden, only what has no index still does."""
    year = years["qa"]
    async with year.connections() as (connection,):
        await connection.execute("SET enable_seqscan = off; SET jit = off")
        found = await explained(year.asker, connection, ports=year.shards)
    assert not {called: plan.faults for called, plans in found.items() for plan in plans if plan.faults}
