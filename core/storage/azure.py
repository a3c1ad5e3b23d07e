"""Files in Azure Blob Storage. Importing this module costs more than a second: see `core.storage.opening`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobSasPermissions, ContentSettings, StorageErrorCode, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from core.errors import FieldError, Invalid
from core.limits import STORE_BLOCK_BYTES, STORE_CONNECT_S, STORE_PROBE_TIMEOUT_S, STORE_PUTS_AT_ONCE, STORE_STALL_S
from core.storage.settings import AzureSettings
from core.storage.store import (
    PROBE_KEY,
    Contents,
    FileMissing,
    StoreKind,
    StoreUnreachable,
    put_limit_s,
    verified_md5,
)

_FAILURES: Final = (AzureError, OSError, TimeoutError)
_BLOCK_S: Final = put_limit_s(STORE_BLOCK_BYTES)
_CLOCK_SKEW: Final = timedelta(minutes=5)


@asynccontextmanager
async def opened(settings: AzureSettings) -> AsyncIterator["AzureStore"]:
    """An AzureStore with one client, closed in the end. The store may be down. Raises Invalid for settings that can
    lead to no store.
    """
    async with _service(settings) as service:
        yield AzureStore(settings, service)


def _service(settings: AzureSettings) -> BlobServiceClient:
    try:
        return BlobServiceClient.from_connection_string(
            settings.connection_string,
            connection_timeout=STORE_CONNECT_S,
            read_timeout=STORE_STALL_S,
            retry_total=0,
            max_single_put_size=STORE_BLOCK_BYTES,
            max_block_size=STORE_BLOCK_BYTES,
            max_single_get_size=STORE_BLOCK_BYTES,
            max_chunk_get_size=STORE_BLOCK_BYTES,
        )
    except ValueError as exc:
        raise Invalid([FieldError("AZURE_STORAGE_CONNECTION_STRING", "is not a connection string")]) from exc


class AzureStore:
    """A FileStore in one container. Files go and come in blocks, each checked by its MD5; a file is seen when all of
    its blocks are there.
    """

    kind: StoreKind = "Azure"

    def __init__(self, settings: AzureSettings, service: BlobServiceClient) -> None:
        self._service = service
        self._container = service.get_container_client(settings.container)
        self._puts = asyncio.Semaphore(STORE_PUTS_AT_ONCE)

    async def put(self, key: str, source: Path, contents: Contents) -> None:
        """See FileStore.put."""
        md5 = await verified_md5(source, contents)
        body = await asyncio.to_thread(source.open, "rb")
        try:
            async with self._puts, asyncio.timeout(put_limit_s(contents.size)):
                with _translated():
                    await self._container.upload_blob(
                        key,
                        body,
                        length=contents.size,
                        overwrite=True,
                        validate_content=True,
                        content_settings=ContentSettings(content_type=contents.media_type, content_md5=bytearray(md5)),
                    )
        except TimeoutError as exc:
            raise StoreUnreachable("no answer in time") from exc
        finally:
            body.close()

    @asynccontextmanager
    async def open(self, key: str, *, first: int = 0, last: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """See FileStore.open."""
        length = None if last is None else last - first + 1
        with _translated():
            async with asyncio.timeout(_BLOCK_S):
                stream = await self._container.download_blob(
                    key, offset=first, length=length, max_concurrency=1, validate_content=True
                )
        yield _blocks(stream.chunks())

    async def delete(self, key: str) -> None:
        """See FileStore.delete."""
        with _translated(missing_is_fine=True):
            async with asyncio.timeout(STORE_STALL_S):
                await self._container.delete_blob(key)

    async def probe(self, *, writing: bool) -> None:
        """See FileStore.probe."""
        with _translated():
            async with asyncio.timeout(STORE_PROBE_TIMEOUT_S):
                if writing:
                    await self._container.upload_blob(PROBE_KEY, b"probe", overwrite=True)
                else:
                    await self._container.get_container_properties()

    async def link(self, key: str, contents: Contents, *, disposition: str, lifetime_s: int) -> str | None:
        """See FileStore.link. None where the connection string carries no account key to sign with."""
        account_key = getattr(self._service.credential, "account_key", None)
        if account_key is None:
            return None
        url, now = self._container.get_blob_client(key).url, datetime.now(UTC)
        signature = generate_blob_sas(
            self._service.account_name or "",
            self._container.container_name,
            key,
            account_key=account_key,
            permission=BlobSasPermissions(read=True),
            start=now - _CLOCK_SKEW,
            expiry=now + timedelta(seconds=lifetime_s),
            content_type=contents.media_type,
            content_disposition=disposition,
            protocol="https" if url.startswith("https:") else None,
        )
        return f"{url}?{signature}"


async def _blocks(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        # The client asks again for a block that broke off, whatever it is told of retries: this ends that.
        with _translated():
            async with asyncio.timeout(_BLOCK_S):
                block = await anext(blocks, None)
        if block is None:
            return
        yield block


@contextmanager
def _translated(*, missing_is_fine: bool = False) -> Iterator[None]:
    try:
        yield
    except ResourceNotFoundError as exc:
        if "Container" in _code(exc):
            raise StoreUnreachable(f"refused: {_code(exc)}") from exc
        if not missing_is_fine:
            raise FileMissing("the store has no such file") from exc
    except _FAILURES as exc:
        raise StoreUnreachable(f"refused: {_code(exc)}" if _code(exc) else type(exc).__name__) from exc


def _code(exc: Exception) -> str:
    """Azure's word for why it refused; empty if it said none."""
    code = getattr(exc, "error_code", None) or ""
    return str(code.value if isinstance(code, StorageErrorCode) else code)
