"""A customer's journey: from the broken headlight to the review that everybody can read."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.demo.stage import Json, Person
from gateway.demo.trade import CrewAtWork, Market, adds_up, money

_CAR: Final[Json] = {"make": "Toyota", "model": "Land Cruiser", "year": 2019}
_BIDS: Final = (
    ("340.00", {"part_condition": "new", "warranty_days": 365}),
    ("280.00", {"part_condition": "used_excellent", "warranty_days": 90}),
    ("300.00", {"part_condition": "used_good", "warranty_days": 30}),
)
_OFFER, _ANSWER = "240.00", "260.00"


async def play(market: Market) -> None:
    """Play it. Raises StepFailed for the first step that is not as it should be."""
    stage, place = market.stage, market.place
    stage.title(f"A customer's journey in {place.city} (region {place.region})")
    crew = await market.crew()
    customer = await _arrives(market)
    request = await _asks(market, customer)
    bids = await _garages_bid(market, request)
    garage, bid = await _haggles(market, customer, request, bids)
    order = await _accepts(market, customer, bid)
    await _pays(market, customer, order)
    await _is_served(market, customer, garage, order, crew)
    await _looks_back(market, customer, order)


async def _arrives(market: Market) -> Person:
    stage, place = market.stage, market.place
    await stage.step(f"{place.customer} registers in {place.city}")
    customer = await market.register(place.customer)
    stage.tell(f"{customer.first} is customer {customer.id}: the id carries where she lives")
    await stage.step(f"{customer.first} adds her car")
    vehicle = await stage.post(customer, "/vehicles", _CAR)
    stage.tell(f"a {vehicle['make']} {vehicle['model']} of {vehicle['year']}")
    return customer


async def _asks(market: Market, customer: Person) -> Json:
    stage, place = market.stage, market.place
    await stage.step(f"{customer.first} photographs the broken headlight and asks for another")
    photos = [await market.photo(customer, f"headlight-{number}.png") for number in (1, 2)]
    wanted = {
        **{f"car_{name}": value for name, value in _CAR.items()},
        "part_description": "Front left headlight",
        "part_category": "Lights",
        "delivery": place.delivery,
        "images": photos,
    }
    request = await stage.post(customer, "/requests", wanted)
    stage.expect(request["images"] == photos and request["status"] == "active", "an active request with two photos")
    stage.tell(f"request {request['id']}, open for 24 hours")
    stage.tell(f"delivery to {place.delivery['address']} would cost {money(request, 'delivery_fee')}")
    return request


async def _garages_bid(market: Market, request: Json) -> list[tuple[Person, Json]]:
    """Three garages and their bids."""
    stage, place = market.stage, market.place
    bids = []
    for name, (amount, terms) in zip((place.rivals[0], place.garage, place.rivals[1]), _BIDS, strict=True):
        await stage.step(f"{name} finds the request, looks at a photo and bids")
        garage = await market.register("Khalid Nasser", name)
        feed = await stage.look(garage, "/requests/open", make="toyota", limit="100")
        seen = [item for item in feed["items"] if item["id"] == request["id"]]
        stage.expect(len(seen) == 1 and "delivery" not in seen[0], "the request in the feed, without the address")
        await market.sees_photo(garage, seen[0]["images"][0])
        bid = await stage.post(garage, f"/requests/{request['id']}/bids", {"amount": amount, **terms})
        condition = bid["part_condition"].replace("_", " ")
        stage.tell(f"{name} offers it {condition} for {money(bid, 'amount')}, warranty {bid['warranty_days']} days")
        bids.append((garage, bid))
    return bids


async def _haggles(
    market: Market, customer: Person, request: Json, bids: Sequence[tuple[Person, Json]]
) -> tuple[Person, Json]:
    """The garage that she takes and its bid, at the price that was agreed."""
    stage = market.stage
    garage, chosen = bids[1]
    await stage.step(f"{customer.first} compares the bids and offers {garage.name} less")
    listed = (await stage.look(customer, f"/requests/{request['id']}/bids"))["items"]
    stage.expect({bid["id"] for bid in listed} == {bid["id"] for _, bid in bids}, "three bids")
    offer = await stage.post(
        customer, f"/bids/{chosen['id']}/counter-offers", {"amount": _OFFER, "message": "I would take it today"}
    )
    stage.tell(f"{money(offer, 'amount')} instead of {money(chosen, 'amount')}")
    await stage.step(f"{garage.name} meets her half-way, and {customer.first} agrees")
    answer = await stage.post(garage, f"/bids/{chosen['id']}/counter-offers", {"amount": _ANSWER})
    agreed = await stage.post(customer, f"/counter-offers/{answer['id']}/accept")
    stage.expect(agreed["status"] == "accepted", "an accepted offer")
    stage.tell(f"agreed at {money(agreed, 'amount')}, in round {agreed['round']} of at most 3")
    return garage, chosen


async def _accepts(market: Market, customer: Person, bid: Json) -> Json:
    stage = market.stage
    await stage.step(f"{customer.first} accepts the bid")
    order = await stage.post(customer, f"/bids/{bid['id']}/accept")
    stage.expect(order["part_price"] == _ANSWER, "the agreed price")
    stage.expect(adds_up(total=order["total"], of=(order["part_price"], order["delivery_fee"])), "a total that adds up")
    sum = f"part {order['part_price']} + delivery {order['delivery_fee']} = {money(order, 'total')}"
    stage.tell(f"order {order['number']}: {sum}; the other two bids are rejected")
    return order


async def _pays(market: Market, customer: Person, order: Json) -> None:
    stage, path = market.stage, f"/orders/{order['id']}"
    await stage.step(f"{customer.first} pays the deposit; her card is declined")
    declined = await market.pay(customer, order, "deposit", "sandbox_declined")
    stage.expect(declined["status"] == "failed", "a failed payment")
    stage.tell(f"{money(declined, 'amount')} not paid: {declined['failure']}")
    await stage.step("Another card works, and the order is confirmed")
    deposit = await market.pay(customer, order, "deposit")
    stage.expect(deposit["status"] == "paid", "a paid deposit")
    stage.tell(f"{money(deposit, 'amount')} paid")
    await stage.step(f"{customer.first} pays the rest")
    rest = await market.pay(customer, order, "full")
    paid = await stage.look(customer, path)
    stage.expect((paid["status"], paid["paid"]) == ("confirmed", paid["total"]), "a confirmed order, paid in full")
    stage.tell(f"{money(rest, 'amount')} paid, {money(paid, 'paid')} in all")


async def _is_served(market: Market, customer: Person, garage: Person, order: Json, crew: CrewAtWork) -> None:
    stage, path = market.stage, f"/orders/{order['id']}"
    staff, driver = crew
    await stage.step(f"{garage.name} prepares the headlight")
    await market.prepare(garage, order)
    stage.tell(f"{order['number']} is ready for pickup")
    await stage.step("The staff give it to a driver")
    assigned = await stage.post(staff, f"{path}/assign-driver", {"driver_id": driver.id})
    stage.tell(f"{assigned['driver_name']} will bring it")
    await stage.step(f"{driver.first} collects it, drives, and delivers")
    await market.deliver(driver, order)
    stage.tell(f"delivered to {market.place.delivery['address']}")
    await stage.step(f"{customer.first} confirms that it is right, and reviews the garage")
    completed = await stage.post(customer, f"{path}/confirm-delivery")
    stage.expect(completed["status"] == "completed", "a completed order")
    review = await stage.post(customer, f"{path}/review", {"rating": 5, "comment": "As good as new, and it fits."})
    stage.tell("five stars, to be read by the staff first")
    await stage.step("The staff publish the review, and anybody can read it")
    await stage.post(staff, f"/reviews/{review['id']}/moderate", {"decision": "publish"})
    shown = (await stage.look(None, f"/garages/{garage.id}/reviews"))["items"][0]
    stage.expect(shown["author"] == f"{customer.name[0]}.", "an author who is an initial")
    stage.tell(f'{shown["rating"]} of 5, "{shown["comment"]}" - {shown["author"]}')


async def _looks_back(market: Market, customer: Person, order: Json) -> None:
    stage = market.stage
    await stage.step(f"{customer.first} looks back")
    await market.told(customer, "order.status_changed", number=order["number"], status="delivered")
    unread: dict[str, Any] = await stage.look(customer, "/notifications/unread-count")
    left = await stage.post(customer, "/notifications/read", {"all": True})
    stage.tell(f"she was told {unread['unread']} things on the way, {left['unread']} are unread now")
    history = (await stage.look(customer, f"/orders/{order['id']}/history"))["items"]
    stage.tell(" > ".join(entry["to_status"] for entry in history))
    dashboard = await stage.look(customer, "/dashboard")
    stage.expect(dashboard["active_orders"] == 0, "no order that is still under way")
    found = (await stage.look(customer, "/search", q=order["number"]))["items"]
    stage.expect([item["id"] for item in found[:1]] == [order["id"]], "the order, found by its number")
    stage.tell(f"{found[0]['title']} is found by its number: {found[0]['subtitle']}, {found[0]['status']}")
