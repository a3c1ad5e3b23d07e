"""What S3 and Azure promise when the server, the network or the credentials fail."""

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest

from core.limits import STORE_BLOCK_BYTES, STORE_BYTES_PER_S_MIN, STORE_STALL_S
from core.storage.opening import open_store
from core.storage.store import FileMissing, FileStore, StoreUnreachable, put_limit_s
from tests.contract.storage.world import World, at_port, new_key
from tests.servers.wire import Fault, Wire, wired
from tests.system import until

MIB = 2**20
MARGIN_S = 5.0
READ_LIMIT_S = put_limit_s(STORE_BLOCK_BYTES)


@pytest.fixture
async def wire(remote: World) -> AsyncIterator[Wire]:
    """A wire to the store's server, sound until it is given a fault."""
    async with wired(remote.real_server.port) as wire:
        yield wire


@pytest.fixture
async def store(remote: World, wire: Wire) -> AsyncIterator[FileStore]:
    """The store as it is reached through the wire."""
    async with open_store(at_port(remote.real_server, wire.port)) as store:
        await store.probe(writing=True)
        yield store


async def is_missing(world: World, key: str) -> bool:
    try:
        await world.get(key)
    except FileMissing:
        return True
    return False


async def read_into(read: bytearray, store: FileStore, key: str) -> None:
    async with store.open(key) as chunks:
        async for chunk in chunks:
            read += chunk


@pytest.mark.parametrize("size", [MIB - 1, 3 * MIB])
@pytest.mark.parametrize("kind", ["cut", "hold", "spoil"])
async def test_a_file_that_breaks_on_its_way_is_refused_and_nothing_of_it_is_stored(
    remote: World, wire: Wire, store: FileStore, kind: str, size: int
) -> None:
    key, (path, contents) = new_key(), remote.file(b"z" * size)
    wire.fault(Fault(kind, "up", size // 2))  # type: ignore[arg-type]
    started = time.monotonic()
    with pytest.raises(StoreUnreachable) as raised:
        await store.put(key, path, contents)
    assert time.monotonic() - started < put_limit_s(size) + MARGIN_S
    assert "127.0.0.1" not in str(raised.value)
    assert kind != "spoil" or re.fullmatch("refused: (BadDigest|Md5Mismatch)", str(raised.value))
    assert await is_missing(remote, key)
    wire.fault(None)
    await store.put(key, path, contents)
    assert await remote.get(key) == b"z" * size


@pytest.mark.parametrize("kind", ["cut", "hold"])
async def test_a_read_that_breaks_off_is_told_and_never_a_shorter_file(
    remote: World, wire: Wire, store: FileStore, kind: str
) -> None:
    key, read = new_key(), bytearray()
    await remote.put(key, b"z" * 3 * MIB)
    wire.fault(Fault(kind, "down", 3 * MIB // 2))  # type: ignore[arg-type]
    started = time.monotonic()
    with pytest.raises(StoreUnreachable):
        await read_into(read, store, key)
    assert time.monotonic() - started < READ_LIMIT_S + MARGIN_S
    assert len(read) < 3 * MIB
    wire.fault(None)
    async with store.open(key) as chunks:
        assert sum([len(chunk) async for chunk in chunks]) == 3 * MIB


async def test_what_arrives_changed_from_azure_is_not_read(remote: World, wire: Wire, store: FileStore) -> None:
    if store.kind == "S3":
        pytest.skip("S3 sends no checksum with a part of a file")
    key = new_key()
    await remote.put(key, b"z" * 3 * MIB)
    wire.fault(Fault("spoil", "down", 3 * MIB // 2))
    with pytest.raises(StoreUnreachable):
        await read_into(bytearray(), store, key)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_cancelling_closes_the_connection(remote: World, wire: Wire, store: FileStore, way: str) -> None:
    key, (path, contents) = new_key(), remote.file(b"z" * 3 * MIB)
    await remote.put(key, b"z" * 3 * MIB)

    async def used() -> None:
        if way == "up":
            await store.put(new_key(), path, contents)
        await read_into(bytearray(), store, key)

    async def is_held() -> bool:
        return wire.passed[way] > MIB // 2  # type: ignore[index]

    async def is_closed() -> bool:
        return wire.open_connections == 0

    wire.fault(Fault("hold", way, MIB // 2))  # type: ignore[arg-type]
    using = asyncio.create_task(used())
    await until(is_held, what="bytes are held")
    assert wire.open_connections > 0
    using.cancel()
    await asyncio.wait([using])
    await until(is_closed, within_s=1.0, what="the connection is closed")
    wire.fault(None)
    await store.probe(writing=True)


async def test_a_slow_store_is_not_a_dead_one(remote: World) -> None:
    size = 5 * MIB
    key, (path, contents) = new_key(), remote.file(b"z" * size)
    async with (
        wired(remote.real_server.port, bytes_per_s=1.5 * STORE_BYTES_PER_S_MIN) as wire,
        open_store(at_port(remote.real_server, wire.port)) as store,
    ):
        assert size / (1.5 * STORE_BYTES_PER_S_MIN) > STORE_STALL_S
        await store.put(key, path, contents)
        async with store.open(key) as chunks:
            assert sum([len(chunk) async for chunk in chunks]) == size


async def test_a_store_that_is_too_slow_is_given_up_in_time(remote: World) -> None:
    key, (path, contents) = new_key(), remote.file(b"z" * MIB)
    async with (
        wired(remote.real_server.port, bytes_per_s=STORE_BYTES_PER_S_MIN / 10) as wire,
        open_store(at_port(remote.real_server, wire.port)) as store,
    ):
        started = time.monotonic()
        with pytest.raises(StoreUnreachable):
            await store.put(key, path, contents)
        assert time.monotonic() - started < put_limit_s(contents.size) + MARGIN_S
    assert await is_missing(remote, key)


async def test_wrong_credentials_are_an_unreachable_store_and_no_secret_is_told(remote: World) -> None:
    async with open_store(remote.real_server.wrong_settings) as store:
        path, contents = remote.file(b"x")
        for attempt in (store.put(new_key(), path, contents), store.probe(writing=False), store.delete(new_key())):
            with pytest.raises(StoreUnreachable) as raised:
                await attempt
            assert not re.search(r"secret|another|127\.0\.0\.1|key=", str(raised.value), re.IGNORECASE)
        with pytest.raises(StoreUnreachable):
            async with store.open(new_key()):
                pass
    assert "secret" not in repr(remote.settings).lower()


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_a_store_that_does_not_answer_is_unreachable_within_seconds_and_usable_when_it_is_back(
    remote: World, fault: str
) -> None:
    key, (path, contents) = new_key(), remote.file(b"after all")
    await remote.put(key, b"kept")
    if fault == "killed":
        await remote.real_server.kill()
    else:
        remote.real_server.pause()
    async with asyncio.timeout(4 * STORE_STALL_S + 5):
        for attempt in (remote.store.put(new_key(), path, contents), remote.store.probe(writing=False)):
            with pytest.raises(StoreUnreachable):
                await attempt
        with pytest.raises(StoreUnreachable):
            await remote.get(key)
    if fault == "killed":
        await remote.real_server.start()
    else:
        remote.real_server.resume()
    await remote.store.put(key, path, contents)
    assert await remote.get(key) == b"after all"
