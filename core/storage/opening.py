"""Opens the store that a region's settings name. Clients of S3 and Azure are imported when the first one is opened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module

from core.storage.local import LocalStore
from core.storage.settings import AzureSettings, LocalSettings, S3Settings, StoreSettings
from core.storage.store import FileStore


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[FileStore]:
    """The store, whether it can be reached now or not; closed in the end."""
    async with await _opened(settings) as store:
        yield store


async def _opened(settings: StoreSettings) -> AbstractAsyncContextManager[FileStore]:
    # Each of the two clients takes a second to import: in a thread, so that requests go on.
    match settings:
        case LocalSettings():
            return _local(settings)
        case S3Settings():
            await asyncio.to_thread(import_module, "core.storage.s3")
            from core.storage import s3

            return s3.opened(settings)
        case AzureSettings():
            await asyncio.to_thread(import_module, "core.storage.azure")
            from core.storage import azure

            return azure.opened(settings)


@asynccontextmanager
async def _local(settings: LocalSettings) -> AsyncIterator[FileStore]:
    yield LocalStore(settings.folder)
