"""From an HTTP request to typed arguments: every wrong field is reported at once, with its place."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.errors import FieldError, Invalid, Malformed, TooLarge
from core.limits import FIELD_ERRORS_MAX, REQUEST_BODY_BYTES_MAX
from gateway.operations.operation import Operation
from gateway.operations.pages import parse_page
from gateway.operations.raw import RawBody, require_json
from gateway.operations.uploads import open_upload
from gateway.signing import Signer


class Binder:
    """Parses requests for one operation; made once, so that no request pays for preparing a validator."""

    def __init__(self, operation: Operation, *, cursors: Signer) -> None:
        self._operation = operation
        self._cursors = cursors
        self._may_be_bare = operation.may_be_bare
        self._path: list[tuple[str, TypeAdapter[Any]]] = [
            (p.name, TypeAdapter(p.type)) for p in operation.path_parameters
        ]

    async def arguments(self, request: web.Request) -> tuple[dict[str, Any], bytes]:
        """The handler's keyword arguments and the raw body.

        Raises Invalid with every wrong field of path, query and body; Malformed, TooLarge or UnsupportedMedia when the
        body cannot be read at all.
        """
        faults: list[FieldError] = []
        bound: dict[str, Any] = {}
        for name, adapter in self._path:
            _try(bound, faults, name, lambda a=adapter, n=name: a.validate_python(request.match_info[n]), (name,))
        if self._operation.query is not None:
            name, model = self._operation.query
            values = {key: request.query.getall(key)[-1] for key in request.query if not self._is_paging(key)}
            _try(bound, faults, name, lambda: model.model_validate(values, strict=False), ())
        self._bind_page(request, bound, faults)
        body = await self._bind_body(request, bound, faults)
        if faults:
            raise Invalid(faults[:FIELD_ERRORS_MAX])
        if self._operation.upload is not None:
            bound[self._operation.upload] = await open_upload(request)
        return bound, body

    def _is_paging(self, key: str) -> bool:
        return self._operation.page is not None and key in ("limit", "cursor")

    def _bind_page(self, request: web.Request, bound: dict[str, Any], faults: list[FieldError]) -> None:
        if self._operation.page is None:
            return
        limit, cursor = request.query.get("limit"), request.query.get("cursor")
        try:
            bound[self._operation.page] = parse_page(
                limit, cursor, operation=self._operation.name, signer=self._cursors
            )
        except Invalid as exc:
            faults.extend(exc.fields)

    async def _bind_body(self, request: web.Request, bound: dict[str, Any], faults: list[FieldError]) -> bytes:
        if self._operation.body is None and self._operation.raw is None:
            return b""
        if self._may_be_bare and not request.body_exists:
            return self._bind_model(b"{}", bound, faults)
        require_json(request)
        body = await read_body(request)
        if self._operation.raw is not None:
            bound[self._operation.raw] = RawBody(body, request.headers)
        return self._bind_model(body, bound, faults)

    def _bind_model(self, body: bytes, bound: dict[str, Any], faults: list[FieldError]) -> bytes:
        if self._operation.body is not None:
            name, model = self._operation.body
            _try(bound, faults, name, lambda: _validated(model, body), ())
        return body


async def read_body(request: web.Request) -> bytes:
    """The whole body, bounded. Raises TooLarge or, when the client went away, Malformed."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as exc:
        raise TooLarge(f"a body may have {REQUEST_BODY_BYTES_MAX} bytes at most") from exc
    except (ConnectionError, web.HTTPBadRequest, web.RequestPayloadError) as exc:
        raise Malformed("the body ended before it was whole") from exc


def _validated(model: type[BaseModel], body: bytes) -> BaseModel:
    if not body:
        raise Malformed("a JSON body is expected")
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Malformed(f"the body is not valid JSON: {first['ctx']['error']}") from exc
        raise


def _try(bound: dict[str, Any], faults: list[FieldError], name: str, parse: Any, place: tuple[str, ...]) -> None:
    try:
        bound[name] = parse()
    except ValidationError as exc:
        faults.extend(_field_errors(exc, place))


def _field_errors(exc: ValidationError, place: tuple[str, ...]) -> Iterable[FieldError]:
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in (*place, *error["loc"]))
        yield FieldError(path or "body", error["msg"].removeprefix("Value error, "))
