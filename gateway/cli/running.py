"""What the commands share: reading settings and the map, telling what is wrong in one line each, running the loop."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeVar

from core.errors import Invalid, MapRefused, MeridianError
from core.shard_map import ShardMap
from gateway.app import shard_map_of
from gateway.settings import Settings

T = TypeVar("T")


def run(main: Coroutine[object, object, T]) -> T:
    """Run on uvloop when it is installed (extra `speed`), on asyncio's own loop when it is not."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def settings_and_map(values: Mapping[str, str]) -> tuple[Settings, ShardMap] | None:
    """The settings and the map of an environment; None after every fault was told on standard error."""
    try:
        settings = Settings.from_environment(values)
        return settings, shard_map_of(settings, values)
    except (Invalid, MapRefused) as exc:
        complain(exc)
        return None


def complain(error: MeridianError) -> None:
    """Tell an error on standard error, one line for each fault."""
    if isinstance(error, Invalid):
        for field in error.fields:
            print(f"{field.field}: {field.message}", file=sys.stderr)
    else:
        print(error.detail, file=sys.stderr)
