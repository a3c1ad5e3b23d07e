"""Ids carry their placement: the layout is frozen, nothing but ours is read, and login identifiers spread evenly."""

from collections import Counter
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFound
from core.ids import IdMaker, Placement, login_hash, make_id, placement_of
from core.limits import BUCKETS_PER_REGION, REGION_CODE_MAX

TIME_MAX = (1 << 48) - 1
RANDOM_MAX = (1 << 54) - 1

# Every stored id depends on these: a change here is a data migration.
GOLDEN = [
    (Placement(1, 0), 0, 0, "00000000-0000-7000-8040-000000000000"),
    (Placement(255, 4095), TIME_MAX, RANDOM_MAX, "ffffffff-ffff-7fff-bfff-ffffffffffff"),
    (Placement(1, 4095), 0, RANDOM_MAX, "00000000-0000-7fff-807f-ffffffffffff"),
    (Placement(255, 0), TIME_MAX, 0, "ffffffff-ffff-7000-bfc0-000000000000"),
    (Placement(1, 1), 1_795_478_400_000, 0x2A, "01a20ada-2c00-7001-8040-00000000002a"),
    (Placement(2, 0xABC), 1_795_478_400_123, 0x15_5555_5555_5555, "01a20ada-2c7b-7abc-8095-555555555555"),
    (Placement(64, 2048), 1_645_557_742_000, 0x0C_C3CE_DA25_7CD6, "017f22e2-79b0-7800-900c-c3ceda257cd6"),
    (Placement(0x80, 0x123), 1, 1, "00000000-0001-7123-a000-000000000001"),
]

KEY = bytes(range(32))
LOGIN_GOLDEN = [
    ("+97433123456", KEY, "b1339b0b1b8e617590511a4623484af5", 2835),
    ("+966501234567", KEY, "a06d2bce88f460076d4c11d13fae86a3", 2566),
    ("", KEY, "3daf97bce7888fd59773c66bf647459c", 986),
    ("user@example.com", bytes(32), "08211b1e4a08d36b2edb134ec511ac23", 130),
]

placements = st.builds(Placement, st.integers(1, REGION_CODE_MAX), st.integers(0, BUCKETS_PER_REGION - 1))
times = st.integers(0, TIME_MAX)
bits = st.integers(0, RANDOM_MAX)


@pytest.mark.parametrize(("placement", "now_ms", "random_bits", "text"), GOLDEN)
def test_the_layout_of_ids_never_changes(placement: Placement, now_ms: int, random_bits: int, text: str) -> None:
    assert str(make_id(placement, now_ms=now_ms, random_bits=random_bits)) == text
    assert placement_of(UUID(text)) == placement


@given(placements, times, st.integers(0))
def test_an_id_always_decodes_to_what_made_it(placement: Placement, now_ms: int, random_bits: int) -> None:
    id = make_id(placement, now_ms=now_ms, random_bits=random_bits)
    assert placement_of(id) == placement
    assert id.int >> 80 == now_ms
    assert id.int & RANDOM_MAX == random_bits & RANDOM_MAX
    assert (id.version, id.variant) == (7, RFC_4122)


@given(placements, placements, bits, bits, times, times)
def test_ids_sort_by_time_wherever_they_belong(
    one: Placement, other: Placement, a: int, b: int, earlier: int, later: int
) -> None:
    earlier, later = sorted((earlier, later))
    if earlier < later:
        first, second = make_id(one, now_ms=earlier, random_bits=a), make_id(other, now_ms=later, random_bits=b)
        assert first < second
        assert str(first) < str(second)


@given(st.uuids())
def test_a_uuid_is_read_only_if_this_system_could_have_made_it(id: UUID) -> None:
    ours = id.version == 7 and id.variant == RFC_4122 and (id.int >> 54) & 0xFF != 0
    if ours:
        rebuilt = make_id(placement_of(id), now_ms=id.int >> 80, random_bits=id.int)
        assert rebuilt == id
    else:
        with pytest.raises(NotFound, match="carries no placement"):
            placement_of(id)


@pytest.mark.parametrize(
    "text",
    [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "550e8400-e29b-41d4-a716-446655440000",
        "00000000-0000-7000-8000-000000000000",
        "01a20aea-2800-7001-c040-00000000002a",
    ],
    ids=["nil", "max", "version 4", "region code 0", "another variant"],
)
def test_foreign_uuids_are_refused(text: str) -> None:
    with pytest.raises(NotFound):
        placement_of(UUID(text))


@pytest.mark.parametrize("placement", [Placement(0, 1), Placement(256, 1), Placement(1, -1), Placement(1, 4096)])
def test_an_id_for_no_such_placement_is_never_made(placement: Placement) -> None:
    with pytest.raises(ValueError, match="no such placement"):
        make_id(placement, now_ms=0, random_bits=0)


def test_the_maker_takes_time_and_54_random_bits_from_what_it_was_given() -> None:
    asked: list[int] = []

    def random_bits(count: int) -> int:
        asked.append(count)
        return 5

    id = IdMaker(lambda: 77, random_bits)(Placement(3, 9))
    assert id == make_id(Placement(3, 9), now_ms=77, random_bits=5)
    assert asked == [54]


@pytest.mark.parametrize(("identifier", "key", "digest", "bucket"), LOGIN_GOLDEN)
def test_where_a_login_identifier_lives_never_changes(identifier: str, key: bytes, digest: str, bucket: int) -> None:
    assert login_hash(identifier, key=key) == (bytes.fromhex(digest), bucket)


@given(st.text(), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_login_hash_depends_on_the_regions_key_and_its_bucket_on_the_hash(
    text: str, one: bytes, other: bytes
) -> None:
    hashed = login_hash(text, key=one)
    assert hashed.bucket == hashed.digest[0] << 4 | hashed.digest[1] >> 4
    assert (login_hash(text, key=other).digest == hashed.digest) == (one == other)


def test_phone_numbers_spread_evenly_over_the_buckets() -> None:
    per_bucket = 50
    counts = Counter(login_hash(f"+9745{n:07d}", key=KEY).bucket for n in range(BUCKETS_PER_REGION * per_bucket))
    assert len(counts) == BUCKETS_PER_REGION
    chi_squared = sum((count - per_bucket) ** 2 / per_bucket for count in counts.values())
    # 4095 degrees of freedom: mean 4095, standard deviation 90.5.
    assert abs(chi_squared - (BUCKETS_PER_REGION - 1)) < 5 * 90.5
