"""What others see of a person: nothing that finds, reaches or names them.

The fields are found by walking the models of every operation's answer: a new one that could tell something fails until
it is said here who may see it, and why.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel, ValidationError

from gateway.marketplace import SERVICE
from gateway.marketplace.accounts import Secret
from gateway.marketplace.roles import ADMIN, CUSTOMER, DRIVER, GARAGE, STAFF
from gateway.operations.openapi import document
from gateway.operations.operation import Operation
from tests.integration.http.asking import REGION_OF, REQUEST, made, new_person
from tests.integration.http.authority import AUTHORITY
from tests.integration.http.stage import DISPUTE, REVIEW, ROLES, Stage, advance
from tests.integration.http.trade import STRONG, accepted, done
from tests.system import Person, until

OPERATIONS: Final = SERVICE.api.operations
DOCUMENT: Final = document(OPERATIONS)
_TELLS: Final = re.compile(
    r"phone|e?mail|vin$|\blat|\blng|latitude|longitude|position|location|address|password|secret|token|birth"
    r"|(?<!garage_)(?<!nick)name$"
)
_THEMSELVES: Final = ROLES
_PARTIES: Final = (CUSTOMER, DRIVER, STAFF, ADMIN)

PRIVATE: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "sessions.LoggedIn.access_token": (_THEMSELVES, "their own login"),
    "sessions.LoggedIn.refresh_token": (_THEMSELVES, "their own login"),
    "sessions.UserView.full_name": (_THEMSELVES, "their own account"),
    "sessions.UserView.phone_number": (_THEMSELVES, "their own account"),
    "sessions.UserView.email": (_THEMSELVES, "their own account"),
    "vehicles.Vehicle.vin": ((CUSTOMER,), "their own vehicle"),
    "addresses.Address.address_text": ((CUSTOMER,), "their own address"),
    "addresses.Address.lat": ((CUSTOMER,), "their own address"),
    "addresses.Address.lng": ((CUSTOMER,), "their own address"),
    "uploads.StoredUpload.name": (_THEMSELVES, "the name that they gave their own file"),
    "requests.PartRequest.vin": ((CUSTOMER,), "their own request"),
    "requests.Delivery.address": (_PARTIES, "where an order goes; `Order.seen_by` hides it from garages"),
    "requests.Delivery.lat": (_PARTIES, "where an order goes; `Order.seen_by` hides it from garages"),
    "requests.Delivery.lng": (_PARTIES, "where an order goes; `Order.seen_by` hides it from garages"),
    "orders.Order.driver_name": (ROLES, "the customer and the garage must know to whom they give the part"),
    "deliveries.Driver.full_name": ((STAFF, ADMIN), "whom they give an order to"),
    "deliveries.DriverDelivery.address": ((DRIVER,), "where the driver goes"),
    "deliveries.DriverDelivery.lat": ((DRIVER,), "where the driver goes"),
    "deliveries.DriverDelivery.lng": ((DRIVER,), "where the driver goes"),
    "deliveries.DriverDelivery.customer_name": ((DRIVER,), "whom the driver asks for"),
    "deliveries.DriverDelivery.customer_phone": ((DRIVER,), "whom the driver calls, until it is over"),
    "payments.Payment.client_secret": (
        (CUSTOMER, STAFF, ADMIN),
        "the customer's, for the provider's library in their app; null for the staff",
    ),
}
"""Module, model and field -> the roles that an operation which shows it may be for, and the reason."""

HIDDEN: Final[Mapping[str, str]] = {
    "requests.Delivery": GARAGE,
}
"""A model that operations for this role share with others, and of which it is never shown anything."""


def models_in(hint: Any, seen: set[type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    """Every model that a type is made of."""
    seen = set() if seen is None else seen
    if inspect.isclass(hint) and issubclass(hint, BaseModel) and hint not in seen:
        seen.add(hint)
        yield hint
        for field in hint.model_fields.values():
            yield from models_in(field.annotation, seen)
    for part in get_args(hint):
        yield from models_in(part, seen)


def telling_fields(operation: Operation) -> dict[str, str]:
    """Full name -> name of the fields of an operation's answer that could tell something of a person."""
    return {
        f"{model.__module__.rpartition('.')[2]}.{model.__name__}.{name}": name
        for model in models_in(operation.result)
        for name in model.model_fields
        if _TELLS.search(name)
    }


def documented_properties(node: object, seen: set[str]) -> Iterator[str]:
    """The names of all properties below a place of the API document."""
    if isinstance(node, dict):
        yield from node.get("properties", {})
        ref = node.get("$ref")
        if isinstance(ref, str) and ref not in seen:
            seen.add(ref)
            yield from documented_properties(DOCUMENT["components"]["schemas"][ref.rpartition("/")[2]], seen)
        for child in node.values():
            yield from documented_properties(child, seen)
    elif isinstance(node, list):
        for child in node:
            yield from documented_properties(child, seen)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_answer_shows_nothing_private_to_whom_it_is_not_for(operation: Operation) -> None:
    rule = AUTHORITY[operation.name]
    found = telling_fields(operation)
    for field in found:
        assert field in PRIVATE, f"{field} could tell something of a person: say who may see it, and why"
        roles = set(rule.may) - {HIDDEN.get(field.rpartition(".")[0])}
        assert roles <= set(PRIVATE[field][0]), f"{operation.name} shows {field} to more than {PRIVATE[field]}"
    assert not rule.public or operation.tag == "auth" or not found, "nobody in particular sees nothing private"
    answer = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"][str(operation.status)]
    documented = documented_properties(answer.get("content", {}), set())
    assert {name for name in documented if _TELLS.search(name)} == set(found.values())


def test_a_row_that_does_not_fit_is_not_shown_in_the_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Secret.model_validate({"phone_number": 97455000001, "password_hash": ["a hash"]})
    assert "97455000001" not in str(caught.value)
    assert "a hash" not in str(caught.value)


def test_no_line_is_about_a_field_that_is_not_there() -> None:
    assert set(PRIVATE) == {field for operation in OPERATIONS for field in telling_fields(operation)}


PLANTED: Final = {
    "full_name": "Xanthippe Quillfeather",
    "email": "quillfeather@secret-example.com",
    "vin": "WPZZZ99ZTS3921234",
    "address": "Hidden Alley 7719",
    "lat": 25.2876543,
    "lng": 51.5343219,
}


async def test_others_never_see_what_was_planted(stage: Stage, shard: str) -> None:
    here, client = stage.at(shard), stage.client
    person = await new_person(client, stage.phones, shard, full_name=PLANTED["full_name"], email=PLANTED["email"])
    garage, staff = here.who(GARAGE), here.who(STAFF)
    await trade(here, person)
    planted = [str(value) for value in (*PLANTED.values(), person.phone, person.phone[4:])]
    for path in (
        "/requests/open?limit=100",
        "/bids?limit=100",
        "/orders?limit=100",
        "/disputes?limit=100",
        "/notifications?limit=100",
        "/search?q=mirror",
        f"/garages/{garage.id}/reviews?limit=100",
    ):
        answer = await client.call("GET", path, user=garage, headers=STRONG)
        assert (answer.status, answer.json["items"] != []) == (200, True), (path, answer)
        shown = answer.body.decode()
        assert not [value for value in planted if value in shown], path
    public = await client.call("GET", f"/garages/{garage.id}/reviews", headers=STRONG | {"X-Region": REGION_OF[shard]})
    assert public.json["items"][0]["author"] == "X."
    assert not [value for value in planted if value in public.body.decode()]
    listed = await client.call("GET", "/search?q=mirror", user=staff, headers=STRONG)
    assert not [
        value for value in (PLANTED["vin"], PLANTED["email"], person.phone) if str(value) in listed.body.decode()
    ]


async def trade(here: Stage, person: Person) -> None:
    """The person asks, haggles, buys, complains and praises; and asks again, which stays open."""
    client, garage = here.client, here.who(GARAGE)
    delivery = {name: PLANTED[name] for name in ("address", "lat", "lng")}
    wanted = {**REQUEST, "vin": PLANTED["vin"], "delivery": delivery}
    await made(client, person, "/requests", wanted)
    for status, path, body in (("delivered", "dispute", DISPUTE), ("completed", "review", REVIEW)):
        deal = await accepted(client, person, garage, request=wanted)
        await advance(here.system, here.shard, deal.order["id"], status, driver=here.who(DRIVER))
        after = await done(client, person, f"/orders/{deal.order['id']}/{path}", body)
    await done(client, here.who(STAFF), f"/reviews/{after['id']}/moderate", {"decision": "publish"})
    told = "/notifications?limit=1"

    async def is_told() -> bool:
        return bool((await client.call("GET", told, user=garage, headers=STRONG)).json["items"])

    await until(is_told, what="a notification")
    await here.settled()
