"""The cache in memory: what every cache promises, its bounds, and fairness between regions."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bounds import Bounds
from edge.cache import Cache, Purge
from edge.memory import ENTRY_BYTES, FIELD_BYTES, GROUP_BYTES, MemoryCache
from tests.edge.cache_contract import CONTRACT, NOW, bodies, entry

KEY_BYTES = FIELD_BYTES + 64


def room_for(entries: int, body_bytes: int = 1000) -> Bounds:
    """Bounds within which so many entries of such bodies fit, and no more."""
    return Bounds(store_bytes=entries * (ENTRY_BYTES + KEY_BYTES + body_bytes), object_bytes=body_bytes)


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_it_keeps_the_promises_of_every_cache(promise: Callable[[Cache], Awaitable[None]]) -> None:
    await promise(MemoryCache(Bounds()))


async def test_what_was_not_used_for_longest_makes_room() -> None:
    cache = MemoryCache(room_for(10))
    for n in range(10):
        await cache.put(f"/{n}", entry(b"x" * 1000))
    assert cache.evicted == 0
    for n in range(0, 10, 2):
        await cache.get(f"/{n}")
    for n in range(10, 15):
        await cache.put(f"/{n}", entry(b"x" * 1000))
    kept = [n for n in range(15) if await cache.get(f"/{n}")]
    assert kept == [0, 2, 4, 6, 8, 10, 11, 12, 13, 14]
    assert cache.evicted == 5


async def test_entries_are_bounded_in_number() -> None:
    cache = MemoryCache(Bounds(store_entries=3))
    for n in range(10):
        assert await cache.put(f"/{n}", entry())
    assert len(cache) == 3


async def test_an_entry_larger_than_one_may_be_is_not_kept() -> None:
    cache = MemoryCache(room_for(10))
    assert not await cache.put("/a", entry(b"x" * 1001))
    assert len(cache) == 0


async def test_the_flood_of_one_region_leaves_the_others_alone() -> None:
    cache = MemoryCache(room_for(100))
    for n in range(20):
        await cache.put(f"/sa/{n}", entry(b"x" * 1000, region="sa"))
    for n in range(1000):
        await cache.put(f"/qa/{n}", entry(b"x" * 1000, region="qa"))
        await cache.get(f"/qa/{n}")
    assert [n for n in range(20) if not await cache.get(f"/sa/{n}")] == []


async def test_fields_and_groups_take_room_beside_their_texts() -> None:
    cache = MemoryCache(Bounds())
    await cache.put("/a", entry())
    plain = cache.size_bytes
    await cache.put("/a", replace(entry(groups=("g", "h")), headers=(("Content-Type", "text/plain"), ("A", "b"))))
    assert cache.size_bytes == plain + 2 * (GROUP_BYTES + 1) + FIELD_BYTES + 2
    await cache.put("/b", replace(entry(), headers=tuple((f"A{n}", "1") for n in range(100))))
    assert cache.size_bytes > 2 * plain + 100 * FIELD_BYTES


async def test_variants_of_a_url_are_bounded() -> None:
    cache = MemoryCache(Bounds(variants=3))
    for n in range(10):
        await cache.put("/a", entry(str(n).encode(), foo=str(n)))
    assert await bodies(cache, "/a") == [b"9", b"8", b"7"]
    assert len(cache) == 3


async def test_a_softly_purged_entry_stays_stale_since_the_first_purge() -> None:
    cache = MemoryCache(Bounds())
    await cache.put("/a", entry(groups=("g",)))
    for at in (1.0, 2.0):
        assert await cache.purge(Purge(group="g"), NOW + at) == 1
    (found,) = await cache.get("/a")
    assert found.purged_at == NOW + 1
    assert found.stale_s(NOW + 11) == 10


KEYS, REGIONS, GROUPS = ("/a", "/b", "/c"), ("qa", "sa"), ("g", "h")
puts = st.tuples(
    st.sampled_from(KEYS),
    st.integers(0, 900),
    st.sampled_from(("x", "y", None)),
    st.sampled_from(REGIONS),
    st.sets(st.sampled_from(GROUPS)),
)
purges = st.one_of(
    st.builds(Purge, url=st.sampled_from(KEYS), hard=st.booleans()),
    st.builds(Purge, group=st.sampled_from(GROUPS), hard=st.booleans()),
    st.builds(Purge, region=st.sampled_from(REGIONS), hard=st.booleans()),
)


@given(st.lists(st.one_of(puts, purges, st.sampled_from(KEYS)), max_size=60))
async def test_its_books_always_balance(steps: list[object]) -> None:
    cache = MemoryCache(room_for(4))
    for step in steps:
        if isinstance(step, Purge):
            await cache.purge(step, NOW)
        elif isinstance(step, str):
            await cache.drop(step)
        elif isinstance(step, tuple):
            key, size, foo, region, groups = step
            await cache.put(key, entry(b"x" * size, foo=foo, region=region, groups=tuple(groups)))
        held = [found for key in KEYS for found in await cache.get(key)]
        assert len(cache) == len(held)
        assert cache.size_bytes <= room_for(4).store_bytes
        assert (cache.size_bytes == 0) == (not held)
    for region in REGIONS:
        await cache.purge(Purge(region=region, hard=True), NOW)
    assert (len(cache), cache.size_bytes) == (0, 0)
    for group in GROUPS:
        assert await cache.purge(Purge(group=group), NOW) == 0
