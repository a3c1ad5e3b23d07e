"""Who owns which bucket, from the shards' own claims: the highest epoch wins, and what was given away is not owned."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.ownership import Claim, Ownership
from core.limits import BUCKETS_PER_REGION
from core.shard_map.model import ShardName

ONE, TWO, THREE = (ShardName(f"sa-{n}") for n in (1, 2, 3))


def owned(bucket: int, epoch: int = 1) -> Claim:
    """A bucket held."""
    return Claim(bucket, "owned", epoch, None)


def fenced(bucket: int, epoch: int = 1) -> Claim:
    """A bucket held that cannot be written to now."""
    return Claim(bucket, "fenced", epoch, None)


def moved(bucket: int, to: ShardName, epoch: int = 1) -> Claim:
    """A bucket given away."""
    return Claim(bucket, "moved", epoch, to)


@pytest.mark.parametrize(
    ("claims", "owner", "epoch"),
    [
        pytest.param({}, None, 0, id="nobody was asked"),
        pytest.param({ONE: []}, None, 0, id="nobody claims it"),
        pytest.param({ONE: [owned(5)]}, ONE, 1, id="its holder"),
        pytest.param({ONE: [fenced(5)]}, ONE, 1, id="a fenced bucket is still read where it is"),
        pytest.param({ONE: [moved(5, TWO)]}, None, 0, id="given away, and the new holder could not be asked"),
        pytest.param({ONE: [moved(5, TWO, 1)], TWO: [owned(5, 2)]}, TWO, 2, id="moved"),
        pytest.param({ONE: [owned(5, 1)], TWO: [owned(5, 2)]}, TWO, 2, id="a late answer loses to a higher epoch"),
        pytest.param({ONE: [owned(5, 3)], TWO: [moved(5, ONE, 2)]}, ONE, 3, id="moved there and back"),
        pytest.param({ONE: [moved(5, TWO, 9)], TWO: [owned(5, 2)]}, TWO, 2, id="moved never wins, whatever its epoch"),
    ],
)
def test_the_owner_of_a_bucket(claims: dict[ShardName, list[Claim]], owner: ShardName | None, epoch: int) -> None:
    ownership = Ownership(claims)
    assert (ownership.owner(5), ownership.epoch_of(5), ownership.epoch) == (owner, epoch, epoch)
    assert ownership.owner(6) is None


claims = st.lists(
    st.one_of(
        st.builds(owned, st.integers(0, 3), st.integers(1, 4)),
        st.builds(fenced, st.integers(0, 3), st.integers(1, 4)),
        st.builds(moved, st.integers(0, 3), st.just(ONE), st.integers(1, 4)),
    ),
    max_size=4,
    unique_by=lambda claim: claim.bucket,
)


@given(st.fixed_dictionaries({ONE: claims, TWO: claims, THREE: claims}))
def test_all_gateways_agree_whatever_order_the_answers_came_in(by_shard: dict[ShardName, list[Claim]]) -> None:
    seen = {
        tuple((ownership.owner(bucket), ownership.epoch_of(bucket)) for bucket in range(4))
        for order in permutations(by_shard)
        for ownership in [Ownership({shard: by_shard[shard] for shard in order})]
    }
    ((*answers,),) = seen
    for bucket, (owner, epoch) in enumerate(answers):
        held = {s: c.epoch for s, rows in by_shard.items() for c in rows if c.bucket == bucket and c.state != "moved"}
        assert (owner is None) == (not held)
        if owner is not None:
            assert held[owner] == max(held.values()) == epoch


def test_the_counts_of_all_buckets_add_up() -> None:
    ownership = Ownership({ONE: [owned(b) for b in range(4000)], TWO: [owned(b) for b in range(4000, 4090)]})
    assert ownership.counts() == {ONE: 4000, TWO: 90, None: 6}
    assert sum(ownership.counts().values()) == BUCKETS_PER_REGION
