"""What is no HTTP request gets a problem too: the runner whose connections say so in the API's own words."""

from typing import Any
from uuid import uuid4

from aiohttp import web

from core.errors import DeadlineExceeded, InternalFault, Malformed, MeridianError
from gateway.problems import problem_response
from gateway.security_headers import add_missing


class Runner(web.AppRunner):
    """An AppRunner that answers what it cannot read, and whatever else never reaches the application, by a problem.

    `always` are the headers of every such answer.
    """

    __slots__ = ("_always",)

    def __init__(self, app: web.Application, *, always: dict[str, str], **options: Any) -> None:
        super().__init__(app, **options)
        self._always = always

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler, request_factory=made.request_factory, always=self._always, options=self._kwargs
        )


class _Server(web.Server):
    def __init__(self, handler: Any, *, request_factory: Any, always: dict[str, str], options: dict[str, Any]) -> None:
        super().__init__(handler, request_factory=request_factory, **options)
        self.always = always

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_always",)

    def __init__(self, manager: _Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._always = manager.always

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Log as aiohttp does, close the connection, and answer without repeating what was sent."""
        super().handle_error(request, status, exc, message)
        response = problem_response(_error(status), uuid4().hex)
        add_missing(response.headers, self._always)
        response.force_close()
        return response


def _error(status: int) -> MeridianError:
    if status < 500:
        return Malformed("this is no HTTP request that can be read")
    return DeadlineExceeded("the time allowed ran out") if status == 504 else InternalFault("unexpected")
