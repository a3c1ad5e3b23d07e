"""Search: who finds what, in which order, in which script; and that nothing a person types is more than words."""

from collections.abc import Mapping

import pytest

from tests.integration.http.asking import Json, is_problem
from tests.integration.year import Year
from tests.system import System

NAME = "Al-Rayyan Star & Sons"
EVERYBODY = ("customer", "garage", "driver", "staff")


@pytest.fixture(params=["qa", "sa"])
def year(years: Mapping[str, Year], request: pytest.FixtureRequest) -> Year:
    """Each region."""
    found: Year = years[request.param]
    return found


async def found(year: Year, role: str, q: str, **more: str | int) -> list[Json]:
    """The first page of what is found."""
    answer = await year.get(role, "/search", q=q, **more)
    assert answer.status == 200, answer
    items: list[Json] = answer.json["items"]
    return items


async def test_pages_are_in_one_order_with_nothing_twice(year: Year) -> None:
    for role, q in (("staff", "sonata mirror"), ("garage", "toyota"), ("customer", "hilux"), ("driver", "mirror")):
        items = await year.pages(role, "/search", q=q, limit=7 if role != "staff" else 100)
        assert items == sorted(items, key=lambda item: (item["rank"], item["id"]), reverse=True)
        assert len({item["id"] for item in items}) == len(items) > 7


async def test_an_order_is_found_by_its_number_and_by_its_beginning(year: Year) -> None:
    newest = await year.rows("SELECT number, customer FROM marketplace.orders ORDER BY id DESC LIMIT 1")
    number = newest[-1]["number"]
    for said in (number, number.lower(), f" {number} "):
        (order, *_) = await found(year, "staff", said)
        assert (order["kind"], order["title"], order["rank"]) == ("order", number, 1000)
    beginning = await found(year, "staff", number[:-2], kind="order")
    assert number in {order["title"] for order in beginning}
    assert all(order["title"].startswith(number[:-2]) and order["rank"] >= 900 for order in beginning)


async def test_everybody_finds_what_they_may_see_and_nothing_else(year: Year) -> None:
    known = year.asker.known
    own = await year.rows("SELECT id FROM marketplace.request WHERE customer = $1", known.customer)
    customers = await year.pages("customer", "/search", q="mirror", limit=100)
    assert {"request", "order"} == {item["kind"] for item in customers}
    assert {item["id"] for item in customers if item["kind"] == "request"} <= {str(row["id"]) for row in own}
    for role, column in (("customer", "customer"), ("garage", "garage"), ("driver", "driver")):
        rows = await year.rows(
            f"SELECT id FROM marketplace.orders WHERE {column} = $1 AND part LIKE '%irror%'", getattr(known, role)
        )
        orders = await year.pages(role, "/search", q="mirror", kind="order", limit=100)
        assert {item["id"] for item in orders} <= {str(row["id"]) for row in rows}
        assert len(orders) > 3
    open_ = await year.pages("garage", "/search", q="mirror", kind="request", limit=100)
    assert {item["status"] for item in open_} == {"active"}
    assert {item["kind"] for item in await found(year, "driver", "mirror")} == {"order"}
    for role, kind in (("driver", "request"), ("driver", "garage"), ("garage", "garage")):
        assert await found(year, role, "mirror", kind=kind) == []


async def test_words_are_found_by_their_beginnings_misspelt_and_in_arabic(system: System, year: Year) -> None:
    await year.execute(
        """UPDATE marketplace.account SET garage_name = $1 WHERE (bucket, id) = (
           SELECT bucket, id FROM marketplace.account WHERE role = 'garage' ORDER BY id DESC LIMIT 1)""",
        NAME,
    )
    for shard in year.spec.shards:
        await system.replicated(shard.name)
    for said in ("rayy", "al rayyan", "RAYYAN, star", "rayan", "son's star", "raiyan star"):
        names = {item["title"] for item in await found(year, "customer", said, kind="garage")}
        assert NAME in names, said
    for arabic, kind in (("مرآة", "request"), ("تويوتا", "request"), ("الخليج", "garage"), ("الخل", "garage")):
        items = await found(year, "staff", arabic, kind=kind)
        assert items, arabic
        assert all(arabic in f"{item['title']} {item['subtitle']}" for item in items)
    part = await year.rows("SELECT part_number, id FROM marketplace.request WHERE status = 'active' LIMIT 1")
    for said in (part[0]["part_number"], part[0]["part_number"].partition("-")[0]):
        assert str(part[0]["id"]) in {
            item["id"] for item in await found(year, "staff", said, kind="request", limit=100)
        }


async def test_nothing_that_is_typed_is_more_than_words(year: Year) -> None:
    for said in (
        "a' & !b:*",
        "100% _x",
        "\\'; DROP TABLE x --",
        "((((ab",
        "<-> ab | !",
        "ab:*:A",
        '""ab',
        "٪ab",
        "، ab",
        "😀😀",
    ):
        for role in EVERYBODY:
            answer = await year.get(role, "/search", q=said)
            assert answer.status == 200, (said, answer)
    assert await found(year, "staff", "%%ab%%") == await found(year, "staff", "ab")
    for refused in ("a", "%_", " x ", "", "a\x00b", "x" * 101):
        is_problem(await year.get("staff", "/search", q=refused), 422, "invalid", "q")
    is_problem(await year.get("staff", "/search", q="ab", kind="person"), 422, "invalid", "kind")


async def test_nothing_found_tells_who_somebody_is(year: Year) -> None:
    for role in EVERYBODY:
        for said in ("mirror", "garage", "somebody", "+9740", "street"):
            answer = await year.get(role, "/search", q=said, limit=100)
            shown = {name for item in answer.json["items"] for name in item}
            assert shown <= {"kind", "id", "title", "subtitle", "status", "created_at", "rank"}
            assert not [secret for secret in ("Somebody", "+9740", "Street 1", "Driver") if secret in str(answer.json)]
