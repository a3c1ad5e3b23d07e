"""What a team brings to put its own service on Meridian: operations, migrations, jobs, and parts of its own."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from gateway.operations.api import Api
from gateway.operations.jobs import Job
from gateway.runtime import LoadSession


def _no_parts(_: Mapping[str, str]) -> AbstractAsyncContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Service:
    """A service. `name` is its migrations' source in the ledger; `migrations` a folder of numbered .sql files.

    `open` makes what the service needs beside its shards, from the environment's variables, for the life of the
    gateway: handlers and jobs find it as `parts`. It raises Invalid naming a variable that is wrong.
    """

    name: str
    api: Api
    migrations: Traversable
    load_session: LoadSession
    jobs: Sequence[Job] = ()
    open: Callable[[Mapping[str, str]], AbstractAsyncContextManager[Any]] = _no_parts
