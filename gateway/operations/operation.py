"""What an operation is: one declared API call. Plain values; nothing here runs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from core.database.shard import Consistency
from gateway.caching import Shared

T = TypeVar("T")


class Intent(StrEnum):
    """A read goes to a replica, a write to the primary."""

    READ = "read"
    WRITE = "write"


READ, WRITE = Intent.READ, Intent.WRITE


@dataclass(frozen=True, slots=True)
class Created(Generic[T]):
    """A result that answers 201."""

    value: T


class Items(BaseModel, Generic[T]):
    """A page of a list: `next` is the cursor of the page after it, or null."""

    items: list[T]
    next: str | None = None


class PartialItems(Items[T], Generic[T]):
    """A page over several shards: `missing` names those that did not answer; then `partial` is true."""

    partial: bool = False
    missing: list[str] = []


@dataclass(frozen=True, slots=True)
class Parameter:
    """One path parameter of an operation and the type it is parsed to."""

    name: str
    type: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One declared API call: everything that routing, parsing, authorisation and the API document need to know.

    `roles` empty: any user; `public`: nobody needs to be logged in. `phone_field` names the body's field whose country
    is a signal of geography. `upload` names the argument that is the file of a multipart body, `raw` the one that is
    the body as it came. `table`: it may answer with a Csv instead of its result. `longest_s`: how long it may take
    (with `table`: to send one), where that is not the default. `attempt`: it tries credentials, and is limited as such.
    `shared`: what caches may do with its answers, which are then the same for everybody; None: nothing.
    """

    method: str
    path: str
    intent: Intent
    handler: Callable[..., Awaitable[Any]]
    consistency: Consistency = Consistency.SESSION
    roles: frozenset[str] = frozenset()
    public: bool = False
    phone_field: str | None = None
    path_parameters: tuple[Parameter, ...] = ()
    body: tuple[str, type[BaseModel]] | None = None
    upload: str | None = None
    raw: str | None = None
    query: tuple[str, type[BaseModel]] | None = None
    page: str | None = None
    result: Any = None
    table: bool = False
    status: int = 200
    longest_s: float | None = None
    attempt: bool = False
    shared: Shared | None = None
    tag: str = ""
    errors: Sequence[str] = field(default_factory=tuple)

    @property
    def may_be_bare(self) -> bool:
        """Whether a body may be left out whole: that of a POST all of whose fields may be left out together."""
        if self.method != "POST" or self.body is None:
            return False
        try:
            self.body[1].model_validate({})
        except ValidationError:
            return False
        return True

    @property
    def name(self) -> str:
        """The operation's id in the API document, metrics and cursors: the handler's name, after its tag."""
        return f"{self.tag}_{self.handler.__name__}" if self.tag else self.handler.__name__

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]
