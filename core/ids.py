"""Ids that carry their placement: UUIDv7 (RFC 9562, section 5.7) with the bucket and the region inside.

    48 bits  unix_ts_ms   milliseconds since 1970
     4 bits  version      7
    12 bits  rand_a       the bucket, 0..4095
     2 bits  variant      10
    62 bits  rand_b       8 bits region code (1..255), 54 bits random

Any gateway routes any id with no look-up, and ids sort by time. The layout is frozen by golden vectors in the tests;
`meridian.bucket_of(uuid)` and `meridian.region_of(uuid)` are the same functions in SQL.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from core.errors import NotFound
from core.limits import BUCKETS_PER_REGION, REGION_CODE_MAX

_TIME_MASK = (1 << 48) - 1
_RANDOM_MASK = (1 << 54) - 1


class Placement(NamedTuple):
    """Where an entity group lives: the region's permanent code (1..255) and one of its 4096 buckets."""

    region_code: int
    bucket: int


def make_id(placement: Placement, *, now_ms: int, random_bits: int) -> UUID:
    """The id of a new entity at `placement`; only the low 54 of `random_bits` are used."""
    region_code, bucket = placement
    if not 1 <= region_code <= REGION_CODE_MAX or not 0 <= bucket < BUCKETS_PER_REGION:
        raise ValueError(f"no such placement: {placement}")
    return UUID(
        int=(now_ms & _TIME_MASK) << 80
        | 7 << 76
        | bucket << 64
        | 2 << 62
        | region_code << 54
        | (random_bits & _RANDOM_MASK)
    )


def placement_of(id: UUID) -> Placement:
    """The placement inside an id. Raises NotFound for a UUID that was never one of ours: nothing is stored there."""
    value = id.int
    region_code = (value >> 54) & 0xFF
    if (value >> 76) & 0xF != 7 or (value >> 62) & 0b11 != 2 or region_code == 0:
        raise NotFound(f"{id} carries no placement")
    return Placement(region_code, (value >> 64) & 0xFFF)


class IdMaker:
    """Makes new ids from a clock (milliseconds) and a source of random bits, both given."""

    __slots__ = ("_now_ms", "_random_bits")

    def __init__(self, now_ms: Callable[[], int], random_bits: Callable[[int], int]) -> None:
        self._now_ms = now_ms
        self._random_bits = random_bits

    def __call__(self, placement: Placement) -> UUID:
        return make_id(placement, now_ms=self._now_ms(), random_bits=self._random_bits(54))


class LoginHash(NamedTuple):
    """A keyed hash of a login identifier (16 bytes) and the bucket that it falls into."""

    digest: bytes
    bucket: int


def login_hash(identifier: str, *, key: bytes) -> LoginHash:
    """Place a login identifier (already normalised, e.g. E.164) by BLAKE2b keyed with the region's permanent key.

    Keyed, because the bucket is visible in every id: unkeyed, 12 bits would narrow a phone number to a few thousand.
    """
    digest = blake2b(identifier.encode(), digest_size=16, key=key).digest()
    return LoginHash(digest, int.from_bytes(digest[:2]) >> 4)
