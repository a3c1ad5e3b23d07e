"""Reviews: one for a completed order, seen by everybody once the staff have let it, by an initial only."""

import asyncio
from uuid import UUID

import pytest

from core.ids import Placement, make_id
from tests.integration.http.asking import Json, is_problem, new_person, shard_of
from tests.integration.http.trade import accepted, at_status, done, hired, post, rows_of, strong
from tests.system import Client, Phones, System

SHARDS_OF = {"qa": ("qa-1",), "sa": ("sa-1", "sa-2")}
REVIEW: Json = {"rating": 4, "part_rating": 5, "comment": "As described"}
SEEN_BY_ALL = {
    "id",
    "author",
    "rating",
    "part_rating",
    "communication_rating",
    "delivery_rating",
    "comment",
    "created_at",
}


@pytest.fixture(params=SHARDS_OF)
def region(request: pytest.FixtureRequest) -> str:
    """A region of one shard, and one of two."""
    return str(request.param)


async def test_a_review_is_written_once_moderated_once_and_then_read_by_anybody(
    gateway: Client, other_gateway: Client, system: System, phones: Phones, region: str
) -> None:
    shards = SHARDS_OF[region]
    garage = await new_person(gateway, phones, shards[0], "garage")
    staff = await hired(gateway, system, phones, shards[-1], "staff")
    far = await hired(gateway, system, phones, "sa-1" if region == "qa" else "qa-1", "admin")
    public, written = f"/garages/{garage.id}/reviews", []
    for shard, name in zip(shards * 2, ("noora Al-Thani", "علي حسن", "Omar", "Sara"), strict=False):
        customer = await new_person(gateway, phones, shard, full_name=name)
        deal = await accepted(gateway, customer, garage)
        path = f"/orders/{deal.order['id']}/review"
        await at_status(system, gateway, deal, "delivered")
        is_problem(await post(gateway, customer, path, REVIEW), 409, "conflict")
        await done(gateway, customer, f"/orders/{deal.order['id']}/confirm-delivery")
        is_problem(await post(gateway, far, path, REVIEW), 403, "forbidden")
        taps = await asyncio.gather(*(post(c, customer, path, REVIEW) for c in (gateway, other_gateway, gateway)))
        assert sorted(answer.status for answer in taps) == [201, 409, 409]
        mine = next(answer.json for answer in taps if answer.status == 201)
        assert (mine["status"], mine["order_id"], mine["garage_id"]) == ("pending", deal.order["id"], garage.id)
        assert mine["author"] == {"noora Al-Thani": "N.", "علي حسن": "ع."}.get(name, f"{name[0]}.")
        written.append((customer, mine))
    ids = [review["id"] for _, review in written]

    assert (await gateway.call("GET", public, headers={"Consistency": "strong"})).json["items"] == []
    pending = await strong(gateway, staff, "/reviews/pending", limit=100)
    assert [review["id"] for review in pending["items"] if review["id"] in ids] == ids, "the oldest first"
    far_pending = await strong(gateway, far, "/reviews/pending", limit=100)
    assert not set(ids) & {review["id"] for review in far_pending["items"]}

    *shown, hidden = ids
    for id, decision in (*((id, "publish") for id in shown), (hidden, "reject")):
        path, body = f"/reviews/{id}/moderate", {"decision": decision, "note": "Read"}
        is_problem(await post(gateway, far, path, body), 404, "not_found")
        both = await asyncio.gather(*(post(client, staff, path, body) for client in (gateway, other_gateway)))
        assert sorted(answer.status for answer in both) == [200, 409]

    seen: list[Json] = []
    query: dict[str, str | int] = {"limit": 1}
    while True:
        page = (await gateway.call("GET", public, headers={"Consistency": "strong"}, params=query)).json
        assert (page["partial"], page["missing"]) == (False, [])
        seen += page["items"]
        if page["next"] is None:
            break
        query = {"limit": 1, "cursor": page["next"]}
    assert [review["id"] for review in seen] == shown[::-1]
    for review in seen:
        assert set(review) == SEEN_BY_ALL
        assert (review["rating"], review["delivery_rating"]) == (4, None)

    first, _ = written[0]
    told = "SELECT body::text FROM meridian.outbox WHERE kind = 'review.published' AND subject = $1"
    (event,) = await rows_of(system, shard_of(gateway, first), told, UUID(ids[0]))
    assert garage.id in event["body"]
    assert written[0][1]["order_id"] not in event["body"], "it would tell the garage whose review it is"


async def test_what_no_review_may_say_or_be_of_is_refused(gateway: Client, system: System, phones: Phones) -> None:
    customer, stranger = [await new_person(gateway, phones, "qa-1") for _ in range(2)]
    staff = await hired(gateway, system, phones, "qa-1", "staff")
    deal = await accepted(gateway, customer, await new_person(gateway, phones, "qa-1", "garage"))
    path = f"/orders/{deal.order['id']}/review"
    wrong: list[Json] = [
        {"rating": 0},
        {"rating": 6},
        {"delivery_rating": 9},
        {"comment": "x" * 1001},
        {"author": "A."},
    ]
    for change in wrong:
        is_problem(await post(gateway, customer, path, {**REVIEW, **change}), 422, "invalid", *change)
    is_problem(await post(gateway, stranger, path, REVIEW), 404, "not_found")
    nothing = make_id(Placement(1, 7), now_ms=1, random_bits=1)
    is_problem(await post(gateway, staff, f"/reviews/{nothing}/moderate", {"decision": "publish"}), 404, "not_found")
    assert (await gateway.call("GET", f"/garages/{nothing}/reviews")).json["items"] == []
    nowhere = make_id(Placement(9, 7), now_ms=1, random_bits=1)
    is_problem(await gateway.call("GET", f"/garages/{nowhere}/reviews"), 404, "not_found")
