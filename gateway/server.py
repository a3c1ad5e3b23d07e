"""Serving: the public and the admin listener, and a shutdown that drops no accepted request.

On SIGTERM or SIGINT: 1. ready answers 503 and answers say `Connection: close`; 2. a lame-duck pause, so that load
balancers notice; 3. the listener closes, and who had connected by then is let in; 4. connections that were let in may
still send their request, and requests under way finish, bounded; 5. pools close; 6. the admin port closes last.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from aiohttp import web

from core.limits import REQUEST_BODY_BYTES_MAX
from gateway.answering import finishing, preflights
from gateway.boundary import boundary, sign
from gateway.cors import Cors
from gateway.routes import add_admin, add_public
from gateway.runtime import Runtime
from gateway.security_headers import security_headers
from gateway.unreadable import Runner

_KEEPALIVE_S: Final = 75.0
_BACKLOG: Final = 1024
_UNREAD_BODY_S: Final = 2.0  # so long the rest of a refused body is thrown away, that its sender sees the answer
_LINGER_S: Final = 0.25
_log = structlog.get_logger("server")


class PortTaken(Exception):
    """A port is in use; the text says which, and which setting changes it."""


@asynccontextmanager
async def listening(runtime: Runtime) -> AsyncIterator[None]:
    """Both listeners, open for the length of the block; the public one is drained first when it ends."""
    settings = runtime.settings
    admin = _runner(runtime, add_admin, Cors(), shutdown_timeout_s=1.0)
    public = _runner(runtime, add_public, runtime.cors, shutdown_timeout_s=settings.drain_s)
    try:
        await admin.setup()
        await public.setup()
        await _listen(admin, _bound(settings.admin_host, settings.admin_port, "ADMIN_PORT"))
        listener = _bound(settings.host, settings.port, "PORT")
        await _listen(public, listener)
        yield
        await _stop_listening(public, listener)
    finally:
        await public.cleanup()
        await admin.cleanup()


async def until_told_to_stop(runtime: Runtime) -> None:
    """Wait for SIGTERM or SIGINT, then lead clients away for the lame-duck pause. A second signal cuts the pause."""
    loop = asyncio.get_running_loop()
    told, told_again = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        (told_again if told.is_set() else told).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    try:
        await told.wait()
        runtime.draining = True
        _log.info("draining", lame_duck_s=runtime.settings.lame_duck_s, bound_s=runtime.settings.drain_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(runtime.settings.lame_duck_s):
                await told_again.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _runner(
    runtime: Runtime, add_routes: Callable[[web.Application, Runtime], None], cors: Cors, *, shutdown_timeout_s: float
) -> web.AppRunner:
    production = runtime.settings.is_production
    middlewares = [boundary(runtime), preflights(cors)]
    app = web.Application(middlewares=middlewares, client_max_size=REQUEST_BODY_BYTES_MAX)
    app.on_response_prepare.extend([sign, finishing(cors, production=production)])
    add_routes(app, runtime)
    return Runner(
        app,
        always=security_headers(production=production),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=_KEEPALIVE_S,
        lingering_time=_UNREAD_BODY_S,
        shutdown_timeout=shutdown_timeout_s,
        handler_cancellation=False,
    )


def _bound(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise PortTaken(f"cannot listen on {host}:{port} ({exc.strerror}); set {setting} to another port") from exc


async def _listen(runner: web.AppRunner, listener: socket.socket) -> None:
    listener.setblocking(False)
    await web.SockSite(runner, listener, backlog=_BACKLOG).start()


async def _stop_listening(runner: web.AppRunner, listener: socket.socket) -> None:
    """Close the listener without resetting the connections that wait in its queue.

    The loop's servers close their socket at once, which resets the queue. A duplicate keeps it open meanwhile: what
    stands in the queue is accepted from that and served like the rest.
    """
    loop = asyncio.get_running_loop()
    assert runner.server is not None
    with listener.dup() as last:
        for site in list(runner.sites):
            await site.stop()
        with suppress(BlockingIOError):
            for _ in range(_BACKLOG):
                connection, _ = last.accept()
                connection.setblocking(False)
                await loop.connect_accepted_socket(runner.server, connection)
    await asyncio.sleep(_LINGER_S)
