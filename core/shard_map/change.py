"""One change between two maps, and the reasons why some may not happen while running."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Difference:
    """One change as a sentence, without secrets. `refused`: a running gateway must not take it over, for `reason`."""

    sentence: str
    refused: bool = False
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.sentence}. {self.reason}" if self.refused else self.sentence


MOVES_BUCKETS: Final = "The rows stay where they are: move the buckets first, with `meridian map plan` and `apply`."
STRANDS_IDS: Final = "Every id of the region carries its code: they would lead nowhere."
RENAMES_REGION: Final = "Sessions, files and metrics are kept under the region's name: give the region its old name."
OTHER_ROWS: Final = "A server holds the rows of its own shard: another shard would take them for its own."
OTHER_STORE: Final = (
    "Another store does not hold the region's files: copy them there first, then restart with the new map."
)
OTHER_DATABASE: Final = "Another database does not hold the shard's rows: restart with the new map once they are there."
