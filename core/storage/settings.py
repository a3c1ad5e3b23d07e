"""Which store a region's files are in, and how to reach it: checked values, made from settings and the shard map."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from core.errors import FieldError, Invalid
from core.shard_map.model import StorageSettings


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Files below `folder`."""

    folder: Path


@dataclass(frozen=True, slots=True)
class S3Settings:
    """A bucket. `endpoint` None means Amazon's own; `base_url` is where clients can reach the bucket, if they can."""

    bucket: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    endpoint: str | None = None
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """A container of the account that the connection string names."""

    container: str
    connection_string: str = field(repr=False)


StoreSettings: TypeAlias = LocalSettings | S3Settings | AzureSettings


@dataclass(frozen=True, slots=True)
class StorageChoice:
    """What the environment offers: S3 before Azure before local files, unless a region of the map says otherwise.

    Credentials without a bucket are for the regions of the map that name one. `folder` is where local files and every
    spool lie.
    """

    folder: Path
    s3: S3Settings | None = None
    azure: AzureSettings | None = None

    def for_region(self, name: str, wanted: StorageSettings) -> StoreSettings:
        """The store of a region. Raises Invalid naming what is missing."""
        common = "S3" if self.s3 and self.s3.bucket else "Azure" if self.azure and self.azure.container else "Local"
        kind = wanted.kind or common
        if kind == "Local":
            return LocalSettings((Path(wanted.folder) if wanted.folder else self.folder) / "files")
        if kind == "S3":
            if self.s3 is None:
                raise _missing(name, "S3", "S3_ACCESS_KEY", "S3_SECRET_KEY")
            return self._own_s3(self.s3, wanted)
        if self.azure is None:
            raise _missing(name, "Azure", "AZURE_STORAGE_CONNECTION_STRING")
        return self._own_azure(self.azure, wanted)

    def _own_s3(self, common: S3Settings, wanted: StorageSettings) -> S3Settings:
        bucket, endpoint = wanted.bucket or common.bucket, wanted.endpoint or common.endpoint
        # The base URL is that of the common bucket: for another one it would lead clients to another's files.
        is_common = (bucket, endpoint) == (common.bucket, common.endpoint)
        return replace(common, bucket=bucket, endpoint=endpoint, base_url=common.base_url if is_common else None)

    def _own_azure(self, common: AzureSettings, wanted: StorageSettings) -> AzureSettings:
        connection_string = common.connection_string
        if wanted.endpoint:
            parts = [part for part in connection_string.split(";") if part.strip()]
            others = [part for part in parts if not part.strip().lower().startswith("blobendpoint=")]
            connection_string = ";".join([*others, f"BlobEndpoint={wanted.endpoint}"])
        return replace(common, container=wanted.bucket or common.container, connection_string=connection_string)


def _missing(region: str, kind: str, *names: str) -> Invalid:
    because = f"is needed: the shard map keeps the files of region {region} in {kind}"
    return Invalid([FieldError(name, because) for name in names])
