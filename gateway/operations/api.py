"""The operation API: a service declares its calls with these decorators and writes handlers of a few lines.

A handler's first argument is the Call. Its other arguments are found by their type: names that stand in the path are
path parameters; `Page` is the page asked for; `Upload` is the file of a multipart body; `RawBody` is the body as it
came, with the headers; a pydantic model is the body, or the query string of a GET or DELETE.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from core.database.shard import Consistency
from gateway.caching import Shared
from gateway.operations.operation import READ, Created, Intent, Operation, Parameter
from gateway.operations.pages import Page
from gateway.operations.raw import RawBody
from gateway.operations.streams import Csv
from gateway.operations.uploads import Upload

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])
_PATH_NAME = re.compile(r"\{(\w+)\}")


class Api:
    """The operations of one service. `prefix` stands before every path; `tag` groups them in the API document."""

    def __init__(self, prefix: str = "", *, tag: str = "") -> None:
        self.prefix = prefix
        self.tag = tag
        self.operations: list[Operation] = []

    def include(self, other: "Api") -> None:
        """Take over the operations of another Api, under this one's prefix too."""
        for operation in other.operations:
            self._add(_prefixed(operation, self.prefix))

    def get(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a GET; see `operation` for the keywords."""
        return self.operation("GET", path, **({"intent": READ} | declared))

    def post(self, path: str, *, intent: Intent, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a POST."""
        return self.operation("POST", path, intent=intent, **declared)

    def put(self, path: str, *, intent: Intent, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a PUT."""
        return self.operation("PUT", path, intent=intent, **declared)

    def patch(self, path: str, *, intent: Intent, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a PATCH."""
        return self.operation("PATCH", path, intent=intent, **declared)

    def delete(self, path: str, *, intent: Intent, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a DELETE."""
        return self.operation("DELETE", path, intent=intent, **declared)

    def operation(
        self,
        method: str,
        path: str,
        *,
        intent: Intent,
        role: str | Sequence[str] = (),
        public: bool = False,
        consistency: Consistency = Consistency.SESSION,
        phone_field: str | None = None,
        longest_s: float | None = None,
        attempt: bool = False,
        shared: Shared | None = None,
        errors: Sequence[str] = (),
    ) -> Callable[[Handler], Handler]:
        """Declare one call. `role`: who may make it (empty: every user). `errors`: codes beside the common ones.

        `phone_field` names the body's field whose country helps to place somebody not yet known. `longest_s` gives the
        call longer than the default deadline, as a file over a poor connection needs. `attempt`: it tries credentials,
        so guessing must be slow. `shared`: its answer is the same for everybody, wherever they are, and caches may keep
        it. A declaration that cannot be meant raises TypeError, or ValueError for a call that is declared already.
        """
        roles = frozenset([role] if isinstance(role, str) else role)
        if public and roles:
            raise TypeError(f"{method} {path} is public, so it cannot be for a role")
        if shared is not None:
            _check_shared(shared, method, path, public=public)

        def declare(handler: Handler) -> Handler:
            bound = _bind(handler, method, path)
            _check_phone_field(phone_field, bound.get("body"), handler.__name__)
            self._add(
                Operation(
                    method,
                    self.prefix + path,
                    intent,
                    handler,
                    consistency,
                    roles,
                    public,
                    phone_field,
                    longest_s=longest_s,
                    attempt=attempt,
                    shared=shared,
                    tag=self.tag,
                    errors=tuple(errors),
                    **bound,
                )
            )
            return handler

        return declare

    def _add(self, operation: Operation) -> None:
        if any((o.method, o.path) == (operation.method, operation.path) for o in self.operations):
            raise ValueError(f"{operation.method} {operation.path} is declared twice")
        self.operations.append(operation)


def _prefixed(operation: Operation, prefix: str) -> Operation:
    return replace(operation, path=prefix + operation.path)


def _bind(handler: Callable[..., Awaitable[Any]], method: str, path: str) -> dict[str, Any]:
    hints = _hints(handler)
    names = list(inspect.signature(handler).parameters)[1:]
    in_path = _PATH_NAME.findall(path)
    for name in in_path:
        if name not in names:
            raise TypeError(f"{handler.__name__}: {name} stands in the path but is no argument")
    bound: dict[str, Any] = {"path_parameters": tuple(Parameter(name, hints[name]) for name in in_path)}
    for name in names:
        if name not in in_path:
            place = _place_of(hints[name], method, handler.__name__, name)
            if place in bound:
                raise TypeError(f"{handler.__name__}: argument {name} is a second {place}")
            bound[place] = (name, hints[name])
    if len(bodies := [place for place in ("body", "upload", "raw") if place in bound]) > 1:
        raise TypeError(f"{handler.__name__}: a request has one body, not {' and '.join(bodies)}")
    for place in ("page", "upload", "raw"):
        if place in bound:
            bound[place] = bound[place][0]
    return bound | _outcome(hints["return"])


def _hints(handler: Callable[..., Awaitable[Any]]) -> dict[str, Any]:
    hints = get_type_hints(handler)
    for name in [*list(inspect.signature(handler).parameters)[1:], "return"]:
        if name not in hints:
            raise TypeError(f"{handler.__name__}: {name} has no type")
    return hints


def _outcome(result: Any) -> dict[str, Any]:
    if get_origin(result) is Created:
        return {"result": get_args(result)[0], "status": 201}
    if get_origin(result) is UnionType and Csv in get_args(result):
        (other,) = (choice for choice in get_args(result) if choice is not Csv)
        return {"result": other, "status": 200, "table": True}
    nothing = result is type(None)
    return {"result": None if nothing else result, "status": 204 if nothing else 200}


def _place_of(hint: Any, method: str, handler: str, name: str) -> str:
    if hint is Page:
        return "page"
    if hint is Upload:
        return "upload"
    if hint is RawBody:
        return "raw"
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        return "query" if method in ("GET", "DELETE") else "body"
    raise TypeError(f"{handler}: argument {name} is neither in the path nor a model, a Page, an Upload or a RawBody")


def _check_shared(shared: Shared, method: str, path: str, *, public: bool) -> None:
    if method != "GET" or not public:
        raise TypeError(f"{method} {path} cannot be shared: only a GET for anybody can")
    in_path = _PATH_NAME.findall(path)
    for group in shared.groups:
        if not set(_PATH_NAME.findall(group)) <= set(in_path):
            raise TypeError(f"{method} {path}: the cache group {group} names what does not stand in the path")


def _check_phone_field(phone_field: str | None, body: tuple[str, type[BaseModel]] | None, handler: str) -> None:
    if phone_field is not None and (body is None or phone_field not in body[1].model_fields):
        raise TypeError(f"{handler}: the body has no field {phone_field} for phone_field")
