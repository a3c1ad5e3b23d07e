"""Opens the store that a region's settings name. Clients of S3 and Azure are imported when the first one is opened."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path

from core.changes import OnChange
from core.storage.local import LocalStore
from core.storage.settings import AzureSettings, LocalSettings, S3Settings, StoreSettings
from core.storage.spool import Spool
from core.storage.storage import Storage
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


@asynccontextmanager
async def open_storage(
    settings: StoreSettings,
    *,
    region: str,
    spool_folder: Path,
    clock: Callable[[], float],
    wall: Callable[[], datetime],
    on_change: OnChange,
) -> AsyncIterator[Storage]:
    """A region's storage: its store and its spool in `spool_folder`, ready within STORE_PROBE_TIMEOUT_S, store or no
    store. `clock` gives loop seconds, `wall` aware UTC.
    """
    async with (
        open_store(settings) as store,
        Storage(region, store=store, spool=Spool(spool_folder), clock=clock, wall=wall, on_change=on_change) as storage,
    ):
        yield storage
