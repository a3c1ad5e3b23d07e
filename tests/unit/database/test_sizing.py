"""Pool sizes: the guide's table, and what all processes together ask of a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.settings import DatabaseSettings
from core.database.sizing import BY_RAM, largest_pool, room, suggested


@pytest.mark.parametrize(
    ("ram_gb", "pool_max", "pool_min"),
    [
        (0.5, 10, 2),
        (2, 10, 2),
        (3, 10, 2),
        (3.8, 20, 5),
        (7.6, 40, 10),
        (15.6, 80, 20),
        (64, 80, 20),
    ],
)
def test_the_guides_table_is_followed(ram_gb: float, pool_max: int, pool_min: int) -> None:
    row = suggested(ram_gb)
    assert (row.pool_max, row.pool_min) == (pool_max, pool_min)


def test_the_table_is_the_guides() -> None:
    assert [(row.ram_gb, row.pool_max, row.pool_min) for row in BY_RAM] == [
        (2, 10, 2),
        (4, 20, 5),
        (8, 40, 10),
        (16, 80, 20),
    ]


def test_both_roles_must_fit_because_a_failover_swaps_them() -> None:
    asked = room(DatabaseSettings(pool_max=20, read_pool_max=30), processes=3, allowed=97, others=5)
    assert (asked.needed_as_primary, asked.needed_as_replica, asked.needed) == (64, 93, 93)
    assert not asked.fits
    assert room(DatabaseSettings(pool_max=20, read_pool_max=30), processes=3, allowed=98, others=5).fits


@given(st.integers(1, 50), st.integers(0, 5000), st.integers(0, 500))
def test_the_largest_pool_that_is_suggested_fits_and_one_more_does_not(
    processes: int, allowed: int, others: int
) -> None:
    def fits(size: int) -> bool:
        sizes = DatabaseSettings(pool_max=size, read_pool_max=size)
        return room(sizes, processes=processes, allowed=allowed, others=others).fits

    size = largest_pool(processes=processes, allowed=allowed, others=others)
    assert not fits(size + 1)
    assert fits(size) or size == 0
