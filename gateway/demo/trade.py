"""Steps that both journeys take: people who register or log in, photos, orders that are paid and delivered."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from aiohttp import FormData

from gateway.demo.crew import CREWS, DEMO_PASSWORD, Hired
from gateway.demo.scenery import Scenery
from gateway.demo.stage import Answer, Json, Person, Stage, problem

CrewAtWork = tuple[Person, Person]
"""Staff and driver, logged in."""

_NUMBERS_TRIED_MAX: Final = 5
_GIVEN: Final = f"MERIDIAN_ACCOUNT_PASSWORD={DEMO_PASSWORD}"
_PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)
"""A PNG of one black pixel: it stands for a photo."""


@dataclass(frozen=True, slots=True)
class Market:
    """A stage in a region, with what happens there in every journey."""

    stage: Stage
    place: Scenery
    number_below: Callable[[int], int]

    async def register(self, name: str, garage: str | None = None) -> Person:
        """Somebody new, with a phone number by chance; a number that is taken already is not theirs."""
        body: Json = {"full_name": name, "password": DEMO_PASSWORD, "role": "customer"}
        if garage is not None:
            body |= {"role": "garage", "garage_name": garage}
        for left in reversed(range(_NUMBERS_TRIED_MAX)):
            body["phone_number"] = self.place.phone(self.number_below)
            accept = (201, 409) if left else (201,)
            answer = await self.stage.call(None, "POST", "/auth/register", body, accept=accept)
            if answer.status == 201:
                break
        self.stage.expect(answer.json["user"]["region"] == self.place.region, f"an account in {self.place.region}")
        return _person(garage or name, answer)

    async def crew(self) -> CrewAtWork:
        """The region's staff and driver, logged in."""
        await self.stage.step("The staff and a driver come to work")
        crew = CREWS[self.place.region]
        answers = [await self._log_in(hired) for hired in crew]
        why = [
            _how_to_make(hired, answer) for hired, answer in zip(crew, answers, strict=True) if not _is(hired, answer)
        ]
        if why:
            refusals = [problem(answer) for answer in answers if answer.status == 401]
            raise self.stage.failed(*(refusals[-1] if refusals else ()), *why)
        staff, driver = (_person(hired.name, answer) for hired, answer in zip(crew, answers, strict=True))
        return staff, driver

    async def _log_in(self, hired: Hired) -> Answer:
        login: Json = {"phone_number": hired.phone, "password": DEMO_PASSWORD}
        return await self.stage.call(None, "POST", "/auth/login", login, accept=(200, 401))

    async def photo(self, who: Person, name: str) -> str:
        """The id of a photo just sent."""
        form = FormData()
        form.add_field("file", _PIXEL, filename=name, content_type="image/png")
        id: str = (await self.stage.post(who, "/uploads", form))["id"]
        return id

    async def sees_photo(self, who: Person, id: str) -> None:
        """Somebody looks at a photo, which is not their own."""
        answer = await self.stage.call(who, "GET", f"/uploads/{id}")
        self.stage.expect(answer.body == _PIXEL, "the photo as it was sent")

    async def pay(self, who: Person, order: Json, kind: str, method: str = "sandbox_card") -> Json:
        """The payment of an order's deposit, or of all that is left."""
        started = await self.stage.post(who, f"/orders/{order['id']}/payments", {"kind": kind})
        if started["provider"] != "sandbox":
            raise self.stage.failed(
                f"payments go to {started['provider']} here; the demo needs PAYMENT_PROVIDER=sandbox"
            )
        return await self.stage.post(who, f"/payments/{started['id']}/confirm", {"method": method})

    async def prepare(self, garage: Person, order: Json) -> None:
        """The garage prepares an order and puts it ready."""
        for status in ("preparing", "ready_for_pickup"):
            answer = await self.stage.call(garage, "PATCH", f"/orders/{order['id']}/status", {"status": status})
            self.stage.expect(answer.json["status"] == status, f"an order that is {status}")

    async def deliver(self, driver: Person, order: Json) -> None:
        """The driver collects an order and brings it."""
        for status in ("collected", "in_transit", "delivered"):
            moved = await self.stage.post(driver, f"/deliveries/{order['id']}/status", {"status": status})
            self.stage.expect(moved["status"] == status, f"a delivery that is {status}")

    async def told(self, who: Person, kind: str, **about: str) -> None:
        """Wait until somebody has been told of something."""

        async def is_there() -> bool:
            items = (await self.stage.look(who, "/notifications", limit="100"))["items"]
            return any(n["kind"] == kind and about.items() <= n["about"].items() for n in items)

        await self.stage.wait(is_there, f"{who.first} is told {kind}")


def money(thing: Json, field: str) -> str:
    """An amount as people say it."""
    return f"{thing['currency']} {thing[field]}"


def adds_up(*, total: Any, of: tuple[Any, ...]) -> bool:
    """Whether amounts make a sum, to the last digit."""
    return Decimal(total) == sum((Decimal(part) for part in of), Decimal(0))


def _is(hired: Hired, login: Answer) -> bool:
    return login.status == 200 and bool(login.json["user"]["role"] == hired.role)


def _how_to_make(hired: Hired, login: Answer) -> str:
    """What to do for somebody who could not log in, or whose role is another."""
    command = f"meridian account {hired.phone}"
    if login.status == 200:
        return f"{hired.phone} must be a {hired.role} here; change them with: {command} --role {hired.role}"
    made = f'{_GIVEN} {command} --create --role {hired.role} --name "{hired.name}"'
    return f"the {hired.role} is not known here; make them with: {made}"


def _person(name: str, answer: Answer) -> Person:
    return Person(name, answer.json["user"]["id"], answer.json["access_token"], answer.seen)
