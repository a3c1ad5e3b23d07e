"""What every answer carries, whoever made it: limits, cross-origin permission, security headers, what caches may do.

And the preflights.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admission import tell
from gateway.boundary import CONTEXT
from gateway.caching import fit_for_caches
from gateway.cors import Cors
from gateway.security_headers import add_missing, security_headers

Prepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
_VARY: Final = "Vary"
_PROTOCOL: Final = "X-Forwarded-Proto"  # believed of anybody: it only decides whether HTTPS is promised to who said it


def finishing(cors: Cors, *, production: bool) -> Prepare:
    """What is done just before an answer's headers go, also of one that streams. Only aiohttp's name is overwritten."""
    always = security_headers(production=production)

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        context = request.get(CONTEXT)
        if context is not None:
            tell(response, context)
        if cors.enabled:
            _permit(request, response, cors)
        response.headers["Server"] = always["Server"]  # aiohttp has filled in its own and Python's versions by now
        add_missing(response.headers, always)
        secure = request.secure or request.headers.get(_PROTOCOL) == "https"
        fit_for_caches(response.headers, authorized="Authorization" in request.headers, secure=secure)

    return finish


def preflights(cors: Cors) -> Middleware:
    """Answer a listed origin's preflight without touching anything else; the rest goes on to what it is for."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS" and (headers := cors.preflight(request.headers)) is not None:
            request[CONTEXT].operation = "preflight"
            return web.Response(status=204, headers=headers)
        return await handler(request)

    return around


def _permit(request: web.Request, response: web.StreamResponse, cors: Cors) -> None:
    found = cors.answer(request.headers.get("Origin"))
    vary = found.pop(_VARY, None)
    add_missing(response.headers, found)
    said = response.headers.get(_VARY)
    if vary is not None and (said is None or vary.lower() not in said.lower().replace(" ", "").split(",")):
        response.headers[_VARY] = vary if said is None else f"{said}, {vary}"
