"""A store of each kind with its real server, and ways to put bytes into it and to get them out."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from core.storage.opening import open_store
from core.storage.settings import LocalSettings, S3Settings, StoreSettings
from core.storage.store import Contents, FileStore
from tests.servers.azurite import Azurite
from tests.servers.s3 import S3Server

REMOTE = ("S3", "Azure")
KINDS = (*REMOTE, "Local")


@dataclass
class World:
    """A store of one kind, its server if it has one, and a folder to make files in."""

    store: FileStore
    settings: StoreSettings
    server: S3Server | Azurite | None
    folder: Path

    @property
    def real_server(self) -> S3Server | Azurite:
        """The server of a store that has one."""
        assert self.server is not None
        return self.server

    def file(self, data: bytes, media_type: str = "image/png") -> tuple[Path, Contents]:
        """A local file and what it holds."""
        path = self.folder / uuid4().hex
        path.write_bytes(data)
        return path, Contents(len(data), hashlib.sha256(data).digest(), media_type)

    async def put(self, key: str, data: bytes) -> Contents:
        """Store these bytes."""
        path, contents = self.file(data)
        await self.store.put(key, path, contents)
        return contents

    async def get(self, key: str, *, first: int = 0, last: int | None = None) -> bytes:
        """Read bytes back."""
        async with self.store.open(key, first=first, last=last) as chunks:
            return b"".join([chunk async for chunk in chunks])


def new_key() -> str:
    """A key that no file has."""
    return f"qa/{uuid4()}"


def at_port(server: S3Server | Azurite, port: int) -> StoreSettings:
    """How to reach a server by another port than its own."""
    settings, endpoint = server.settings, f"http://127.0.0.1:{port}"
    if isinstance(settings, S3Settings):
        return replace(settings, endpoint=endpoint)
    return replace(settings, connection_string=settings.connection_string.replace(server.endpoint, endpoint))


@asynccontextmanager
async def running_world(kind: str, folder: Path) -> AsyncIterator[World]:
    """A world whose server runs, with an empty store."""
    async with AsyncExitStack() as stack:
        server: S3Server | Azurite | None = None
        settings: StoreSettings = LocalSettings(folder / "files")
        if kind == "S3":
            server = await stack.enter_async_context(S3Server(folder / "s3"))
            settings = server.settings
        if kind == "Azure":
            server = await stack.enter_async_context(Azurite(folder / "azurite"))
            settings = server.settings
        store = await stack.enter_async_context(open_store(settings))
        yield World(store, settings, server, folder)
