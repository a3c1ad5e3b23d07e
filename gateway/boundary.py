"""The outermost step of every request: its id and deadline; every error a problem; one log line, one metric."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from core.errors import (
    DeadlineExceeded,
    InternalFault,
    Malformed,
    MeridianError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    WriteLost,
)
from core.limits import DEADLINE_GRACE_S, DEADLINE_MIN_S, REQUEST_ID_CHARS_MAX
from gateway.geography.decision import Decision
from gateway.geography.headers import ROUTE, route_header
from gateway.policies import Standing
from gateway.problems import problem_response

if TYPE_CHECKING:
    from gateway.operations.call import Call
    from gateway.runtime import Runtime

REQUEST_ID: Final = "X-Request-Id"
TIMEOUT: Final = "X-Request-Timeout"
_WELL_FORMED_ID: Final = re.compile(rf"[A-Za-z0-9._:+=/@-]{{1,{REQUEST_ID_CHARS_MAX}}}")
_NO_OPERATION: Final = "none"
_log = structlog.get_logger("gateway")


@dataclass(slots=True)
class Context:
    """What is known of a request while it is answered. `deadline` is in loop seconds; `asked_s`: the client's bound."""

    request_id: str
    started: float
    deadline: float = 0.0
    asked_s: float | None = None
    limit: asyncio.Timeout | None = None
    operation: str = _NO_OPERATION
    decision: Decision | None = None
    call: "Call | None" = None
    dress: Callable[[web.StreamResponse], None] | None = None
    standings: list[Standing] = field(default_factory=list)

    def allow(self, longest_s: float) -> None:
        """Allow `longest_s` from now on, or less if the client asked for less."""
        allowed_s = longest_s if self.asked_s is None else max(DEADLINE_MIN_S, min(self.asked_s, longest_s))
        self.deadline = asyncio.get_running_loop().time() + allowed_s
        if self.limit is not None:
            self.limit.reschedule(self.deadline + DEADLINE_GRACE_S)


CONTEXT: Final = web.RequestKey("meridian_context", Context)


def boundary(runtime: "Runtime") -> Middleware:
    """The one middleware of the gateway."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        context = request[CONTEXT] = Context(_request_id(request), time.perf_counter())
        runtime.metrics.in_flight.inc()
        try:
            response = await _answer(request, handler, context, runtime)
        finally:
            runtime.metrics.in_flight.dec()
        refused_early = not request.content.is_eof()  # what else is sent of the body would be read for nothing
        if (runtime.draining or refused_early) and not response.prepared:
            response.force_close()
        _account(request, response, context, runtime)
        return response

    return around


async def _answer(request: web.Request, handler: Handler, context: Context, runtime: "Runtime") -> web.StreamResponse:
    try:
        context.asked_s = _asked_s(request)
        context.limit = asyncio.timeout(None)
        async with context.limit:
            context.allow(runtime.settings.request_timeout_s)
            return await handler(request)
    except MeridianError as exc:
        return _problem(exc, context, runtime)
    except web.HTTPException as exc:
        return _problem(_of_http(exc, request), context, runtime)
    except TimeoutError:
        return _problem(DeadlineExceeded("the time allowed for this request ran out"), context, runtime)
    except Exception:  # noqa: BLE001  the boundary is where the unexpected stops
        _log.exception("unexpected", request_id=context.request_id, operation=context.operation)
        return _problem(InternalFault("unexpected"), context, runtime)


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    return given if _WELL_FORMED_ID.fullmatch(given) else uuid4().hex


def _asked_s(request: web.Request) -> float | None:
    """The seconds that the client allows; X-Request-Timeout may shorten, never lengthen, the default."""
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    try:
        asked = float(text)
    except ValueError:
        asked = -1.0
    if not asked > 0:
        raise Malformed(f"{TIMEOUT} must be a number of seconds greater than 0")
    return asked


def _problem(error: MeridianError, context: Context, runtime: "Runtime") -> web.Response:
    runtime.metrics.errors.labels(error.code).inc()
    if isinstance(error, InternalFault):
        _log.error("internal fault", detail=error.detail, request_id=context.request_id, operation=context.operation)
    response = problem_response(error, context.request_id)
    if isinstance(error, WriteLost) and context.dress is not None:
        context.dress(response)  # the token that is good from now on
    return response


def _of_http(exc: web.HTTPException, request: web.Request) -> MeridianError:
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = sorted(exc.allowed_methods)
        return MethodNotAllowed(f"{request.method} is not possible here; {', '.join(allowed)} is", allowed=allowed)
    if exc.status == 404:
        return NotFound("there is nothing at this path; /api/docs lists what there is")
    if exc.status == 413:
        return TooLarge("the body is larger than this service reads")
    if exc.status < 500:
        return Malformed(exc.reason)
    return InternalFault(exc.reason)


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what the request has learnt, just before its headers go: also of one that streams."""
    context = request.get(CONTEXT)
    if context is None:
        return  # refused before it came in: an Expect that nobody understands
    response.headers[REQUEST_ID] = context.request_id
    route = route_of(context)
    if route is not None:
        response.headers[ROUTE] = route


def route_of(context: Context) -> str | None:
    """The Meridian-Route of an answer: the shard and role that gave it; before any was asked, the region and `none`."""
    if context.decision is None:
        return None
    if context.call is not None and context.call.route is not None:
        route = context.call.route
        return route_header(route.shard, route.role, context.decision.by, route.epoch, age_s=route.age_s)
    return route_header(context.decision.region.name, "none", context.decision.by, 0)


def _account(request: web.Request, response: web.StreamResponse, context: Context, runtime: "Runtime") -> None:
    seconds = time.perf_counter() - context.started
    runtime.metrics.requests.labels(context.operation, str(response.status)).inc()
    runtime.metrics.seconds.labels(context.operation).observe(seconds)
    if context.call is not None and context.call.route is not None and context.decision is not None:
        route = context.call.route
        runtime.metrics.routed.labels(route.shard, route.role, context.decision.by).inc()
    _log.info(
        "request",
        method=request.method,
        operation=context.operation,
        status=response.status,
        ms=round(seconds * 1000, 1),
        request_id=context.request_id,
        route=route_of(context),
    )
