"""What every Cache promises, told once for all of them. No pytest: Pyodide runs it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from edge.cache import Cache, Entry, Purge

NOW = 1_780_000_000.0


def entry(body: bytes = b"one", *, foo: str | None = None, region: str = "qa", groups: tuple[str, ...] = ()) -> Entry:
    """A fresh one; `foo` makes it a variant."""
    selecting = () if foo is None else (("foo", foo),)
    return Entry(200, (("Content-Type", "text/plain"),), body, selecting, region, frozenset(groups), NOW, 0.0, 60.0)


async def bodies(cache: Cache, key: str) -> list[bytes]:
    """What is kept under a key, the newest first."""
    return [found.body for found in await cache.get(key)]


async def keeps_what_it_is_given(cache: Cache) -> None:
    whole = replace(entry(b"\x00\xff", foo="1", groups=("a", "b")), while_revalidating_s=5.0, if_error_s=None)
    assert await cache.put("/a?b=1", whole)
    assert list(await cache.get("/a?b=1")) == [whole]
    assert await bodies(cache, "/a") == []


async def keeps_one_of_each_variant_the_newest_first(cache: Cache) -> None:
    for body, foo in ((b"1", "x"), (b"2", "y"), (b"3", "x")):
        await cache.put("/a", entry(body, foo=foo))
    assert await bodies(cache, "/a") == [b"3", b"2"]


async def drops_every_variant_of_a_key(cache: Cache) -> None:
    await cache.put("/a", entry(foo="x"))
    await cache.put("/a", entry(foo="y"))
    await cache.put("/b", entry())
    assert await cache.drop("/a") == 2
    assert await cache.drop("/a") == 0
    assert await bodies(cache, "/a") == []
    assert await bodies(cache, "/b") == [b"one"]


async def purges_softly_so_that_it_can_still_be_used(cache: Cache) -> None:
    await cache.put("/a", entry(groups=("g",)))
    assert await cache.purge(Purge(url="/a"), NOW + 5) == 1
    (found,) = await cache.get("/a")
    assert found.body == b"one"
    assert found.stale_s(NOW + 5) >= 0


async def purges_hard_by_url(cache: Cache) -> None:
    await cache.put("/a", entry(foo="x"))
    await cache.put("/a", entry(foo="y"))
    await cache.put("/a?b=1", entry())
    assert await cache.purge(Purge(url="/a", hard=True), NOW) == 2
    assert await bodies(cache, "/a") == []
    assert await bodies(cache, "/a?b=1") == [b"one"]


async def purges_hard_by_group(cache: Cache) -> None:
    await cache.put("/a", entry(groups=("g", "h")))
    await cache.put("/b", entry(groups=("g",)))
    await cache.put("/c", entry(groups=("h",)))
    assert await cache.purge(Purge(group="g", hard=True), NOW) == 2
    assert [await bodies(cache, key) for key in ("/a", "/b", "/c")] == [[], [], [b"one"]]
    assert await cache.purge(Purge(group="g", hard=True), NOW) == 0


async def purges_hard_by_region(cache: Cache) -> None:
    await cache.put("/a", entry(b"qa", foo="x", region="qa"))
    await cache.put("/a", entry(b"sa", foo="y", region="sa"))
    assert await cache.purge(Purge(region="qa", hard=True), NOW) == 1
    assert await bodies(cache, "/a") == [b"sa"]


CONTRACT: list[Callable[[Cache], Awaitable[None]]] = [
    keeps_what_it_is_given,
    keeps_one_of_each_variant_the_newest_first,
    drops_every_variant_of_a_key,
    purges_softly_so_that_it_can_still_be_used,
    purges_hard_by_url,
    purges_hard_by_group,
    purges_hard_by_region,
]
"""Each is called with an empty cache."""
