"""Files in S3 or a store that speaks its protocol. Importing this module costs a second: see `core.storage.opening`."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, InvalidRegionError

from core.errors import FieldError, Invalid
from core.limits import FILE_CHUNK_BYTES, STORE_CONNECT_S, STORE_PROBE_TIMEOUT_S, STORE_PUTS_AT_ONCE, STORE_STALL_S
from core.storage.settings import S3Settings
from core.storage.store import (
    PROBE_KEY,
    Contents,
    FileMissing,
    StoreKind,
    StoreUnreachable,
    put_limit_s,
    verified_md5,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_FAILURES: Final = (BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)
_MISSING: Final = frozenset({"NoSuchKey", "404"})


@asynccontextmanager
async def opened(settings: S3Settings) -> AsyncIterator["S3Store"]:
    """An S3Store with one client, closed in the end. The store may be down. Raises Invalid for settings that can lead
    to no store.
    """
    session = await asyncio.to_thread(_session)
    async with AsyncExitStack() as stack:
        try:
            client = session.create_client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint,
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                config=_config(settings),
            )
            s3 = await stack.enter_async_context(client)
        except ValueError as exc:
            name = "S3_REGION" if isinstance(exc, InvalidRegionError) else "S3_ENDPOINT"
            raise Invalid([FieldError(name, "cannot be used")]) from exc
        yield S3Store(settings, s3)


def _config(settings: S3Settings) -> AioConfig:
    # Bodies are checked by their MD5 and SHA-256, so signing them too would only read them once more. Other stores than
    # Amazon's do not all know the newer checksums that the client would add by itself.
    return AioConfig(
        connect_timeout=STORE_CONNECT_S,
        read_timeout=STORE_STALL_S,
        max_pool_connections=STORE_PUTS_AT_ONCE * 8,
        retries={"total_max_attempts": 1},
        s3={"payload_signing_enabled": False, "addressing_style": "path" if settings.endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )


@cache
def _session() -> AioSession:
    """What all clients share: the description of the protocol, some MiB of JSON, parsed by making one client here.

    Blocks. Profiles and files of Amazon's own tools are left out: only our settings say which store it is.
    """
    ours = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    session = AioSession({name: (None, None, value, None) for name, value in ours.items()})

    async def first() -> None:
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
        async with session.create_client("s3", region_name="us-east-1", **keys):
            pass

    asyncio.run(first())
    return session


class S3Store:
    """A FileStore in one bucket."""

    kind: StoreKind = "S3"

    def __init__(self, settings: S3Settings, client: "S3Client") -> None:
        self._settings = settings
        self._client = client
        self._puts = asyncio.Semaphore(STORE_PUTS_AT_ONCE)

    async def put(self, key: str, source: Path, contents: Contents) -> None:
        """See FileStore.put."""
        md5 = await verified_md5(source, contents)
        body = await asyncio.to_thread(source.open, "rb")
        try:
            async with self._puts, asyncio.timeout(put_limit_s(contents.size)):
                with _translated():
                    await self._client.put_object(
                        Bucket=self._settings.bucket,
                        Key=key,
                        Body=body,
                        ContentLength=contents.size,
                        ContentType=contents.media_type,
                        ContentMD5=_base64(md5),
                        ChecksumSHA256=_base64(contents.sha256),
                    )
        except TimeoutError as exc:
            raise StoreUnreachable("no answer in time") from exc
        finally:
            body.close()

    @asynccontextmanager
    async def open(self, key: str, *, first: int = 0, last: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """See FileStore.open."""
        ranged: dict[str, Any] = {}
        if first or last is not None:
            ranged["Range"] = f"bytes={first}-{'' if last is None else last}"
        with _translated():
            answer = await self._client.get_object(Bucket=self._settings.bucket, Key=key, **ranged)
        body = answer["Body"]
        try:
            yield _chunks(body)
        finally:
            body.close()

    async def delete(self, key: str) -> None:
        """See FileStore.delete."""
        with _translated(missing_is_fine=True):
            async with asyncio.timeout(STORE_STALL_S):
                await self._client.delete_object(Bucket=self._settings.bucket, Key=key)

    async def probe(self, *, writing: bool) -> None:
        """See FileStore.probe."""
        with _translated(missing_is_fine=False):
            async with asyncio.timeout(STORE_PROBE_TIMEOUT_S):
                if writing:
                    await self._client.put_object(Bucket=self._settings.bucket, Key=PROBE_KEY, Body=b"probe")
                else:
                    await self._client.head_bucket(Bucket=self._settings.bucket)

    async def link(self, key: str, contents: Contents, *, disposition: str, lifetime_s: int) -> str | None:
        """See FileStore.link. None without a base URL: an inner endpoint is nothing that a client could reach."""
        if self._settings.base_url is None:
            return None
        request = AWSRequest(
            "GET",
            f"{self._settings.base_url.rstrip('/')}/{quote(key)}",
            params={"response-content-type": contents.media_type, "response-content-disposition": disposition},
        )
        credentials = Credentials(self._settings.access_key, self._settings.secret_key)
        S3SigV4QueryAuth(credentials, "s3", self._settings.region, lifetime_s).add_auth(request)
        return str(request.prepare().url)


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    with _translated():
        async for chunk in body.iter_chunks(FILE_CHUNK_BYTES):
            yield chunk


@contextmanager
def _translated(*, missing_is_fine: bool = False) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        if code not in _MISSING:
            raise StoreUnreachable(f"refused: {code}") from exc
        if not missing_is_fine:
            raise FileMissing("the store has no such file") from exc
    except _FAILURES as exc:
        raise StoreUnreachable(type(exc).__name__) from exc


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
