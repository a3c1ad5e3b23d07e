"""Purges as marks: what they meet, wherever and whenever it was stored, and that stored answers survive as bytes."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cache import Entry, Purge
from edge.marks import LAST_S, MEMORY_S, SKEW_S, Mark, Marks, Memory, Stamp, name_of, names_of, standing
from edge.packing import Kept, pack, unpack

NOW = 1_780_000_000.0


def entry(received_at: float = NOW, *, body: bytes = b"one", groups: tuple[str, ...] = ("g",)) -> Entry:
    return Entry(200, (("ETag", '"1"'),), body, (), "qa", frozenset(groups), received_at, 0.0, 60.0)


class Board:
    """Notes in this process; Workers KV is another one, tested on its platform."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.is_away = False
        self.reads = 0

    async def read(self, name: str) -> str | None:
        self.reads += 1
        if self.is_away:
            raise OSError("away")
        return self.texts.get(name)

    async def write(self, name: str, text: str, *, lasts_s: int) -> None:
        if self.is_away:
            raise OSError("away")
        assert lasts_s == LAST_S
        self.texts[name] = text


class World:
    """One store of marks, seen from several processes."""

    def __init__(self) -> None:
        self.board, self.now, self.purges = Board(), NOW, 0

    def process(self, memory: Memory | None = None) -> Marks:
        return Marks(self.board, memory={} if memory is None else memory, clock=lambda: self.now, new_id=self._next_id)

    def _next_id(self) -> str:
        self.purges += 1
        return str(self.purges)


async def left(marks: Marks, kept: Entry, seen: Mapping[str, str] | None = None) -> Entry | None:
    """What the marks leave of an entry of `/a`."""
    return standing("/a", kept, seen or {}, await marks.of(names_of("/a", kept)))


async def seen_by(marks: Marks, kept: Entry) -> dict[str, str]:
    return {name: mark.id for name, mark in (await marks.of(names_of("/a", kept))).items()}


@pytest.mark.parametrize("purge", [Purge(url="/a"), Purge(group="g"), Purge(region="qa")])
@pytest.mark.parametrize("hard", [False, True])
async def test_a_purge_meets_what_it_names_in_every_process(purge: Purge, hard: bool) -> None:
    world, kept = World(), entry()
    world.now += 10
    await world.process().add(replace(purge, hard=hard), world.now)
    found = await left(world.process(), kept)
    assert found == (None if hard else replace(kept, purged_at=world.now))


@pytest.mark.parametrize("purge", [Purge(url="/b"), Purge(group="h"), Purge(region="sa")])
async def test_a_purge_leaves_everything_else(purge: Purge) -> None:
    world = World()
    await world.process().add(replace(purge, hard=True), NOW + 10)
    assert await left(world.process(), entry()) == entry()


async def test_what_was_fetched_after_a_purge_is_good() -> None:
    world = World()
    await world.process().add(Purge(group="g", hard=True), NOW)
    assert await left(world.process(), entry(NOW + SKEW_S + 1)) is not None


async def test_what_was_fetched_by_a_slow_clock_after_a_purge_is_good_when_it_knew_of_it() -> None:
    world, kept = World(), entry()
    await world.process().add(Purge(group="g", hard=True), NOW)
    assert await left(world.process(), kept) is None, "in the same moment, and knowing nothing of the purge"
    assert await left(world.process(), kept, await seen_by(world.process(), kept)) == kept


async def test_a_second_purge_meets_what_knew_of_the_first() -> None:
    world, kept = World(), entry()
    await world.process().add(Purge(group="g"), NOW)
    seen = await seen_by(world.process(), kept)
    await world.process().add(Purge(group="g"), NOW)
    assert await left(world.process(), kept, seen) == replace(kept, purged_at=NOW)


async def test_a_soft_purge_does_not_undo_a_hard_one() -> None:
    world = World()
    await world.process().add(Purge(region="qa", hard=True), NOW + 1)
    await world.process().add(Purge(region="qa"), NOW + 2)
    assert await left(world.process(), entry()) is None


async def test_a_mark_is_read_once_in_a_while() -> None:
    world = World()
    memory: Memory = {}
    for _ in range(5):
        await left(world.process(memory), entry())
    assert world.board.reads == len(names_of("/a", entry()))
    await world.process().add(Purge(url="/a", hard=True), NOW + 1)
    assert await left(world.process(memory), entry()) is not None
    world.now += MEMORY_S
    assert await left(world.process(memory), entry()) is None


async def test_while_the_store_is_away_the_last_known_marks_hold_and_a_purge_is_an_error() -> None:
    world = World()
    memory: Memory = {}
    await world.process(memory).add(Purge(group="g", hard=True), NOW + 1)
    world.board.is_away = True
    world.now += MEMORY_S
    assert await left(world.process(memory), entry()) is None
    assert await left(world.process(), entry()) == entry()
    with pytest.raises(OSError, match="away"):
        await world.process().add(Purge(group="g"), NOW)


@given(st.text())
async def test_what_is_no_mark_counts_as_none(text: str) -> None:
    world = World()
    world.board.texts[name_of(Purge(url="/a"))] = text
    assert await left(world.process(), entry()) == entry()


@given(st.text())
def test_names_of_marks_fit_any_store(value: str) -> None:
    names = [name_of(purge) for purge in (Purge(url=value), Purge(group=value), Purge(region=value))]
    assert len(set(names)) == 3
    assert all(name.isascii() and len(name) < 100 for name in names)


def test_a_mark_tells_the_soft_purge_from_the_hard() -> None:
    assert Mark(soft=Stamp(NOW, "1")).id != Mark(hard=Stamp(NOW, "1")).id != Mark().id


_FIELDS = st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple)
_TIMES = st.floats(min_value=0, max_value=4e9)
ENTRIES = st.builds(
    Entry,
    st.integers(200, 599),
    _FIELDS,
    st.binary(max_size=200),
    _FIELDS,
    st.text(max_size=5),
    st.frozensets(st.text(max_size=5), max_size=3),
    _TIMES,
    _TIMES,
    _TIMES,
    if_error_s=st.none() | _TIMES,
    always_validate=st.booleans(),
    purged_at=st.none() | _TIMES,
)


@given(st.lists(st.builds(Kept, ENTRIES, st.dictionaries(st.text(), st.text(), max_size=2)), max_size=3))
def test_entries_come_back_from_bytes_as_they_were(kept: list[Kept]) -> None:
    assert unpack(pack(kept)) == kept


def test_a_header_value_of_any_bytes_comes_back() -> None:
    odd = replace(entry(), headers=(("X-Odd", b"\xff\xfe".decode("utf-8", "surrogateescape")),))
    assert unpack(pack([Kept(odd, {})])) == [Kept(odd, {})]


@pytest.mark.parametrize(
    "packed",
    [b"", b"\x00", b"\x00\x00\x00\x02[]"[:5], b"\x00\x00\x00\x04null", pack([Kept(entry(), {})])[:-1], b"\xff" * 40],
)
def test_what_is_cut_off_or_foreign_is_an_error_and_nothing_else(packed: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        unpack(packed)
