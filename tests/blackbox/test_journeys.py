"""A customer's and a garage's whole journey with the real program, spoken to over HTTP alone, as their apps would."""

import csv
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from core.shard_map.model import RegionName
from gateway.cli.account import hire
from tests.blackbox.app import App, sign_up_on
from tests.blackbox.process import serving
from tests.integration.http.asking import PASSWORD
from tests.system import Client, Phones, System

WEST_BAY = {"address": "Tower 12, West Bay, Doha", "lat": 25.3242, "lng": 51.5310}  # 4 km from the hub: 10.00
AL_MALQA = {"address": "Street 7, Al Malqa, Riyadh", "lat": 24.8136, "lng": 46.6077}  # 13 km from the hub: 20.00
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Market:
    """The real program in front of both regions, and who works there: staff and driver."""

    client: Client
    crews: Mapping[str, tuple[App, App]]


@pytest.fixture(scope="module")
async def market(
    gateway: Client, system: System, phones: Phones, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Market]:
    async with serving(tmp_path_factory.mktemp("journeys"), system.variables) as program:
        client = program.client
        crews = {
            region: (await hired(gateway, client, new(), "staff"), await hired(gateway, client, new(), "driver"))
            for region, new in (("qa", phones.qatar), ("sa", phones.saudi))
        }
        yield Market(client, crews)


async def hired(gateway: Client, client: Client, phone: str, role: Literal["staff", "driver"]) -> App:
    """Somebody who works for the marketplace, made as `meridian account` makes them, and logged in."""
    assert gateway.runtime is not None
    region = gateway.runtime.fleet.regions[RegionName("qa" if phone.startswith("+974") else "sa")]
    await hire(gateway.runtime, region, phone, role=role, name="Hamza Idris", password=PASSWORD)
    return await App.log_in(client, phone)


async def test_a_customer_finds_a_headlight_and_says_how_it_was(market: Market, phones: Phones) -> None:
    client, (staff, driver) = market.client, market.crews["qa"]

    # Aisha signs up in Doha, adds her car, and asks for a headlight with two photos of the broken one.
    aisha = await App.sign_up(client, phones.qatar(), "Aisha Al-Kuwari")
    car = await aisha.send("/vehicles", make="Toyota", model="Land Cruiser", year=2019, vin="JTMHY7AJ4K4012345")
    photos = [await aisha.photograph(PNG + b"from the front"), await aisha.photograph(PNG + b"from the side")]
    request = await aisha.send(
        "/requests",
        car_make=car["make"],
        car_model=car["model"],
        car_year=car["year"],
        vin=car["vin"],
        part_description="Front left headlight",
        part_category="Lights",
        delivery=WEST_BAY,
        images=photos,
    )
    assert (request["status"], request["images"], request["delivery_fee"]) == ("active", photos, "10.00")
    lifetime = datetime.fromisoformat(request["expires_at"]) - datetime.fromisoformat(request["created_at"])
    assert lifetime == timedelta(hours=24)

    # Three garages look at the photos and bid.
    salwa, wakrah, motors = [
        await App.sign_up(client, phones.qatar(), "Khalid Nasser", name)
        for name in ("Salwa Road Spares", "Wakrah Auto Parts", "Industrial Area Motors")
    ]
    bids = {}
    for garage, amount, condition in (
        (salwa, "280", "used_excellent"),
        (wakrah, "300", "used_good"),
        (motors, "340", "new"),
    ):
        assert await garage.file(f"/uploads/{photos[0]}") == PNG + b"from the front"
        bid = await garage.send(
            f"/requests/{request['id']}/bids", amount=amount, part_condition=condition, warranty_days=90
        )
        bids[bid["garage_name"]] = bid
    for bid in bids.values():
        await aisha.is_told("bid.submitted", subject=bid["id"], request_id=request["id"])
    shown = await aisha.items(f"/requests/{request['id']}/bids")
    assert {(bid["garage_name"], bid["amount"]) for bid in shown} == {
        ("Salwa Road Spares", "280.00"),
        ("Wakrah Auto Parts", "300.00"),
        ("Industrial Area Motors", "340.00"),
    }

    # She offers Salwa Road Spares less; they meet half-way.
    chosen = bids["Salwa Road Spares"]
    first = await aisha.send(f"/bids/{chosen['id']}/counter-offers", amount="240", message="I would take it today")
    second = await salwa.send(f"/bids/{chosen['id']}/counter-offers", amount="260")
    agreed = await aisha.send(f"/counter-offers/{second['id']}/accept")
    assert (agreed["status"], agreed["amount"], agreed["round"]) == ("accepted", "260.00", 2)

    # She accepts: one order, at the agreed price; each is told what concerns them.
    order = await aisha.send(f"/bids/{chosen['id']}/accept")
    month = datetime.now(ZoneInfo("Asia/Qatar")).strftime("%y%m")
    assert re.fullmatch(rf"QA-{month}-\d{{6}}", order["number"]), order["number"]
    assert (order["part_price"], order["delivery_fee"], order["total"]) == ("260.00", "10.00", "270.00")
    assert (order["currency"], order["status"]) == ("QAR", "pending_payment")
    await salwa.is_told("counter_offer.made", subject=first["id"], bid_id=chosen["id"])
    await aisha.is_told("counter_offer.made", subject=second["id"], bid_id=chosen["id"])
    await salwa.is_told("bid.accepted", subject=chosen["id"])
    await wakrah.is_told("bid.rejected", subject=bids["Wakrah Auto Parts"]["id"])
    assert "accepted already" in await aisha.refused(f"/bids/{bids['Wakrah Auto Parts']['id']}/accept")

    # The deposit: one card is declined, another works. Then the rest.
    payments = f"/orders/{order['id']}/payments"
    deposit = await aisha.send(payments, kind="deposit")
    assert deposit["amount"] == "54.00"
    declined = await aisha.send(f"/payments/{deposit['id']}/confirm", method="sandbox_declined")
    assert (declined["status"], declined["failure"]) == ("failed", "card_declined")
    assert (await aisha.see(f"/orders/{order['id']}"))["status"] == "pending_payment"
    deposit = await aisha.send(payments, kind="deposit")
    assert (await aisha.send(f"/payments/{deposit['id']}/confirm", method="sandbox_card"))["status"] == "paid"
    assert (await aisha.see(f"/orders/{order['id']}"))["status"] == "confirmed"
    rest = await aisha.send(payments, kind="full")
    assert rest["amount"] == "216.00"
    assert (await aisha.send(f"/payments/{rest['id']}/confirm", method="sandbox_card"))["status"] == "paid"
    assert (await aisha.see(f"/orders/{order['id']}"))["paid"] == "270.00"

    # The garage prepares it; the staff give it to a driver, who brings it.
    status = f"/orders/{order['id']}/status"
    assert (await salwa.change(status, status="preparing"))["status"] == "preparing"
    assert (await salwa.change(status, status="ready_for_pickup"))["status"] == "ready_for_pickup"
    assert (await aisha.see("/dashboard"))["active_orders"] == 1
    assert (await staff.send(f"/orders/{order['id']}/assign-driver", driver_id=driver.id))["driver_id"] == driver.id
    delivery = next(d for d in await driver.items("/deliveries", status="active") if d["id"] == order["id"])
    assert (delivery["address"], delivery["customer_phone"]) == (WEST_BAY["address"], aisha.person.phone)
    for step in ("collected", "in_transit", "delivered"):
        assert (await driver.send(f"/deliveries/{order['id']}/status", status=step))["status"] == step
    await driver.is_told("delivery.assigned", number=order["number"])
    await aisha.is_told("order.status_changed", number=order["number"], status="delivered")
    assert (await aisha.see("/dashboard"))["to_confirm"] == 1

    # She confirms it, and reviews; the staff publish the review, and anybody reads it, without her name.
    assert (await aisha.send(f"/orders/{order['id']}/confirm-delivery"))["status"] == "completed"
    review = await aisha.send(f"/orders/{order['id']}/review", rating=5, comment="As good as new, and it fits.")
    unseen = await client.call("GET", f"/garages/{salwa.id}/reviews", headers={"Consistency": "strong"})
    assert unseen.json["items"] == []
    await staff.send(f"/reviews/{review['id']}/moderate", decision="publish")
    read = await client.call("GET", f"/garages/{salwa.id}/reviews", headers={"Consistency": "strong"})
    [published] = read.json["items"]
    assert (published["author"], published["rating"], published["comment"]) == (
        "A.",
        5,
        "As good as new, and it fits.",
    )
    await aisha.is_told("review.published", subject=review["id"])

    # Looking back: what became of the order, by whom; what she was told; nothing is left to do.
    history = (await aisha.see(f"/orders/{order['id']}/history"))["items"]
    assert [(entry["to_status"], entry["actor_role"]) for entry in history] == [
        ("pending_payment", "customer"),
        ("confirmed", "system"),
        ("preparing", "garage"),
        ("ready_for_pickup", "garage"),
        ("collected", "driver"),
        ("in_transit", "driver"),
        ("delivered", "driver"),
        ("completed", "customer"),
    ]
    kinds = [notification["kind"] for notification in await aisha.items("/notifications")]
    assert (kinds.count("payment.failed"), kinds.count("payment.succeeded")) == (1, 2)
    assert (await aisha.see("/notifications/unread-count"))["unread"] == len(kinds)
    assert (await aisha.send("/notifications/read", all=True))["unread"] == 0
    assert await aisha.see("/dashboard") == {
        "role": "customer",
        "active_requests": 0,
        "active_orders": 0,
        "deliveries": 0,
        "to_confirm": 0,
    }
    [found] = await aisha.items("/search", q=order["number"])
    assert (found["kind"], found["id"], found["title"]) == ("order", order["id"], order["number"])


async def test_a_garage_loses_sells_takes_back_and_reckons(market: Market, phones: Phones) -> None:
    client, (staff, driver) = market.client, market.crews["sa"]

    # The garage lives on one shard of the region, its customer, and so all that they trade, on the other.
    exit_18 = await sign_up_on("sa-1", client, phones, "Turki Al-Shehri", "Exit 18 Parts")
    rival = await sign_up_on("sa-1", client, phones, "Badr Al-Qahtani", "Olaya Motors")
    noura = await sign_up_on("sa-2", client, phones, "Noura Al-Harbi")
    assert (await exit_18.shard(), await noura.shard()) == ("sa-1", "sa-2")
    today = datetime.now(ZoneInfo("Asia/Riyadh")).date()

    async def asked(part: str, **more: object) -> str:
        """A request of Noura's with a photo, which the garage finds in its feed."""
        images = [await noura.photograph(PNG + part.encode())]
        car = {"car_make": "Nissan", "car_model": "Patrol", "car_year": 2021}
        request = await noura.send("/requests", **car, part_description=part, images=images, **more)
        [seen] = [r for r in await exit_18.items("/requests/open", make="nissan") if r["id"] == request["id"]]
        assert not {"customer", "customer_id", "vin", "delivery"} & set(seen)
        assert await exit_18.file(f"/uploads/{seen['images'][0]}") == PNG + part.encode()
        return str(request["id"])

    async def bid(garage: App, request: str, amount: str, **more: object) -> str:
        terms = {"part_condition": "used_good", "warranty_days": 30}
        made = await garage.send(f"/requests/{request}/bids", amount=amount, **terms, **more)
        return str(made["id"])

    async def paid(bid: str) -> dict[str, str]:
        """The order of a bid, paid in full."""
        order = await noura.send(f"/bids/{bid}/accept")
        payment = await noura.send(f"/orders/{order['id']}/payments", kind="full")
        assert (await noura.send(f"/payments/{payment['id']}/confirm", method="sandbox_card"))["status"] == "paid"
        return order

    async def prepared(order: dict[str, str]) -> None:
        for status in ("preparing", "ready_for_pickup"):
            await exit_18.change(f"/orders/{order['id']}/status", status=status)

    # It loses one request: the rival bids less, and the garage is told.
    alternator = await asked("Alternator")
    lost = await bid(exit_18, alternator, "450")
    await noura.send(f"/bids/{await bid(rival, alternator, '410')}/accept")
    await exit_18.is_told("bid.rejected", subject=lost, request_id=alternator)
    [own] = await exit_18.items("/bids")
    assert (own["id"], own["status"]) == (lost, "rejected")

    # It wins another: a bid with a photo, bettered, and a counter-offer that it answers.
    radiator = await asked("Radiator", delivery=AL_MALQA)
    picture = await exit_18.photograph(PNG + b"our radiator")
    won = await bid(exit_18, radiator, "400", images=[picture])
    assert await noura.file(f"/uploads/{picture}") == PNG + b"our radiator"
    better = await exit_18.change(f"/bids/{won}", amount="380", warranty_days=90)
    assert (better["amount"], better["warranty_days"]) == ("380.00", 90)
    offer = await noura.send(f"/bids/{won}/counter-offers", amount="350")
    answer = await exit_18.send(f"/bids/{won}/counter-offers", amount="365")
    await noura.send(f"/counter-offers/{answer['id']}/accept")
    sold = await paid(won)
    assert re.fullmatch(rf"SA-{today:%y%m}-\d{{6}}", sold["number"])
    assert (sold["total"], sold["currency"]) == ("385.00", "SAR")

    # Its plan is free, so 15 % of the part's price is the platform's. It does not see where the part goes.
    seen = await exit_18.see(f"/orders/{sold['id']}")
    assert (seen["part_price"], seen["platform_fee"], seen["garage_payout"]) == ("365.00", "54.75", "310.25")
    assert seen["delivery"] is None
    await prepared(sold)
    await staff.send(f"/orders/{sold['id']}/assign-driver", driver_id=driver.id)
    for step in ("collected", "in_transit", "delivered"):
        await driver.send(f"/deliveries/{sold['id']}/status", status=step)
    await noura.send(f"/orders/{sold['id']}/confirm-delivery")
    await exit_18.is_told("order.status_changed", number=sold["number"], status="completed")
    await exit_18.is_told("counter_offer.made", subject=offer["id"])
    await exit_18.is_told("counter_offer.accepted", subject=answer["id"])

    # A mirror that Noura collects does not fit: she disputes it, and the staff give her 85 % back.
    mirror = await paid(await bid(exit_18, await asked("Side mirror, right"), "199.99"))
    await prepared(mirror)
    assert (await noura.send(f"/orders/{mirror['id']}/confirm-delivery"))["status"] == "delivered"
    evidence = await noura.photograph(PNG + b"the gap")
    dispute = await noura.send(
        f"/orders/{mirror['id']}/dispute",
        reason="does_not_fit",
        description="The mount is another one.",
        images=[evidence],
    )
    assert await exit_18.file(f"/uploads/{evidence}") == PNG + b"the gap"
    assert dispute["id"] in {open_["id"] for open_ in await staff.items("/disputes")}
    resolved = await staff.send(f"/disputes/{dispute['id']}/resolve", decision="refund", note="The photo shows it.")
    assert (resolved["status"], resolved["refund_percent"], resolved["refund_amount"]) == ("resolved", 85, "169.99")

    # A door handle is cancelled when it is paid and confirmed: that costs Noura 5 %, the rest goes back.
    handle = await paid(await bid(exit_18, await asked("Door handle"), "100"))
    cancelled = await noura.send(f"/orders/{handle['id']}/cancel", reason="I sold the car.")
    assert (cancelled["status"], cancelled["cancellation_fee"]) == ("cancelled_by_customer", "5.00")
    assert (cancelled["paid"], cancelled["refunded"]) == ("100.00", "95.00")
    await exit_18.is_told("dispute.opened", subject=dispute["id"], number=mirror["number"])
    await exit_18.is_told("dispute.resolved", subject=dispute["id"])
    for amount in ("169.99", "95.00"):
        await noura.is_told("payment.refunded", amount=amount, currency="SAR")

    # What is left of it: the garage's dashboard, and the staff's reports as pages and as a file.
    assert await exit_18.see("/dashboard") == {
        "role": "garage",
        "currency": "SAR",
        "partial": False,
        "missing": [],
        "pending_bids": 0,
        "accepted_this_month": 3,
        "active_orders": 0,
        "revenue_this_month": "310.25",
    }
    days = {"from": str(today), "to": str(today + timedelta(days=1))}
    [line] = [g for g in await staff.items("/reports/garages", **days) if g["garage_id"] == exit_18.id]
    assert (line["orders"], line["completed"], line["cancelled"]) == (3, 1, 1)
    assert (line["gross"], line["payout"], line["currency"]) == ("385.00", "310.25", "SAR")
    expected = {
        sold["number"]: ("completed", "385.00", "54.75", "310.25", "385.00", "0.00", "0.00"),
        mirror["number"]: ("refunded", "199.99", "30.00", "169.99", "199.99", "169.99", "0.00"),
        handle["number"]: ("cancelled_by_customer", "100.00", "15.00", "85.00", "100.00", "95.00", "5.00"),
    }
    columns = ("status", "total", "platform_fee", "garage_payout", "paid", "refunded", "cancellation_fee")
    pages = await staff.items("/reports/orders", **days)
    table = csv.DictReader(StringIO((await staff.file("/reports/orders", **days, format="csv")).decode("utf-8-sig")))
    for rows in (pages, list(table)):
        ours = {row["number"]: row for row in rows if row["garage_id"] == exit_18.id}
        assert {number: tuple(row[name] for name in columns) for number, row in ours.items()} == expected
    [told] = [d for d in await staff.items("/reports/disputes", **days) if d["id"] == dispute["id"]]
    assert (told["number"], told["reason"], told["refund_amount"]) == (mirror["number"], "does_not_fit", "169.99")
