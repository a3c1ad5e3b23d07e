"""The dashboards: their figures are those of the rows, over one shard and two, counted in the region's own days."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.marketplace.days import start_of, today
from tests.integration.http.asking import is_problem
from tests.integration.year import Row, Year

LIVE = [
    "pending_payment",
    "confirmed",
    "preparing",
    "ready_for_pickup",
    "collected",
    "in_transit",
    "delivered",
    "disputed",
]
NO_SALE = ("pending_payment", "cancelled_by_customer", "cancelled_by_garage", "refunded")


def came_to(rows: list[Row], column: str) -> str:
    return f"{sum((row[column] for row in rows if row['status'] not in NO_SALE), Decimal(0)):.2f}"


def counted(rows: list[Row]) -> dict[str, int]:
    return {status: n for status in sorted(LIVE) if (n := sum(row["status"] == status for row in rows))}


@pytest.fixture(params=["qa", "sa"])
async def year(years: Mapping[str, Year], request: pytest.FixtureRequest) -> Year:
    """Each region, with two orders of the known garage at the edge of its month: one before it, one in it."""
    found: Year = years[request.param]
    month = start_of(today(found.spec, datetime.now(UTC).timestamp()).replace(day=1), found.spec)
    async with found.connections() as (connection, *_):
        ids = await connection.fetch(
            "SELECT bucket, id FROM marketplace.orders WHERE garage = $1 AND status = 'completed' ORDER BY id LIMIT 2",
            found.asker.known.garage,
        )
        for row, at in zip(ids, (month - timedelta(microseconds=1), month), strict=True):
            sql = "UPDATE marketplace.orders SET created_at = $3 WHERE bucket = $1 AND id = $2"
            await connection.execute(sql, row["bucket"], row["id"], at)
    return found


async def test_the_staffs_figures_are_those_of_all_shards(year: Year) -> None:
    shown = await strong(year, "staff")
    orders = await year.rows("SELECT status, total, created_at FROM marketplace.orders")
    day = today(year.spec, datetime.now(UTC).timestamp())
    of_month = [row for row in orders if row["created_at"] >= start_of(day.replace(day=1), year.spec)]
    of_day = [row for row in orders if row["created_at"] >= start_of(day, year.spec)]
    assert shown == {
        "role": "staff",
        "currency": year.spec.currency,
        "partial": False,
        "missing": [],
        "active_requests": await count(year, "request WHERE status = 'active' AND expires_at > now()"),
        "pending_bids": await count(year, "bid WHERE status = 'pending'"),
        "orders": counted(orders),
        "orders_today": len(of_day),
        "orders_this_month": len(of_month),
        "revenue_today": came_to(of_day, "total"),
        "revenue_this_month": came_to(of_month, "total"),
        "open_disputes": await count(year, "dispute WHERE status = 'open'"),
        "pending_reviews": await count(year, "review WHERE status = 'pending'"),
    }
    assert (await strong(year, "admin")) == shown


async def test_a_garages_month_begins_at_its_own_midnight(year: Year) -> None:
    garage = year.asker.known.garage
    orders = await year.rows(
        "SELECT status, garage_payout, created_at FROM marketplace.orders WHERE garage = $1", garage
    )
    month = start_of(today(year.spec, datetime.now(UTC).timestamp()).replace(day=1), year.spec)
    of_month = [row for row in orders if row["created_at"] >= month]
    assert month in {row["created_at"] for row in of_month}
    assert month - timedelta(microseconds=1) in {row["created_at"] for row in orders}
    assert (await strong(year, "garage")) == {
        "role": "garage",
        "currency": year.spec.currency,
        "partial": False,
        "missing": [],
        "pending_bids": await count(year, f"bid WHERE status = 'pending' AND garage = '{garage}'"),
        "accepted_this_month": len(of_month),
        "active_orders": sum(counted(orders).values()),
        "revenue_this_month": came_to(of_month, "garage_payout"),
    }


async def test_a_customer_sees_what_waits_for_them(year: Year) -> None:
    customer = year.asker.known.customer
    orders = await year.rows("SELECT status FROM marketplace.orders WHERE customer = $1", customer)
    by_status = counted(orders)
    assert (await strong(year, "customer")) == {
        "role": "customer",
        "active_requests": await count(year, f"request WHERE status = 'active' AND customer = '{customer}'"),
        "active_orders": sum(by_status.values()),
        "deliveries": by_status.get("collected", 0) + by_status.get("in_transit", 0),
        "to_confirm": by_status.get("delivered", 0),
    }


async def test_there_is_none_for_drivers(year: Year) -> None:
    is_problem(await year.get("driver", "/dashboard"), 403, "forbidden")


async def strong(year: Year, role: str) -> object:
    """The dashboard as the primaries have it."""
    headers = year.asker.credentials(role) | {"Consistency": "strong"}
    async with year.asker.session.get("/api/v1/dashboard", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        shown: object = await answer.json()
        return shown


async def count(year: Year, what: str) -> int:
    """How many rows there are on all shards."""
    return sum(row["n"] for row in await year.rows(f"SELECT count(*) AS n FROM marketplace.{what}"))
