"""What was answered in a whole test session, held against the API document at its end."""

import re
from collections.abc import Iterator
from typing import Final

from gateway.marketplace import SERVICE
from gateway.operations.openapi import document

_VALUE: Final = re.compile(r"(?<=/)[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}(?=/|$)|\{\w+\}")
_BEFORE_ANY_OPERATION: Final = frozenset({417})  # an Expect that nobody understands
_seen: set[tuple[str, str, int]] = set()


def note(method: str, path: str, status: int) -> None:
    """Keep which status a call was answered with. `path` as it was asked for: ids in it are of no interest."""
    _seen.add((method, _VALUE.sub("{}", path.partition("?")[0]), status))


def undocumented() -> list[str]:
    """Every answer to a declared operation that the API document does not tell of."""
    known = dict(_documented())
    return sorted(
        f"{method} {path} answered {status}"
        for method, path, status in _seen
        if status not in _BEFORE_ANY_OPERATION and str(status) not in known.get((method, path), {str(status)})
    )


def _documented() -> Iterator[tuple[tuple[str, str], set[str]]]:
    for path, calls in document(SERVICE.api.operations)["paths"].items():
        for method, call in calls.items():
            yield (method.upper(), _VALUE.sub("{}", path)), set(call["responses"])
