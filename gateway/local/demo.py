"""The demo data of `meridian local`: a few people in each country, made through the public API like anybody's."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import ClientSession

from gateway.demo.crew import DEMO_PASSWORD


@dataclass(frozen=True, slots=True)
class Demo:
    """Phone numbers that one can log in with."""

    doha: str
    riyadh: str


@dataclass(frozen=True, slots=True)
class _Person:
    phone: str
    name: str
    garage: str | None = None
    car: tuple[str, str, int] | None = None
    wants: str | None = None
    address: tuple[str, float, float] | None = None


_PEOPLE: Final = (
    _Person(
        "+97433001001",
        "Aisha Al-Kuwari",
        None,
        ("Toyota", "Land Cruiser", 2019),
        "Front left headlight",
        ("West Bay, Doha", 25.3242, 51.5310),
    ),
    _Person(
        "+97433001002",
        "Yousef Al-Marri",
        None,
        ("Nissan", "Patrol", 2021),
        "Alternator",
        ("Al Wakrah", 25.1659, 51.5976),
    ),
    _Person("+97433001003", "Maryam Haddad", None, ("Honda", "Accord", 2017), "Rear bumper", None),
    _Person("+97433002001", "Khalid Nasser", "Salwa Road Spares"),
    _Person("+97433002002", "Omar Farouk", "Industrial Area Motors"),
    _Person(
        "+966500001001",
        "Fahad Al-Otaibi",
        None,
        ("Hyundai", "Sonata", 2020),
        "Radiator",
        ("Olaya, Riyadh", 24.6905, 46.6853),
    ),
    _Person(
        "+966500001002",
        "Noura Al-Harbi",
        None,
        ("Toyota", "Camry", 2018),
        "Side mirror, right",
        ("Al Malqa, Riyadh", 24.8136, 46.6077),
    ),
    _Person("+966500001003", "Sami Al-Ghamdi", None, ("GMC", "Yukon", 2022), "Brake discs", None),
    _Person("+966500001004", "Lama Al-Zahrani", None, ("Kia", "Sportage", 2021), "Tail light", None),
    _Person("+966500002001", "Turki Al-Shehri", "Riyadh Exit 18 Parts"),
    _Person("+966500002002", "Badr Al-Qahtani", "Jeddah Road Spares"),
)


async def seed(base: str) -> Demo:
    """Make the demo people, their vehicles, addresses and requests; whoever is there already is left as they are."""
    async with ClientSession(base + "/api/v1/") as client:
        for person in _PEOPLE:
            token = await _register(client, person)
            if token is not None:
                await _furnish(client, person, {"Authorization": f"Bearer {token}"})
    return Demo(doha=_PEOPLE[0].phone, riyadh=_PEOPLE[5].phone)


async def _register(client: ClientSession, person: _Person) -> str | None:
    body = {
        "full_name": person.name,
        "phone_number": person.phone,
        "password": DEMO_PASSWORD,
        "role": "garage" if person.garage else "customer",
        "garage_name": person.garage,
    }
    async with client.post("auth/register", json=body) as answer:
        if answer.status == 409:
            return None
        answer.raise_for_status()
        return str((await answer.json())["access_token"])


async def _furnish(client: ClientSession, person: _Person, headers: dict[str, str]) -> None:
    things: list[tuple[str, dict[str, Any]]] = []
    if person.car is not None:
        make, model, year = person.car
        things.append(("vehicles", {"make": make, "model": model, "year": year}))
        things.append(
            ("requests", {"car_make": make, "car_model": model, "car_year": year, "part_description": person.wants})
        )
    if person.address is not None:
        text, lat, lng = person.address
        things.append(("addresses", {"label": "Home", "address_text": text, "lat": lat, "lng": lng}))
    for path, body in things:
        async with client.post(path, json=body, headers=headers) as answer:
            answer.raise_for_status()
