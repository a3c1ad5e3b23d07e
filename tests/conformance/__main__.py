"""Run the suite, say what failed, and end with 1 if anything did that is not known to, or no longer does."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Final

from tests.conformance.suite import Outcome, run

_INVALID_AGE: Final = "an Age that is no number does not count, and of several the first does (RFC 9111 5.1)"
_OWN_PROBLEM: Final = "a problem of the edge itself has no number of the suite's, which this version takes for a hit"
_COOKIE: Final = "a cookie is never kept in a shared cache"

KNOWN: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "age-parse-nonnumeric",
            "age-parse-negative",
            "age-parse-float",
            "age-parse-prefix-twoline",
            "age-parse-dup-0",
            "age-parse-dup-0-twoline",
            "age-parse-dup-old",
            "age-parse-parameter",
            "age-parse-numeric-parameter",
        ),
        _INVALID_AGE,
    ),
    **dict.fromkeys(
        (
            "stale-close-must-revalidate",
            "stale-close-proxy-revalidate",
            "stale-close-no-cache",
            "stale-close-s-maxage=2",
        ),
        _OWN_PROBLEM,
    ),
    "headers-store-Set-Cookie": _COOKIE,
    "304-etag-update-response-Set-Cookie": _COOKIE,
}
"""The required tests that fail, and why they may."""

OPTIMAL_MIN: Final = 75


def wrong(outcomes: Mapping[str, Outcome]) -> list[str]:
    """In words, what is not as it is known to be."""
    required = {id: outcome for id, outcome in outcomes.items() if outcome.kind == "required"}
    failed = {id: outcome.wrong for id, outcome in required.items() if outcome.wrong is not None}
    optimal = [outcome for outcome in outcomes.values() if outcome.kind == "optimal" and outcome.wrong is None]
    return [
        *(f"{id} fails: {why}" for id, why in failed.items() if id not in KNOWN),
        *(f"{id} passes, but is known to fail: {why}" for id, why in KNOWN.items() if id not in failed),
        *([f"only {len(optimal)} optimal tests pass, not {OPTIMAL_MIN}"] if len(optimal) < OPTIMAL_MIN else []),
    ]


def main() -> int:
    """Print the numbers and what is wrong with them."""
    outcomes = asyncio.run(run())
    for kind in ("required", "optimal", "check"):
        of_kind = [outcome for outcome in outcomes.values() if outcome.kind == kind]
        passed = [outcome for outcome in of_kind if outcome.wrong is None]
        print(f"{kind}: {len(passed)} of {len(of_kind)} pass")
    for id, outcome in outcomes.items():
        if outcome.wrong is not None and outcome.kind != "check":
            print(f"  {outcome.kind} {id}: {KNOWN.get(id, outcome.wrong)}")
    found = wrong(outcomes)
    print("\n".join(found) or "all as it is known to be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
