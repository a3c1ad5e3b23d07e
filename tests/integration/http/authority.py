"""Who may do what: the specification that the authorization matrix proves, one line for each operation.

An operation that is not here fails the test, and so does a line that is no operation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.marketplace.roles import ADMIN, CUSTOMER, DRIVER, GARAGE, STAFF
from tests.integration.http.asking import ADDRESS, PASSWORD, REQUEST, VEHICLE, Json
from tests.integration.http.stage import DISPUTE, METHOD, OFFER, PAYMENT, REVIEW, ROLES, Stage
from tests.integration.http.trade import BID

Body = Json | Callable[[Stage, str], Json]
OVERSEERS: Final = (STAFF, ADMIN)


@dataclass(frozen=True)
class Rule:
    """Who may call an operation. `may`: the roles, the first of which does it first.

    `thing` is what stands in the path. Its own customer, garage or driver may; of the roles in `region` everybody in
    its region; nobody else, to whom it looks as if it did not exist. `body` depends on the role where it is a function.
    `alone`: it ends or changes the caller's login. `public`: nobody needs to be logged in.
    """

    may: tuple[str, ...] = ROLES
    thing: str = ""
    region: tuple[str, ...] = OVERSEERS
    body: Body | None = None
    query: str = ""
    alone: bool = False
    public: bool = False


def _own(*may: str, thing: str = "", region: tuple[str, ...] = OVERSEERS, body: Body | None = None) -> Rule:
    return Rule(may, thing, region, body)


def _step(stage: Stage, role: str) -> Json:
    return {"status": "preparing" if role == GARAGE else "collected"}


def _driver(stage: Stage, role: str) -> Json:
    return {"driver_id": stage.who(DRIVER).id}


def _number(stage: Stage, role: str) -> Json:
    return {"password": PASSWORD, "phone_number": stage.phones.qatar()}


AUTHORITY: Final[Mapping[str, Rule]] = {
    # One's account
    "auth_register": Rule(public=True),
    "auth_log_in": Rule(public=True),
    "auth_refresh": Rule(public=True),
    "auth_log_out": Rule(alone=True),
    "auth_log_out_everywhere": Rule(alone=True),
    "auth_session": Rule(),
    "me_me": Rule(),
    "me_change": Rule(body={"full_name": "New Name"}),
    "me_change_password": Rule(alone=True, body={"current_password": PASSWORD, "new_password": "another-password"}),
    "me_change_phone": Rule(alone=True, body=_number),
    # What customers keep
    "vehicles_own": _own(CUSTOMER),
    "vehicles_add": _own(CUSTOMER, body=VEHICLE),
    "vehicles_one": _own(CUSTOMER, thing="vehicle"),
    "vehicles_change": _own(CUSTOMER, thing="vehicle", body={"year": 1999}),
    "vehicles_remove": _own(CUSTOMER, thing="vehicle"),
    "addresses_own": _own(CUSTOMER),
    "addresses_add": _own(CUSTOMER, body=ADDRESS),
    "addresses_one": _own(CUSTOMER, thing="address"),
    "addresses_change": _own(CUSTOMER, thing="address", body={"label": "Mine"}),
    "addresses_remove": _own(CUSTOMER, thing="address"),
    # Files: anybody's own, and the region's staff see them
    "uploads_create": Rule(),
    "uploads_content": _own(CUSTOMER, *OVERSEERS, thing="upload"),
    "uploads_delete": _own(CUSTOMER, thing="upload"),
    # Requests, and the garages of their region who bid on them
    "requests_create": _own(CUSTOMER, body=REQUEST),
    "requests_own": _own(CUSTOMER),
    "requests_one": _own(CUSTOMER, thing="request"),
    "requests_cancel": _own(CUSTOMER, thing="request"),
    "feed_open_requests": _own(GARAGE, region=(GARAGE,)),
    "bids_submit": _own(GARAGE, thing="request", region=(GARAGE,), body=BID),
    "bids_of_request": _own(CUSTOMER, *OVERSEERS, thing="request"),
    "bids_own": _own(GARAGE),
    "bids_change": _own(GARAGE, thing="bid", body={"amount": "100.00"}),
    "bids_withdraw": _own(GARAGE, thing="bid"),
    "counter_offers_make": _own(CUSTOMER, GARAGE, thing="bid", body=OFFER),
    "counter_offers_one": _own(CUSTOMER, GARAGE, thing="offer"),
    "counter_offers_accept": _own(GARAGE, CUSTOMER, thing="offer"),
    "counter_offers_reject": _own(GARAGE, CUSTOMER, thing="offer"),
    # Orders: their three parties, and the region's staff
    "orders_accept": _own(CUSTOMER, thing="bid"),
    "orders_own": Rule(),
    "orders_single": Rule(thing="order:confirmed"),
    "orders_history": Rule(thing="order:confirmed"),
    "orders_change_status": _own(GARAGE, DRIVER, thing="order:confirmed", body=_step),
    "orders_cancel": _own(CUSTOMER, GARAGE, thing="order", body={"reason": "Too late"}),
    "orders_confirm_delivery": _own(CUSTOMER, thing="order:delivered"),
    # Deliveries
    "deliveries_assign": _own(*OVERSEERS, thing="order:confirmed", body=_driver),
    "deliveries_own": _own(DRIVER),
    "deliveries_drivers": _own(*OVERSEERS),
    "deliveries_move": _own(DRIVER, thing="order:ready_for_pickup", body={"status": "collected"}),
    # Money
    "payments_create": _own(CUSTOMER, thing="order", body=PAYMENT),
    "payments_of_order": _own(CUSTOMER, *OVERSEERS, thing="order"),
    "payments_one": _own(CUSTOMER, *OVERSEERS, thing="payment"),
    "payments_confirm": _own(CUSTOMER, thing="payment", body=METHOD),
    "payments_refund": _own(*OVERSEERS, thing="payment:paid", body={"amount": "1.00", "reason": "A scratch"}),
    "payments_webhook": Rule(public=True),
    # Disputes
    "disputes_open_dispute": _own(CUSTOMER, thing="order:delivered", body=DISPUTE),
    "disputes_listed": _own(CUSTOMER, GARAGE, *OVERSEERS),
    "disputes_one": _own(CUSTOMER, GARAGE, *OVERSEERS, thing="dispute"),
    "disputes_resolve": _own(*OVERSEERS, thing="dispute", body={"decision": "reject", "note": "It was whole"}),
    # Reviews
    "reviews_create": _own(CUSTOMER, thing="order:completed", body=REVIEW),
    "reviews_of_garage": Rule(public=True, thing="garage", region=ROLES),
    "reviews_pending": _own(*OVERSEERS),
    "reviews_moderate": _own(*OVERSEERS, thing="review", body={"decision": "publish"}),
    # What one is told
    "notifications_own": Rule(),
    "notifications_unread_count": Rule(),
    "notifications_mark_read": Rule(body={"all": True}),
    # The region at a glance: one's own, and for the staff all of it
    "dashboard_dashboard": _own(CUSTOMER, GARAGE, *OVERSEERS),
    "search_search": Rule(query="?q=mirror&kind=request", region=(GARAGE, *OVERSEERS)),
    **{
        f"reports_{name}": Rule(OVERSEERS, query="?from=2026-01-01&to=2026-12-31")
        for name in ("orders", "revenue", "disputes", "deliveries", "garages")
    },
    "route_route": Rule(public=True),
}


def body_of(rule: Rule, stage: Stage, role: str) -> dict[str, Any] | None:
    """The body that somebody of a role sends."""
    return rule.body(stage, role) if callable(rule.body) else rule.body
