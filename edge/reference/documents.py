"""The sets as documents: what a client in one region is told in one language. Pure values, no bytes yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from edge.reference.catalogue import Catalogue
from edge.reference.regions import RegionFacts, Zone

LANGUAGES: Final = ("en", "ar")
"""The languages that everything is in, the one for clients that ask for none first."""
Json = dict[str, Any]
Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One set: its name in the path, its title, whether it differs by region, and how its document is made.

    `make` gives the members that come after `set` and `language`; `items` is among them.
    """

    name: str
    title: Names
    is_regional: bool
    make: Callable[[Catalogue, RegionFacts, str], Json]


def document(kind: Kind, catalogue: Catalogue, region: RegionFacts, language: str) -> Json:
    """The whole document of a set. One that does not differ by region is the same whatever `region` is."""
    where = {"region": region.name} if kind.is_regional else {}
    return {"set": kind.name, "language": language, **where, **kind.make(catalogue, region, language)}


def _makes(catalogue: Catalogue, _: RegionFacts, language: str) -> Json:
    return {
        "items": [
            {
                **_named(make, language),
                "models": [
                    {**_named(model, language), "from": model["from"], "to": model["to"]} for model in make["models"]
                ],
            }
            for make in catalogue.sets["makes"]["items"]
        ]
    }


def _categories(catalogue: Catalogue, _: RegionFacts, language: str) -> Json:
    return {
        "items": [
            {**_named(category, language), "items": [_named(item, language) for item in category["items"]]}
            for category in catalogue.sets["categories"]["items"]
        ]
    }


def _areas(catalogue: Catalogue, region: RegionFacts, language: str) -> Json:
    known = catalogue.sets["areas"]["countries"]
    return {
        "items": [
            {
                "id": country,
                "name": known[country]["name"][language],
                "cities": [_city(city, language) for city in known[country]["cities"]],
            }
            for country in region.countries
            if country in known
        ]
    }


def _city(city: Json, language: str) -> Json:
    place = {"lat": city["lat"], "lng": city["lng"]}
    return {**_named(city, language), **place, "areas": [_named(area, language) for area in city["areas"]]}


def _plans(catalogue: Catalogue, region: RegionFacts, language: str) -> Json:
    plans = [
        {
            **_named(plan, language),
            "description": plan["description"][language],
            "commission_percent": plan["commission_percent"],
        }
        for plan in catalogue.sets["plans"]["items"]
    ]
    return {"currency": region.currency, "items": plans}


def _zones(_: Catalogue, region: RegionFacts, language: str) -> Json:
    lat, lng = region.hub
    return {
        "currency": region.currency,
        "hub": {"lat": lat, "lng": lng},
        "items": list(_zone_items(region.zones, region.minor_unit, language)),
    }


def _zone_items(zones: Sequence[Zone], minor_unit: int, language: str) -> Iterator[Json]:
    """The rings from near to far: `from_km` is left out of the first, and nothing is beyond an `up_to_km` of null."""
    begins: str | None = None
    for zone in zones:
        yield {
            "name": _zone_name(begins, zone.up_to_km, language),
            "from_km": begins or "0",
            "up_to_km": zone.up_to_km,
            "fee": str(Decimal(zone.fee).quantize(Decimal(1).scaleb(-minor_unit))),
        }
        begins = zone.up_to_km


def _zone_name(begins: str | None, ends: str | None, language: str) -> str:
    if begins is None and ends is None:
        return {"en": "Everywhere", "ar": "كل المناطق"}[language]
    if begins is None:
        return {"en": f"Up to {ends} km", "ar": f"حتى {ends} كم"}[language]
    if ends is None:
        return {"en": f"Beyond {begins} km", "ar": f"أكثر من {begins} كم"}[language]
    return {"en": f"{begins} to {ends} km", "ar": f"من {begins} إلى {ends} كم"}[language]


_BEARERS: Final[Mapping[str, Names]] = {
    "request": {"en": "Request", "ar": "طلب قطعة"},
    "bid": {"en": "Bid", "ar": "عرض سعر"},
    "counter_offer": {"en": "Counter-offer", "ar": "عرض مقابل"},
    "order": {"en": "Order", "ar": "طلب شراء"},
    "payment": {"en": "Payment", "ar": "دفعة"},
    "refund": {"en": "Refund", "ar": "استرداد"},
    "dispute": {"en": "Dispute", "ar": "نزاع"},
    "review": {"en": "Review", "ar": "تقييم"},
}
"""What has a status, in the order of a trade."""


def _statuses(catalogue: Catalogue, _: RegionFacts, language: str) -> Json:
    known = catalogue.sets["statuses"]
    return {
        "items": [
            {"id": bearer, "name": names[language], "statuses": [_named(status, language) for status in known[bearer]]}
            for bearer, names in _BEARERS.items()
        ]
    }


def _named(item: Json, language: str) -> Json:
    return {"id": item["id"], "name": item["name"][language]}


KINDS: Final = (
    Kind("makes", {"en": "Car makes and models", "ar": "ماركات السيارات وطرازاتها"}, False, _makes),
    Kind("categories", {"en": "Part categories", "ar": "فئات قطع الغيار"}, False, _categories),
    Kind("areas", {"en": "Cities and areas", "ar": "المدن والمناطق"}, True, _areas),
    Kind("plans", {"en": "Garage plans", "ar": "باقات الكراجات"}, True, _plans),
    Kind("delivery-zones", {"en": "Delivery zones", "ar": "مناطق التوصيل"}, True, _zones),
    Kind("statuses", {"en": "Statuses", "ar": "الحالات"}, False, _statuses),
)
"""All sets, in the order in which they are listed."""
