"""Reference data: the sets of every region, checked, versioned by content, answered from memory."""

from edge.reference.catalogue import Catalogue, DataRefused
from edge.reference.documents import KINDS, LANGUAGES
from edge.reference.reference import PREFIX, Reference, groups_changed
from edge.reference.regions import RegionFacts, Zone

__all__ = [
    "KINDS",
    "LANGUAGES",
    "PREFIX",
    "Catalogue",
    "DataRefused",
    "Reference",
    "RegionFacts",
    "Zone",
    "groups_changed",
]
