"""Which orders count as sales, and which are still under way, as SQL: the same words in every dashboard and report."""

from typing import Final

STANDING: Final = "status NOT IN ('pending_payment', 'cancelled_by_customer', 'cancelled_by_garage', 'refunded')"
"""Paid for, not cancelled, not refunded: a sale."""

LIVE: Final = """status IN ('pending_payment', 'confirmed', 'preparing', 'ready_for_pickup', 'collected', 'in_transit',
    'delivered', 'disputed')"""
"""Something is still to happen. They are few, and found by the index of their statuses."""
