"""Changes of state, told once each: whoever wires the parts makes one log line and one metric of every one."""

from collections.abc import Callable
from typing import TypeAlias

import structlog

OnChange: TypeAlias = Callable[[str, dict[str, object]], None]
"""Called with a change's name and its details; `level` among them (`info` by default) is how loudly to log it."""

_log = structlog.get_logger("core")


def log_change(name: str, details: dict[str, object]) -> None:
    """The log line of a change. A detail `alarm` that is not empty needs a person: it is an error."""
    shown = dict(details)
    level = str(shown.pop("level", "info"))
    getattr(_log, "error" if shown.get("alarm") else level)(name, **shown)
