"""A garage's journey: a request lost, a part sold, a part given back, an order cancelled, and what is left of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.demo.stage import Json, Person
from gateway.demo.trade import Market, adds_up, money

_CAR: Final[Json] = {"car_make": "Nissan", "car_model": "Patrol", "car_year": 2021}
_TERMS: Final[Json] = {"part_condition": "used_good", "warranty_days": 30}


@dataclass(frozen=True, slots=True)
class _Sides:
    """Who trade with each other, and who works for them."""

    customer: Person
    garage: Person
    staff: Person
    driver: Person


async def play(market: Market) -> None:
    """Play it. Raises StepFailed for the first step that is not as it should be."""
    stage, place = market.stage, market.place
    stage.title(f"A garage's journey in {place.city} (region {place.region})")
    sides = await _opens(market)
    await _loses(market, sides)
    sold = await _sells(market, sides)
    returned = await _takes_back(market, sides)
    cancelled = await _is_cancelled(market, sides)
    await _reckons(market, sides, sold, (sold, returned, cancelled))


async def _opens(market: Market) -> _Sides:
    stage, place = market.stage, market.place
    staff, driver = await market.crew()
    await stage.step(f"{place.garage} registers in {place.city}, and so does {place.other_customer}")
    garage = await market.register("Khalid Nasser", place.garage)
    customer = await market.register(place.other_customer)
    stage.tell(f"garage {garage.id} on the free plan: its commission is 15 %")
    return _Sides(customer, garage, staff, driver)


async def _asks(market: Market, sides: _Sides, part: str, *, delivered: bool = False) -> Json:
    """A request of the customer's with a photo, found by the garage in its feed."""
    stage = market.stage
    wanted = {**_CAR, "part_description": part, "images": [await market.photo(sides.customer, "part.png")]}
    if delivered:
        wanted["delivery"] = market.place.delivery
    request = await stage.post(sides.customer, "/requests", wanted)
    feed = await stage.look(sides.garage, "/requests/open", make="nissan", limit="100")
    stage.expect(request["id"] in {item["id"] for item in feed["items"]}, "the request in the garage's feed")
    await market.sees_photo(sides.garage, request["images"][0])
    return request


async def _bids(market: Market, garage: Person, request: Json, amount: str, **more: object) -> Json:
    return await market.stage.post(garage, f"/requests/{request['id']}/bids", {"amount": amount, **_TERMS, **more})


async def _loses(market: Market, sides: _Sides) -> None:
    stage, place = market.stage, market.place
    rival_name = place.rivals[0]
    await stage.step(f"{place.garage} bids on an alternator, and {rival_name} bids less")
    request = await _asks(market, sides, "Alternator")
    bid = await _bids(market, sides.garage, request, "450")
    rival = await market.register("Omar Farouk", rival_name)
    better = await _bids(market, rival, request, "410")
    stage.tell(f"{money(bid, 'amount')} against {money(better, 'amount')}")
    await stage.step(f"{sides.customer.first} takes the bid of {rival_name}, and {place.garage} is told")
    await stage.post(sides.customer, f"/bids/{better['id']}/accept")
    await market.told(sides.garage, "bid.rejected", request_id=request["id"])
    stage.tell("its bid is rejected")


async def _sells(market: Market, sides: _Sides) -> Json:
    stage, (customer, garage) = market.stage, (sides.customer, sides.garage)
    await stage.step(f"{garage.name} bids on a radiator with a photo, then betters its bid")
    request = await _asks(market, sides, "Radiator", delivered=True)
    bid = await _bids(market, garage, request, "400", images=[await market.photo(garage, "radiator.png")])
    better = (await stage.call(garage, "PATCH", f"/bids/{bid['id']}", {"amount": "380", "warranty_days": 90})).json
    await market.sees_photo(customer, bid["images"][0])
    stage.tell(
        f"{money(bid, 'amount')}, then {money(better, 'amount')} with {better['warranty_days']} days of warranty"
    )
    await stage.step(f"{customer.first} offers 365, and {garage.name} takes it")
    offer = await stage.post(customer, f"/bids/{bid['id']}/counter-offers", {"amount": "365"})
    await stage.post(garage, f"/counter-offers/{offer['id']}/accept")
    order = await stage.post(customer, f"/bids/{bid['id']}/accept")
    await market.pay(customer, order, "full")
    seen = await stage.look(garage, f"/orders/{order['id']}")
    split = adds_up(total=seen["part_price"], of=(seen["platform_fee"], seen["garage_payout"]))
    stage.expect(split and seen["delivery"] is None, "fee and payout make the price, and the address is not shown")
    stage.tell(
        f"order {order['number']}, paid: of {money(seen, 'part_price')} the platform keeps {seen['platform_fee']}"
    )
    stage.tell(f"and {garage.name} gets {seen['garage_payout']}")
    await stage.step(f"{garage.name} prepares it, a driver brings it, {customer.first} confirms")
    await market.prepare(garage, order)
    await stage.post(sides.staff, f"/orders/{order['id']}/assign-driver", {"driver_id": sides.driver.id})
    await market.deliver(sides.driver, order)
    done = await stage.post(customer, f"/orders/{order['id']}/confirm-delivery")
    stage.expect(done["status"] == "completed", "a completed order")
    stage.tell(f"{order['number']} is completed")
    return seen


async def _takes_back(market: Market, sides: _Sides) -> Json:
    stage, (customer, garage) = market.stage, (sides.customer, sides.garage)
    await stage.step(f"{customer.first} collects a mirror, and it does not fit")
    order = await _collected(market, sides)
    photo = await market.photo(customer, "gap.png")
    complaint = {"reason": "does_not_fit", "description": "The mount is another one.", "images": [photo]}
    dispute = await stage.post(customer, f"/orders/{order['id']}/dispute", complaint)
    await market.sees_photo(garage, photo)
    stage.tell(f"{order['number']} is disputed; {dispute['refund_percent']} % would go back")
    await stage.step("The staff look at the photo and decide for the customer")
    decision = {"decision": "refund", "note": "The photo shows it."}
    resolved = await stage.post(sides.staff, f"/disputes/{dispute['id']}/resolve", decision)
    await market.told(garage, "dispute.resolved", number=order["number"])
    await market.told(customer, "payment.refunded", amount=resolved["refund_amount"])
    stage.tell(f"{money(resolved, 'refund_amount')} of {order['total']} went back to {customer.first}")
    return order


async def _collected(market: Market, sides: _Sides) -> Json:
    """An order that the customer has paid and come for."""
    stage = market.stage
    request = await _asks(market, sides, "Side mirror, right")
    bid = await _bids(market, sides.garage, request, "199.99")
    order = await stage.post(sides.customer, f"/bids/{bid['id']}/accept")
    await market.pay(sides.customer, order, "full")
    await market.prepare(sides.garage, order)
    collected = await stage.post(sides.customer, f"/orders/{order['id']}/confirm-delivery")
    stage.expect(collected["status"] == "delivered", "an order that is delivered, for 48 hours")
    return order


async def _is_cancelled(market: Market, sides: _Sides) -> Json:
    stage, customer = market.stage, sides.customer
    await stage.step(f"{customer.first} pays for a door handle and changes his mind")
    request = await _asks(market, sides, "Door handle")
    bid = await _bids(market, sides.garage, request, "100")
    order = await stage.post(customer, f"/bids/{bid['id']}/accept")
    await market.pay(customer, order, "full")
    cancelled = await stage.post(customer, f"/orders/{order['id']}/cancel", {"reason": "I sold the car."})
    back = (cancelled["cancellation_fee"], cancelled["refunded"])
    stage.expect(adds_up(total=cancelled["paid"], of=back), "fee and refund make what was paid")
    stage.tell(f"{order['number']} is cancelled: fee {money(cancelled, 'cancellation_fee')}, {back[1]} goes back")
    return order


async def _reckons(market: Market, sides: _Sides, sold: Json, orders: tuple[Json, ...]) -> None:
    stage, garage = market.stage, sides.garage
    await stage.step(f"{garage.name} looks at its dashboard")
    shown = await stage.look(garage, "/dashboard")
    stage.expect(shown["revenue_this_month"] == sold["garage_payout"], "the payout of the one order that stands")
    stage.tell(f"{shown['accepted_this_month']} orders this month, revenue {money(shown, 'revenue_this_month')}")
    await stage.step("The staff read the reports")
    staff = sides.staff
    made = datetime.fromisoformat(sold["created_at"]).date()
    # The region's day may be another than that of UTC.
    days = {"from": str(made - timedelta(days=1)), "to": str(made + timedelta(days=1))}
    lines = [line for line in await stage.every(staff, "/reports/garages", **days) if line["garage_id"] == garage.id]
    stage.expect(len(lines) == 1, "one line for the garage")
    (line,) = lines
    counts = (line["orders"], line["completed"], line["cancelled"])
    stage.expect(counts == (3, 1, 1), "three orders, one completed, one cancelled")
    stage.tell(f"{line['orders']} orders: {line['completed']} completed, {line['cancelled']} cancelled, one refunded")
    stage.tell(f"sales {money(line, 'gross')}, of which its payout {line['payout']}")
    table = await stage.call(staff, "GET", "/reports/orders", query={**days, "format": "csv"})
    numbers = [order["number"] for order in orders]
    stage.expect(all(number in table.body.decode() for number in numbers), "its orders in the CSV file")
    stage.tell(f"the CSV file has them too: {', '.join(numbers)}")
