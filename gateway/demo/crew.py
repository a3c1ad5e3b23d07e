"""Who works for the marketplace in the demo: `meridian local` makes these people, `meridian demo` logs in as them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

DEMO_PASSWORD: Final = "demo-password"  # noqa: S105  for people who exist only on a developer's machine


@dataclass(frozen=True, slots=True)
class Hired:
    """Somebody whose role nobody can register with."""

    phone: str
    role: Literal["staff", "driver"]
    name: str


class Crew(NamedTuple):
    """A region's."""

    staff: Hired
    driver: Hired


CREWS: Final[Mapping[str, Crew]] = {
    "qa": Crew(Hired("+97433009001", "staff", "Hind Al-Sulaiti"), Hired("+97433009002", "driver", "Imran Qureshi")),
    "sa": Crew(Hired("+966500009001", "staff", "Reem Al-Dossari"), Hired("+966500009002", "driver", "Hamza Idris")),
}
