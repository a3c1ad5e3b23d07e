"""`meridian edge`: the edge, and what operators ask of one that runs."""

import resource
import shutil
import socket
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import structlog
from cyclopts import App, Parameter

from core.errors import Invalid, MapRefused
from gateway import logs
from gateway.cli.running import complain, run
from gateway.edge.announcing import announce
from gateway.edge.app import serve
from gateway.edge.asking import purge_all
from gateway.edge.plan import Plan, plan_of
from gateway.edge.settings import EdgeSettings
from gateway.edge.workers import Worker, run_workers
from gateway.settings import environment

_KILL_AFTER_S: Final = 10.0
app = App(name="edge", help="Serve from a cache close to the user, in front of a gateway or of any origin.")


@app.default
def edge(
    *,
    origin: str | None = None,
    port: int | None = None,
    host: str | None = None,
    workers: int | None = None,
    region: str | None = None,
    server: Literal["http1", "granian"] | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> int:
    """Serve from a cache, in front of ORIGIN, until SIGTERM or Ctrl-C.

    With an origin and nothing else it is a plain shared cache of that. With SHARD_MAP, or a region of the table that
    is shipped, it also answers reference data by itself, and the region's own gateway is its origin.

    Parameters
    ----------
    origin
        Where answers come from: http:// or https:// and a host (else EDGE_ORIGIN, else the region's gateway).
    port
        Where it listens (else EDGE_PORT, else 8080).
    host
        The address it listens on (else HOST, else every one).
    workers
        How many processes; one for each core unless given.
    region
        The region it stands in; the default region unless given.
    server
        What listens (else EDGE_SERVER): http1 is the edge's own; granian speaks HTTP/2 too, and TLS.
    tls_cert
        The file of a certificate with its chain, for TLS by granian (else EDGE_TLS_CERT).
    tls_key
        The file of its key (else EDGE_TLS_KEY).
    """
    try:
        plan = plan_of(
            environment(),
            origin=origin,
            port=port,
            host=host,
            workers=workers,
            region=region,
            server=server,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
    except (Invalid, MapRefused) as exc:
        complain(exc)
        return 2
    logs.configure(level=plan.settings.log_level, form=plan.settings.form)
    return _run(plan)


def _run(plan: Plan) -> int:
    _allow_many_connections()
    try:
        held = _bound(plan, is_shared=False)
    except OSError as exc:
        at = f"{plan.settings.host}:{plan.settings.port}"
        print(f"cannot listen on {at} ({exc.strerror}); choose another port with --port or EDGE_PORT", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="meridian-edge-"))
    try:
        if plan.workers > 1:
            held.close()
            held = _bound(plan, is_shared=True)  # never listens: it keeps the port while workers come and go

        def work(worker: Worker) -> int:
            sock = held
            if plan.workers > 1:
                structlog.contextvars.bind_contextvars(worker=worker.index)
                sock = _bound(plan, is_shared=True)
            run(serve(plan, worker=worker, folder=folder, sock=sock))
            return 0

        stop_s = plan.settings.drain_s + _KILL_AFTER_S
        return run_workers(plan.workers, work, stop_s=stop_s, on_serving=partial(announce, plan))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _allow_many_connections() -> None:
    """Each is an open file, and the usual soft limit of 1,024 is there for programs of another age."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bound(plan: Plan, *, is_shared: bool) -> socket.socket:
    host, port = plan.settings.host, plan.settings.port
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


@app.command
def purge(
    *,
    url: Annotated[list[str], Parameter(negative="")],
    path: str | None = None,
    group: str | None = None,
    region: str | None = None,
    hard: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Purge what running edges keep of a path, a group or a region. The token is EDGE_PURGE_TOKEN.

    What is purged is asked for anew; while the origin is away it is still served. Exit 0 if every edge did it.

    Parameters
    ----------
    url
        An edge, such as http://127.0.0.1:8080; may be given several times.
    path
        A path, with its query if it has one.
    group
        A cache group, such as reference.
    region
        Everything that is kept for a region.
    hard
        Forget it: serve it no more even if the origin is away.
    """
    try:
        token = EdgeSettings.from_environment(environment()).purge_token
    except Invalid as exc:
        complain(exc)
        return 2
    what = {name: value for name, value in (("url", path), ("group", group), ("region", region)) if value}
    mistake = _mistake(url, given=len(what))
    if token is None or mistake is not None:
        print(mistake or "EDGE_PURGE_TOKEN is not set: it is the token that the edges have", file=sys.stderr)
        return 2
    results = run(purge_all(url, {**what, "hard": hard}, token.get_secret_value()))
    for result in results:
        if result.count is None:
            print(f"{result.url}: {result.reason}", file=sys.stderr)
        else:
            print(f"{result.url}: purged {result.count}")
    return 0 if all(result.count is not None for result in results) else 1


def _mistake(urls: list[str], *, given: int) -> str | None:
    """What is wrong with the arguments of a purge."""
    if given == 0:
        return "say what to purge: give one of --path, --group and --region"
    if given > 1:
        return "give only one of --path, --group and --region; for more, purge once for each"
    if not all(map(_is_base, urls)):
        return "--url: must be http:// or https:// with a host"
    return None


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for one that is none
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
