"""Which two letters are a country, and which only look like one."""

from typing import Final

from iso3166 import countries_by_alpha2

COUNTRIES: Final = frozenset(countries_by_alpha2)
"""ISO 3166-1 alpha-2, with XK (Kosovo) as edges and registries use it."""


def country_named(text: str) -> str | None:
    """The country an edge's header names, in capitals; None for `XX` (unknown), `T1` (Tor), empty and anything else."""
    country = text.strip().upper()
    return country if country in COUNTRIES else None
