"""The one table of stories behind granian, over HTTP/1.1; and what is granian's alone: HTTP/2, TLS, how it ends."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.http1.limits import Limits
from edge.messages import Request, Response, Stream
from edge.upstream import upstream
from gateway.edge.certificate import Certificate
from gateway.edge.http2 import Http2Listener
from tests.edge.checking import ScriptedOrigin, check, marked
from tests.edge.serving import Answer, Plain, body_of
from tests.edge.stories import STORIES
from tests.edge.table import EDGE_NAME, Case
from tests.edge.test_http1_stories import Stage
from tests.edge.wire import LOOPBACK, Closed, asked, connected, origin_on_http
from tests.system import until

LARGE = b"0123456789abcdef" * 64 * 1024


@asynccontextmanager
async def on_granian(
    answer: Answer, *, certificate: Certificate | None = None, limits: Limits | None = None
) -> AsyncIterator[int]:
    """The port of granian with this service, for the length of the block."""
    listener = Http2Listener(Plain(answer), certificate=certificate, limits=limits or Limits())
    sock = socket.socket()
    sock.bind((LOOPBACK, 0))
    port = sock.getsockname()[1]
    await listener.start(sock)
    try:
        yield port
    finally:
        await listener.stop()


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        stage = Stage(ScriptedOrigin())
        port = await stack.enter_async_context(origin_on_http(stage.say))
        stage.upstream = await stack.enter_async_context(upstream(f"http://{LOOPBACK}:{port}", name=EDGE_NAME))
        stage.port = await stack.enter_async_context(on_granian(stage.answer))
        yield stage


@pytest.mark.parametrize("case", STORIES, ids=lambda case: case.says)
async def test_the_edge_answers_behind_granian(case: Case, stage: Stage) -> None:
    stage.begin()
    for number, step in enumerate(marked(case, "http2").steps, 1):
        stage.expect(step)
        response = await asked(stage.port, step.request)
        await stage.rest()
        try:
            check(step, response, stage.script.asked)
        except AssertionError as wrong:
            raise AssertionError(f"{case.says}, step {number}: {wrong}") from None
