"""Reports: exact over one shard and two, in pages and as CSV; and never a short one that looks whole."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bench.listings import Asker, gateway
from tests.integration.http.asking import is_problem
from tests.integration.year import Row, Year, elsewhere
from tests.system import System, free_port

REPORTS = ("orders", "revenue", "disputes", "deliveries", "garages")
NO_SALE = ("pending_payment", "cancelled_by_customer", "cancelled_by_garage", "refunded")


def days_of(year: Year) -> dict[str, str]:
    return {"from_": year.asker.places["first"], "to": year.asker.places["last"]}


def table_of(body: bytes) -> list[dict[str, str]]:
    """A CSV's rows, by the names in its header."""
    text = body.decode("utf-8-sig")
    assert "\r\n" in text
    return list(csv.DictReader(io.StringIO(text, newline="")))


def day_of(year: Year, row: Row) -> date:
    found: date = row["created_at"].astimezone(ZoneInfo(year.spec.time_zone)).date()
    return found


def total(rows: Sequence[Row], column: str) -> str:
    return f"{sum((row[column] for row in rows), Decimal(0)):.2f}"


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_pages_and_csv_say_the_same_and_nothing_twice(years: Mapping[str, Year], region: str) -> None:
    year = years[region]
    for report in REPORTS:
        path, days = f"/reports/{report}", days_of(year)
        if report == "orders":
            days["from_"] = str(date.fromisoformat(days["to"]) - timedelta(days=20))  # enough for three batches
        items = await year.pages("staff", path, limit=100, **days)
        answer = await year.get("admin" if report == "garages" else "staff", path, format="csv", **days)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        name = f"{report}-{region}-{days['from_']}-{days['to']}.csv"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["Consistency-Token"]
        rows = table_of(answer.body)
        assert rows == [{name: "" if v is None else str(v) for name, v in item.items()} for item in items]
        assert len({tuple(row.values()) for row in rows}) == len(rows) > 10


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_what_is_added_up_is_what_the_orders_of_all_shards_come_to(
    years: Mapping[str, Year], region: str
) -> None:
    year = years[region]
    orders = await year.rows("SELECT * FROM marketplace.orders")
    stars: dict[Any, list[int]] = {}
    for review in await year.rows("SELECT order_id, rating FROM marketplace.review WHERE status = 'published'"):
        stars[review["order_id"]] = [review["rating"]]
    revenue = await year.pages("staff", "/reports/revenue", limit=100, **days_of(year))
    first, last = (date.fromisoformat(day) for day in days_of(year).values())
    assert [line["day"] for line in revenue] == [str(first + timedelta(n)) for n in range((last - first).days + 1)]
    by_day: dict[str, list[Row]] = {}
    for row in orders:
        by_day.setdefault(str(day_of(year, row)), []).append(row)
    for line in revenue:
        of_day = by_day.get(line["day"], [])
        sold = [row for row in of_day if row["status"] not in NO_SALE]
        assert line == {
            "day": line["day"],
            "orders": len(sold),
            "gross": total(sold, "total"),
            "platform_fee": total(sold, "platform_fee"),
            "garage_payout": total(sold, "garage_payout"),
            "delivery_fees": total(sold, "delivery_fee"),
            "refunded": total(of_day, "refunded"),
            "currency": year.spec.currency,
        }
        parts = (line["platform_fee"], line["garage_payout"], line["delivery_fees"])
        assert sum(map(Decimal, parts)) == Decimal(line["gross"])
    garages = await year.pages("staff", "/reports/garages", limit=7, **days_of(year))
    by_garage: dict[str, list[Row]] = {}
    for row in (row for day, rows in by_day.items() if str(first) <= day <= str(last) for row in rows):
        by_garage.setdefault(str(row["garage"]), []).append(row)
    assert [line["garage_id"] for line in garages] == sorted(by_garage)
    for line in garages:
        theirs = by_garage[line["garage_id"]]
        sold = [row for row in theirs if row["status"] not in NO_SALE]
        given = [star for row in theirs for star in stars.get(row["id"], [])]
        assert (line["orders"], line["gross"], line["payout"]) == (
            len(theirs),
            total(sold, "total"),
            total(sold, "garage_payout"),
        )
        assert line["completed"] == sum(row["status"] == "completed" for row in theirs)
        assert line["cancelled"] == sum(row["status"].startswith("cancelled") for row in theirs)
        assert (line["reviews"], line["stars"]) == (len(given), sum(given))
        assert line["rating"] == (round(sum(given) / len(given), 2) if given else None)


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_a_day_is_the_regions_own_from_midnight_to_midnight(years: Mapping[str, Year], region: str) -> None:
    year = years[region]
    day = date.fromisoformat(days_of(year)["to"]) - timedelta(days=17)
    orders = await year.rows("SELECT number, created_at FROM marketplace.orders")
    expected = {row["number"] for row in orders if day_of(year, row) == day}
    found = await year.pages("staff", "/reports/orders", limit=9, from_=str(day), to=str(day))
    assert {line["number"] for line in found} == expected
    assert len(found) == len(expected) > 3
    assert [line["created_at"] for line in found] == sorted(line["created_at"] for line in found)
    deliveries = await year.pages("staff", "/reports/deliveries", limit=9, from_=str(day), to=str(day))
    assert {line["minutes"] for line in deliveries} == {6 * 60}, "collected after 15 hours, delivered after 21"


async def test_a_period_that_cannot_be_meant_is_refused(years: Mapping[str, Year]) -> None:
    year = years["qa"]
    for days, field in {
        ("2026-01-02", "2026-01-01"): "to",
        ("2025-01-01", "2026-01-02"): "to",
        ("2026-02-30", "2026-03-01"): "from",
        ("0001-01-01", "2026-03-01"): "from",
        ("2026-01-01", "1767225600"): "to",
    }.items():
        answer = await year.get("staff", "/reports/orders", from_=days[0], to=days[1])
        is_problem(answer, 422, "invalid", field)
    is_problem(await year.get("staff", "/reports/orders", to="2026-01-01"), 422, "invalid", "from")
    a_leap_year = await year.get("staff", "/reports/revenue", from_="2024-01-01", to="2024-12-31", format="csv")
    assert len(table_of(a_leap_year.body)) == 366
    for role in ("customer", "garage", "driver"):
        for report in REPORTS:
            is_problem(await year.get(role, f"/reports/{report}", **days_of(year)), 403, "forbidden")


async def test_a_garages_name_is_not_run_by_the_staffs_spreadsheet(system: System, years: Mapping[str, Year]) -> None:
    year = years["sa"]
    await year.execute(
        "UPDATE marketplace.orders SET garage_name = $2 WHERE garage = $1",
        year.asker.known.garage,
        '=HYPERLINK("http://evil.example","Go")',
    )
    for shard in year.spec.shards:
        await system.replicated(shard.name)
    answer = await year.get("staff", "/reports/garages", format="csv", **days_of(year))
    (row,) = [row for row in table_of(answer.body) if row["garage_id"] == str(year.asker.known.garage)]
    assert row["garage_name"] == '\'=HYPERLINK("http://evil.example","Go")'


async def test_a_shard_that_is_missing_is_named_and_a_csv_is_refused(system: System, years: Mapping[str, Year]) -> None:
    nowhere = {name: f"127.0.0.1:{free_port()}" for name in ("SA_2_PRIMARY", "SA_2_REPLICA")}
    async with gateway(*elsewhere(system, **nowhere)) as (runtime, session):
        known, places = years["sa"].asker.known, years["sa"].asker.places
        year = replace(years["sa"], asker=Asker(runtime, session, "sa", known, places))
        for report in REPORTS:
            answer = await year.get("staff", f"/reports/{report}", **days_of(year))
            assert (answer.status, answer.json["partial"], answer.json["missing"]) == (200, True, ["sa-2"])
            refused = await year.get("staff", f"/reports/{report}", format="csv", **days_of(year))
            is_problem(refused, 503, "shard_unavailable")
        shown = await year.get("staff", "/dashboard")
        assert (shown.json["partial"], shown.json["missing"]) == (True, ["sa-2"])
