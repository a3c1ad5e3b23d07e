"""The names of the headers that geography reads and writes, and the text of the one it writes."""

from typing import Final

from gateway.geography.decision import Signal

REGION: Final = "X-Region"
COUNTRY_DEFAULT: Final = "CF-IPCountry"
"""The edge's country header, unless the settings name another."""
FORWARDED_FOR: Final = "X-Forwarded-For"
ROUTE: Final = "Meridian-Route"


def route_header(shard: str, role: str, by: Signal, epoch: int, *, age_s: int | None = None) -> str:
    """The value of `Meridian-Route`: where the request went and what decided, `sa-2/replica; by=id; epoch=7`.

    `age=12` is added to an answer of a shard that has had no primary for 12 seconds.
    """
    return f"{shard}/{role}; by={by}; epoch={epoch}" + ("" if age_s is None else f"; age={age_s}")
