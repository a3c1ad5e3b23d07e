"""The mount of reference data: GET and HEAD of the list of sets and of each set."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from core.errors import NotFound, RangeNotSatisfiable
from edge.aio import handler
from edge.messages import Request, Response
from edge.reference import KINDS, PREFIX
from edge.reference.reference import NO_SUCH_SET
from gateway.boundary import CONTEXT
from gateway.geography.headers import REGION
from gateway.operations.dispatch import signals_of
from gateway.operations.openapi.reference import operation_id
from gateway.runtime import Runtime


def add_reference(app: web.Application, runtime: Runtime) -> None:
    """Mount it: public, whoever asks; counted against the limit of their address."""
    app.router.add_get(PREFIX, _mounted("sets", runtime))
    for kind in KINDS:
        app.router.add_get(f"{PREFIX}/{kind.name}", _mounted(kind.name, runtime))
    app.router.add_get(PREFIX + "/{set}", _mounted("none", runtime))


def _mounted(name: str, runtime: Runtime) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    operation = operation_id(name)

    async def handle(request: web.Request) -> web.StreamResponse:
        context = request[CONTEXT]
        context.operation = operation
        signals = signals_of(request, runtime, None)
        runtime.admission.admit(context, signals, None)
        reference = runtime.references.reference
        region = ""
        if request.headers.get(REGION) or reference.depends_on_region(request.path):
            region = runtime.map.geography.decide(signals).region.name

        def answer(asked: Request) -> Response:
            return _with_problems(reference.handle(asked, region))

        return await handler(answer)(request)

    return handle


def _with_problems(response: Response) -> Response:
    """Raises NotFound and RangeNotSatisfiable in the place of a 404 and 416: they are problems like every other."""
    if response.status == 404:
        raise NotFound(NO_SUCH_SET)
    if response.status == 416:
        size = int((response.field("Content-Range") or "").rpartition("/")[2])
        raise RangeNotSatisfiable(f"the document has {size} bytes, and the range begins after them", size=size)
    return response
