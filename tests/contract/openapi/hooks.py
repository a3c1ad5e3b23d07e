"""What Schemathesis is told of the running system: whose token goes with an operation, and which things there are.

It is loaded by the Schemathesis process alone. `CONTRACT_WORLD` names a JSON file: `tokens` (operation -> access
tokens), `things` (operation -> ids for its path), `bodies` (operation -> field -> good values), `seen` (where to write
which statuses were answered), `thorough` (whether time does not matter).
"""

import atexit
import json
import os
import re
from collections import Counter
from datetime import date
from itertools import count, cycle
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import schemathesis
from hypothesis import strategies
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData

from tests.contract.openapi.rules import BEYOND_SCHEMA, EVERYWHERE

WORLD = json.loads(Path(os.environ["CONTRACT_WORLD"]).read_text())
SEEN: Counter[str] = Counter()
TOKENS = {name: cycle(tokens) for name, tokens in WORLD["tokens"].items()}
THINGS = {name: cycle(ids) for name, ids in WORLD["things"].items()}
BODIES = {name: {field: cycle(values) for field, values in fields.items()} for name, fields in WORLD["bodies"].items()}
KEYS = count()
_UNKNOWN_HEADER: Final = "x-schemathesis-unknown-property"


schemathesis.openapi.format("date", strategies.dates(date(2026, 1, 1), date(2026, 12, 31)).map(str))


def name_of(operation: Any) -> str:
    """The operation's id in the document."""
    return str(operation.definition.raw.get("operationId", ""))


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Unless the run is thorough: try the headers that all operations share on one operation of each tag.

    The same code reads them for all, and they would be more than half of the run.
    """
    tried: set[str] = set()
    calls = (call for path in raw_schema["paths"].values() for call in path.values())
    for call in calls if not WORLD["thorough"] else ():
        tag = call["tags"][0]
        if tag in tried:
            call["parameters"] = [parameter for parameter in call["parameters"] if "$ref" not in parameter]
        tried.add(tag)


@schemathesis.auth(refresh_interval=None)
class TokenOfSomebodyWhoMay:
    """Logs each operation in as somebody whose role may call it, so that its handler runs."""

    def get(self, case: Any, context: Any) -> str | None:
        """A token for an operation, of each role that may in turn; public ones have none.

        In a chain of calls it is always the same person: what one has made, another may not see.
        """
        tokens = TOKENS.get(name_of(context.operation))
        if tokens is None:
            return None
        if case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL:
            return str(WORLD["tokens"][name_of(context.operation)][0])
        return str(next(tokens))

    def set(self, case: Any, data: str, context: Any) -> None:
        """Send it."""
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make good values true: an invented id gets no further than a 404, and nobody can invent what only we sign."""
    for name, value in (case.path_parameters or {}).items():
        if name_of(case.operation) in THINGS and _is_id(value):
            case.path_parameters[name] = next(THINGS[name_of(case.operation)])
    if _is_good(case, ParameterLocation.HEADER):
        _make_true(case.headers)
    if _is_good(case, ParameterLocation.QUERY) and case.query:
        case.query.pop("cursor", None)
    if _is_good(case, ParameterLocation.BODY) and isinstance(case.body, dict):
        case.body |= {name: next(values) for name, values in BODIES.get(name_of(case.operation), {}).items()}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count what was answered."""
    if case.method.upper() == case.operation.method.upper():
        SEEN[f"{name_of(case.operation)} {response.status_code}"] += 1


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep every failure but two kinds.

    HTTP lets a server ignore a header that it does not know. And what the schema allows may be refused by a rule that
    JSON Schema cannot say: by exactly those of `rules.py`.
    """
    if _UNKNOWN_HEADER in {name.lower() for name in case.headers or {}}:
        return False
    return not (isinstance(failure, RejectedPositiveData) and _is_beyond_schema(case, response))


@atexit.register
def tell() -> None:
    """Write down what was answered, for the test to judge."""
    Path(WORLD["seen"]).write_text(json.dumps(SEEN))


def _is_good(case: Any, location: ParameterLocation) -> bool:
    return case.meta is not None and not case.meta.is_negative_at(location)


def _make_true(headers: Any) -> None:
    headers.pop("Consistency-Token", None)
    if "X-Request-Timeout" in headers:
        headers["X-Request-Timeout"] = "20"  # who waits no longer than a blink may get 503 or 504
    if "X-Region" in headers:
        headers["X-Region"] = "qa"
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = f"key-{next(KEYS)}"


def _is_beyond_schema(case: Any, response: Any) -> bool:
    problem = json.loads(response.content)
    said = [problem["detail"]] if response.status_code != 422 else [e["message"] for e in problem["errors"]]
    rules = [*EVERYWHERE, *BEYOND_SCHEMA.get(name_of(case.operation), ())]
    return all(any(re.search(rule, text) for rule in rules) for text in said)


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False
