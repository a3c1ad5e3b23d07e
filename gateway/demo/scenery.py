"""What differs between the regions in which the demo is played: names, places and phone numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Scenery:
    """The people and places of one region. `phone_prefix` is that of its mobile numbers, seven digits follow."""

    region: str
    city: str
    phone_prefix: str
    customer: str
    other_customer: str
    garage: str
    rivals: tuple[str, str]
    delivery: Mapping[str, Any]

    def phone(self, number_below: Callable[[int], int]) -> str:
        """A mobile number by chance: `number_below(n)` is a random number from 0 to n - 1."""
        return f"{self.phone_prefix}{number_below(10**7):07d}"


SCENERIES: Final[Mapping[str, Scenery]] = {
    "qa": Scenery(
        region="qa",
        city="Doha",
        phone_prefix="+9746",
        customer="Aisha Al-Kuwari",
        other_customer="Yousef Al-Marri",
        garage="Salwa Road Spares",
        rivals=("Industrial Area Motors", "Wakrah Auto Parts"),
        delivery={"address": "Tower 12, West Bay, Doha", "lat": 25.3242, "lng": 51.5310},
    ),
    "sa": Scenery(
        region="sa",
        city="Riyadh",
        phone_prefix="+96656",
        customer="Noura Al-Harbi",
        other_customer="Fahad Al-Otaibi",
        garage="Exit 18 Parts",
        rivals=("Olaya Motors", "Jeddah Road Spares"),
        delivery={"address": "Street 7, Al Malqa, Riyadh", "lat": 24.8136, "lng": 46.6077},
    ),
}
