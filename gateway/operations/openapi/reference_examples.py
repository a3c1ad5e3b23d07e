"""What the documents of reference data look like: those of Doha, shortened, out of what is shipped."""

from functools import cache
from typing import Any, Final

from edge.reference import KINDS, LANGUAGES, PREFIX, Catalogue, RegionFacts, Zone
from edge.reference.documents import document

Json = dict[str, Any]

_LANGUAGE: Final = LANGUAGES[0]
_ITEMS_MAX: Final = 2
_DOHA: Final = RegionFacts(
    name="qa",
    countries=("QA",),
    names={"en": "Qatar", "ar": "قطر"},
    currency="QAR",
    minor_unit=2,
    time_zone="Asia/Qatar",
    hub=(25.2854, 51.531),
    zones=(Zone("10", "15"), Zone(None, "35")),
)
_LIST: Final[Json] = {
    "set": "sets",
    "language": _LANGUAGE,
    "region": _DOHA.name,
    "title": _DOHA.names[_LANGUAGE],
    "countries": list(_DOHA.countries),
    "currency": _DOHA.currency,
    "minor_unit": _DOHA.minor_unit,
    "time_zone": _DOHA.time_zone,
    "items": [
        {
            "name": "makes",
            "title": "Car makes and models",
            "count": 117,
            "version": "5f1d3c9a7be20648",
            "url": f"{PREFIX}/makes?v=5f1d3c9a7be20648",
        }
    ],
}


@cache
def of(name: str) -> Json:
    """The shortened document of a set, or of `sets`, their list."""
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        return _LIST
    whole = document(kind, _catalogue(), _DOHA, _LANGUAGE)
    return {key: _shortened(value) for key, value in whole.items()}


@cache
def _catalogue() -> Catalogue:
    return Catalogue.shipped()


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(member) for key, member in value.items()}
    return [_shortened(item) for item in value[:_ITEMS_MAX]] if isinstance(value, list) else value
