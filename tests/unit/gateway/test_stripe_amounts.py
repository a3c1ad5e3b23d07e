"""Money as Stripe counts it: whole minor units, of three decimals in tens, and never more back than was charged."""

from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.marketplace.providers.provider import Giveback
from gateway.marketplace.providers.stripe import minor_units, refund_units

ID = UUID(int=1)


def back(amount: int, paid: int) -> int:
    fils = Decimal(1).scaleb(-3)
    return refund_units(Giveback(ID, ID, "pi_1", amount * fils, paid * fils, "KWD", 3))


@pytest.mark.parametrize(
    ("amount", "minor_unit", "units"),
    [("26.10", 2, 2610), ("0.01", 2, 1), ("500", 0, 500), ("5.124", 3, 5120), ("5.125", 3, 5130), ("12.345", 3, 12350)],
)
def test_an_amount_is_whole_minor_units(amount: str, minor_unit: int, units: int) -> None:
    assert minor_units(Decimal(amount), minor_unit) == units


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
def test_parts_never_sum_to_more_than_was_charged(parts: list[int]) -> None:
    paid = sum(parts)
    charged = minor_units(Decimal(paid).scaleb(-3), 3)
    assert sum(back(part, paid) for part in parts) <= charged
    assert back(paid, paid) == charged
