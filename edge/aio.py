"""The edge on aiohttp: the only file of the edge that knows it. Mounted in the gateway for the single server."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from edge.messages import Request, Response


def handler(answer: Callable[[Request], Response]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a pure one."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return _sent(answer(_received(request)))

    return handle


def _received(request: web.Request) -> Request:
    url = request.rel_url
    return Request(request.method, url.raw_path, tuple(request.headers.items()), url.raw_query_string)


def _sent(response: Response) -> web.Response:
    return web.Response(status=response.status, headers=response.headers, body=response.body or None)
