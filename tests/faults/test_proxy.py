"""The proxy takes away exactly what it says, and gives it back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from tests.faults.proxy import Proxy
from tests.system import free_port


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    async with Proxy(port) as proxy:
        yield proxy
        for one in Talk.under_way:
            one.writer.transport.abort()
        Talk.under_way.clear()
    server.close()


class Talk:
    """A client's connection."""

    under_way: ClassVar[list["Talk"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.under_way.append(self)

    async def say(self, text: bytes, *, within_s: float = 5.0) -> bytes:
        self.writer.write(text)
        async with asyncio.timeout(within_s):
            return await self.reader.readexactly(len(text))


async def talk(proxy: Proxy) -> Talk:
    return Talk(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def test_it_passes_what_comes(proxy: Proxy) -> None:
    assert await (await talk(proxy)).say(b"x" * 1_000_000) == b"x" * 1_000_000


async def test_refused_means_nobody_listens_and_open_connections_are_reset(proxy: Proxy) -> None:
    open_one = await talk(proxy)
    await open_one.say(b"x")
    await proxy.refuse()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await open_one.say(b"x")
    with pytest.raises(ConnectionRefusedError):
        await talk(proxy)
    await proxy.heal()
    assert await (await talk(proxy)).say(b"x") == b"x"


async def test_cut_ends_what_is_open_and_lets_new_ones_pass(proxy: Proxy) -> None:
    open_one = await talk(proxy)
    await open_one.say(b"x")
    proxy.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await open_one.say(b"x")
    assert await (await talk(proxy)).say(b"x") == b"x"


async def test_a_blackhole_takes_and_says_nothing_until_it_heals(proxy: Proxy) -> None:
    open_one = await talk(proxy)
    await open_one.say(b"x")
    proxy.blackhole()
    new_one = await talk(proxy)
    for one in (open_one, new_one):
        with pytest.raises(TimeoutError):
            await one.say(b"held", within_s=0.2)
    await proxy.heal()
    for one in (open_one, new_one):
        async with asyncio.timeout(5):
            assert await one.reader.readexactly(4) == b"held"


async def test_delay_and_trickle_slow_it_down(proxy: Proxy) -> None:
    one = await talk(proxy)
    for fault in ("delay", "trickle"):
        if fault == "delay":
            proxy.delay(0.1)
        else:
            proxy.trickle(1000)
        began = time.monotonic()
        await one.say(b"x" * 200)
        assert time.monotonic() - began > 0.15
        await proxy.heal()
    assert await one.say(b"x") == b"x"
